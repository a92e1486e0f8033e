@testable import Core

/// A driver of the device behind a virtio-mmio transport at 0xd0000000, as a guest programs it (virtio 1.2, 3.1.1 and 4.2). Queues have
/// eight entries; what is in memory below 0x20000 is theirs.
struct VirtioDriver {
    struct Buffer {
        var address: UInt64
        var length: UInt64
        var isWritable = false
    }

    static let registers: UInt64 = 0xd000_0000
    let machine: Machine

    func set(_ address: UInt64, _ value: UInt64, _ width: UInt8 = 4) {
        _ = machine.access(address: address, width: width, value: value)
    }
    func get(_ address: UInt64, _ width: UInt8 = 4) -> UInt64 { machine.access(address: address, width: width) }
    func bytes(_ address: UInt64, _ count: Int) -> [UInt8] {
        (0..<UInt64(count)).map { UInt8(truncatingIfNeeded: get(address + $0, 1)) }
    }
    func put(_ address: UInt64, _ bytes: some Sequence<UInt8>) {
        for (place, byte) in bytes.enumerated() { set(address + UInt64(place), UInt64(byte), 1) }
    }

    func register(_ offset: UInt64) -> UInt64 { get(Self.registers + offset) }
    func config(_ offset: UInt64, _ width: UInt8 = 4) -> UInt64 { get(Self.registers + 0x100 + offset, width) }
    /// What is offered, by bit.
    var features: UInt64 {
        (0..<2 as Range<UInt64>).reduce(0) { all, half in
            set(Self.registers + 0x14, half)
            return all | register(0x10) << (32 * half)
        }
    }

    private func table(_ queue: UInt64) -> UInt64 { 0x1_0000 + queue * 0x400 }
    private func available(_ queue: UInt64) -> UInt64 { table(queue) + 0x100 }
    private func ring(_ queue: UInt64) -> UInt64 { table(queue) + 0x200 }

    /// - Returns: whether the device took the features.
    func bringUp(queues: [UInt64], features: UInt64 = 1 << 32) -> Bool {
        func write(_ offset: UInt64, _ value: UInt64) { set(Self.registers + offset, value) }
        for status in [0, 1, 3] as [UInt64] { write(0x70, status) }
        for half in 0..<2 as Range<UInt64> {
            write(0x24, half)
            write(0x20, features >> (32 * half) & 0xFFFF_FFFF)
        }
        write(0x70, 11)
        guard register(0x70) == 11 else { return false }
        for queue in queues {
            for place in 0..<0x400 / 8 as Range<UInt64> { set(table(queue) + place * 8, 0, 8) }
            write(0x30, queue)
            write(0x38, 8)
            for (offset, value) in [(0x80, table(queue)), (0x90, available(queue)), (0xa0, ring(queue))]
                as [(UInt64, UInt64)]
            {
                write(offset, value)
            }
            write(0x44, 1)
        }
        write(0x70, 15)
        return true
    }

    /// The `number`th buffer of a queue, of up to four descriptors.
    func offer(_ queue: UInt64, _ number: UInt64, _ chain: Buffer...) {
        let head = number % 2 * 4
        for (place, buffer) in chain.enumerated() {
            let (index, isLast) = (head + UInt64(place), place == chain.count - 1)
            let flags: UInt64 = (isLast ? 0 : 1) | (buffer.isWritable ? 2 : 0)
            set(table(queue) + index * 16, buffer.address, 8)
            set(table(queue) + index * 16 + 8, buffer.length | flags << 32 | (index + 1) << 48, 8)
        }
        set(available(queue) + 4 + (number % 8) * 2, head, 2)
        set(available(queue) + 2, number + 1, 2)
        set(Self.registers + 0x50, queue)
    }

    /// Buffers that the device has used.
    func used(_ queue: UInt64) -> UInt64 { get(ring(queue) + 2, 2) }
    /// Bytes written into the `number`th of them.
    func written(_ queue: UInt64, _ number: UInt64) -> UInt64 { get(ring(queue) + 4 + (number % 8) * 8 + 4, 4) }
    var needsReset: Bool { register(0x70) & 64 != 0 }
}

/// A machine with a device behind such a transport.
func virtioMachine(
    _ device: String, backends: String = "", console: (any ConsoleProvider)? = nil
) throws -> Machine {
    let machine = try TestMachine(
        """
        machine: virtio
        cpu: { interrupts: pic }
        memory: 1MiB
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: way, plugin: virtio-mmio, at: 0xd0000000, irq: pic.5 }
          - { id: device, plugin: \(device), transport: way }
        \(backends)
        """, engine: false, console: console
    ).machine
    machine.resetInstances(warm: false)
    return machine
}

extension Machine {
    func call(_ id: String, _ method: String, _ arguments: String...) -> Result<MethodResult, MethodError> {
        Result { () throws(MethodError) in try invoke(method, arguments, on: instances.first { $0.id == id }!) }
    }
}
