import ELFKernel
import Images
import KernelImages
import LinuxBoot
import Testing

/// Offsets are those of Xen's start_info.h, of which QEMU and Linux have copies.
@Suite struct PVHTests {
    private let ram = RAMMap(ram: [0..<0x200_0000])

    private func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }

    private func kernel(_ entry: UInt32 = 0x100_0008, is64: Bool = true) throws -> PVHKernel? {
        try PVHKernel(KernelELF([UInt8](repeating: 0x90, count: 64), is64: is64, pvhEntry: entry).bytes)
    }

    @Test func theNoteGivesTheEntry() throws {
        for is64 in [true, false] {
            let kernel = try #require(try kernel(is64: is64))
            #expect(kernel.entry == 0x100_0008)
            #expect(kernel.pieces[0].address == 0x100_0000)
            #expect(kernel.pieces[0].memorySize == 96)
        }
    }

    @Test func withoutTheNoteThereIsNone() throws {
        #expect(try PVHKernel(KernelELF([1]).bytes) == nil)
        var other = KernelELF([1], pvhEntry: 0x100_0000)
        other.file.put(UInt32(17), at: 0x108)
        #expect(try PVHKernel(other.bytes) == nil)
        var stranger = KernelELF([1], pvhEntry: 0x100_0000)
        stranger.file.put(Array("GNU\0".utf8), at: 0x10C)
        #expect(try PVHKernel(stranger.bytes) == nil)
        var short = KernelELF([1], pvhEntry: 0x100_0000)
        short.file.put(UInt32(2), at: 0x104)
        #expect(try PVHKernel(short.bytes) == nil)
    }

    @Test func anEntryThatIsNotLoadedIsRefused() {
        #expect(throws: LinuxBootError.entryNotLoaded(0x200_0000)) { try kernel(0x200_0000) }
    }

    @Test func theStartInformationIsThatOfTheProtocol() throws {
        let plan = try PVHPlan(
            try #require(try kernel()), commandLine: "quiet x=1", modules: [[1, 2, 3], [4]], ram: ram)
        #expect(plan.startInfo == 0x10000)
        let piece = try #require(plan.pieces.first { $0.address == 0x10000 })
        let info = Array(piece.bytes)
        #expect(number(info, 0, 4) == 0x336E_C578)
        #expect(number(info, 4, 4) == 1)  // version
        #expect(number(info, 8, 4) == 0)  // flags
        #expect(number(info, 12, 4) == 2)  // nr_modules
        let list = Int(number(info, 16, 8)) - 0x10000
        let line = Int(number(info, 24, 8)) - 0x10000
        #expect(number(info, 32, 8) == 0)  // rsdp
        let map = Int(number(info, 40, 8)) - 0x10000
        #expect(number(info, 48, 4) == 3)
        #expect(Array(info[line..<line + 10]) == Array("quiet x=1\0".utf8))
        #expect(number(info, list, 8) == 0x1FF_F000)
        #expect(number(info, list + 8, 8) == 3)
        #expect(number(info, list + 32, 8) == 0x1FF_E000)
        #expect(number(info, list + 40, 8) == 1)
        let expected: [(UInt64, UInt64, UInt64)] = [
            (0, 0xA0000, 1), (0xA0000, 0x60000, 2), (0x100000, 0x1F0_0000, 1),
        ]
        for (index, entry) in expected.enumerated() {
            #expect(number(info, map + 24 * index, 8) == entry.0)
            #expect(number(info, map + 24 * index + 8, 8) == entry.1)
            #expect(number(info, map + 24 * index + 16, 8) == entry.2)
        }
        #expect(plan.pieces.contains { $0.address == 0x1FF_F000 && Array($0.bytes) == [1, 2, 3] })
    }

    @Test func withoutModulesTheirListIsNone() throws {
        let plan = try PVHPlan(try #require(try kernel()), commandLine: "", modules: [], ram: ram)
        let info = Array(try #require(plan.pieces.last).bytes)
        #expect(number(info, 12, 4) == 0)
        #expect(number(info, 16, 8) == 0)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let kernel = try #require(try kernel())
        let small = RAMMap(ram: [0..<0x100_0050])
        #expect(throws: LinuxBootError.kernelOutsideRAM(address: 0x100_0000, size: 96, small)) {
            try PVHPlan(kernel, commandLine: "", modules: [], ram: small)
        }
        let big = [UInt8](repeating: 0, count: 0x200_0000)
        #expect(throws: LinuxBootError.initrdDoesNotFit(size: 0x200_0000, below: 0x1_0000_0000, ram)) {
            try PVHPlan(kernel, commandLine: "", modules: [big], ram: ram)
        }
        #expect(throws: LinuxBootError.self) {
            try PVHPlan(kernel, commandLine: String(repeating: "x", count: 0xA0000), modules: [], ram: ram)
        }
    }

    @Test func damagedFilesNeverTrap() {
        var numbers = Sequence64(0x9F)
        for round in 0..<20_000 {
            var elf = KernelELF([1, 2, 3, 4, 5, 6, 7, 8], is64: round % 2 == 0, pvhEntry: 0x100_0000)
            for _ in 0...numbers.below(4) {
                elf.file.bytes[numbers.below(0x118)] = UInt8(truncatingIfNeeded: numbers.next())
            }
            guard let kernel = try? PVHKernel(elf.bytes) else { continue }
            _ = try? PVHPlan(kernel, commandLine: "a", modules: [[1]], ram: ram)
        }
    }
}
