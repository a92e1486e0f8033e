import CHost
import Glibc

/// The machine's RAM: one memfd, so that it can be handed to other processes and saved by the page.
struct GuestRAM {
    /// SAFETY: mapped once with `length` bytes, unmapped by `unmap`; guests may write it at any time, so it is read and
    /// written by copies or through spans only.
    let base: UnsafeMutableRawPointer
    let length: UInt64
    let descriptor: Int32

    /// RAM below this address; what is more lies above 4 GiB (the hole holds PCI, APICs and firmware).
    static let holeStart: UInt64 = 0xC000_0000
    static let holeEnd: UInt64 = 0x1_0000_0000

    init(length: UInt64) throws(MachineError) {
        let descriptor = ch_memfd("backplane-ram", length)
        guard descriptor >= 0 else {
            throw MachineError("guest RAM of \(length) bytes: \(String(cString: strerror(-descriptor)))")
        }
        let memory = mmap(nil, Int(length), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0)
        guard let memory, memory != MAP_FAILED else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            throw MachineError("mapping guest RAM of \(length) bytes: \(reason)")
        }
        base = memory
        self.length = length
        self.descriptor = descriptor
    }

    func unmap() {
        munmap(base, Int(length))
        close(descriptor)
    }

    /// (guest-physical address, offset in the file, length)
    var pieces: [(address: UInt64, offset: UInt64, length: UInt64)] {
        if length <= GuestRAM.holeStart { return [(0, 0, length)] }
        return [
            (0, 0, GuestRAM.holeStart),
            (GuestRAM.holeEnd, GuestRAM.holeStart, length - GuestRAM.holeStart),
        ]
    }
}
