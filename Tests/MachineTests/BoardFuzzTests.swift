import Foundation
import SplitMix
import Testing

/// Random guests of a whole PC: they program every part of the board - bridges, windows, DMA, APICs, screen, card, firmware's device - with what looks
/// like sense and with what does not, move windows under what runs there, and take every interrupt somewhere. Nothing of it may trap, or keep a stop
/// from being heard.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct BoardFuzzTests {
    enum Way: CaseIterable, CustomTestStringConvertible, Sendable {
        case counted, real, kvm

        static var here: [Way] {
            TestEngine.here.flatMap { (engine: TestEngine) -> [Way] in engine == .kvm ? [.kvm] : [.counted, .real] }
        }
        var testDescription: String { "\(self)" }
    }

    @Test(arguments: Way.here) func guestsThatProgramTheBoardNeitherTrapNorHang(_ way: Way) async throws {
        let time = DeviceFuzzTests.time(isCounted: way == .counted)
        let instructions = try await DeviceFuzzTests.runGuests(for: time) { number, folder in
            var program = RandomBoardProgram(seed: DeviceFuzzTests.seed &* 2_000_003 &+ number)
            try folder.write("image", program.image())
            try folder.write("rom", [UInt8](repeating: 0xF4, count: 65536))
            return try TestMachine(Self.file(folder, way), on: way == .kvm ? .kvm : .soft)
        }
        if way == .counted { #expect(instructions > DeviceFuzzTests.leastInstructions) }
    }

    /// The board of machines/pc.yaml, with a guest in the place of firmware.
    private static func file(_ folder: CountedTests.Folder, _ way: Way) -> String {
        """
        machine: board-fuzz
        clock: { mode: \(way == .counted ? "counted" : "real") }
        cpu: { engine: \(way == .kvm ? "kvm" : "soft"), interrupts: apic }
        memory: 2MiB
        boot: { plugin: flat, image: \(folder.path)/image, mode: protected, address: 0x10000, stack: 0x9000 }
        devices:
          - { id: bios, plugin: rom, image: \(folder.path)/rom, end: 0x100000000, alias: [0xf0000], alias-size: 64KiB }
          - { id: pci, plugin: i440fx, pirq: [isa.0, isa.1, isa.2, isa.3] }
          - { id: isa, plugin: piix3, bus: pci.1, irq: [gsi.3, gsi.4, gsi.5, gsi.6, gsi.7, gsi.9, gsi.10, gsi.11, gsi.12, gsi.14, gsi.15] }
          - { id: ide, plugin: piix-ide, bus: pci.1.1 }
          - { id: pm, plugin: piix4-pm, bus: pci.1.3, irq: gsi.9 }
          - { id: cfg, plugin: fw-cfg, tables: [acpi, smbios] }
          - { id: acpi, plugin: acpi }
          - { id: smbios, plugin: smbios }
          - { id: gsi, plugin: gsi, pic: pic.0-15, ioapic: ioapic.0-23 }
          - { id: apic, plugin: lapic, extint: pic }
          - { id: ioapic, plugin: ioapic, apic: apic }
          - { id: pic, plugin: pic8259 }
          - { id: pit, plugin: pit8254, irq: gsi.0 }
          - { id: rtc, plugin: rtc146818, irq: gsi.8 }
          - { id: kbd, plugin: i8042, irq: gsi.1, mouse-irq: gsi.12 }
          - { id: vga, plugin: vga, bus: pci.2, rom: \(folder.path)/rom }
          - { id: com1, plugin: uart16550, at: 0x3f8, irq: gsi.4, stream: term }
          - { id: hd0, plugin: ata, at: 0x1f0, control: 0x3f6, irq: gsi.14, block: disk, dma: ide.0 }
          - { id: dma, plugin: dma8237 }
          - { id: fdc, plugin: fdc82077, irq: gsi.6, dma: dma.2, block: floppy, second: floppy2 }
          - { id: nic, plugin: e1000, bus: pci.3, net: lan }
          - { id: debug, plugin: debug-console, at: 0x402, stream: words }
        backends:
          - { id: term, plugin: file, path: \(folder.path)/out }
          - { id: words, plugin: file, path: \(folder.path)/words }
          - { id: disk, plugin: ram-disk, size: 64KiB }
          - { id: floppy, plugin: ram-disk, size: 160KiB }
          - { id: floppy2, plugin: ram-disk, size: 360KiB }
          - { id: lan, plugin: user }
        """
    }
}

/// A flat image of 32-bit protected mode for 0x10000: descriptor tables, the board's set-up, a stub for each vector that goes on somewhere else, then
/// pieces that each do one thing to a part.
private struct RandomBoardProgram {
    private static let base = 0x10000
    private static let descriptors = 0x100
    private static let gates = 0x200
    private static let stubs = 0xA00
    private static let stubSize = 32
    private static let pieces = stubs + 256 * stubSize
    private static let length = pieces + 0x6000

    // Where the set-up puts windows.
    private static let card = 0xFEB8_0000
    private static let screen = 0xE000_0000
    private static let screenRegisters = 0xFEBF_0000
    private static let powerPorts = 0x600
    private static let masterPorts = 0xC040
    private static let cardPorts = 0xC080

    private var random: SplitMix64
    private var code: [UInt8] = []

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    private mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
    private mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    private mutating func pick<T>(_ values: [T]) -> T { values[below(values.count)] }
    private mutating func word() -> Int { Int(UInt32.random(in: 0...UInt32.max, using: &random)) }

    private func bytes(_ value: Int, _ count: Int = 4) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    // MARK: The image

    mutating func image() -> [UInt8] {
        // LGDT, LIDT, JMP to the set-up.
        code = [0xfa, 0x0f, 0x01, 0x15] + bytes(Self.base + 0xF0) + [0x0f, 0x01, 0x1d] + bytes(Self.base + 0xF8)
        code += [0xe9] + bytes(Self.pieces - (code.count + 5))
        pad(0xF0, 0)
        code += bytes(23, 2) + bytes(Self.base + Self.descriptors) + [0, 0] + bytes(0x7FF, 2)
        code += bytes(Self.base + Self.gates)
        pad(Self.descriptors, 0)
        for descriptor in [0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF] { code += bytes(descriptor, 8) }
        pad(Self.gates, 0)
        for vector in 0..<256 {
            let stub = Self.base + Self.stubs + vector * Self.stubSize
            code += bytes(stub, 2) + [0x08, 0, 0, 0x8e] + bytes(stub >> 16, 2)
        }
        for vector in 0..<256 {
            pad(Self.stubs + vector * Self.stubSize, 0x90)
            // MOV ESP; end of interrupt at both controllers and the APIC; STI; somewhere else.
            code += [0xbc] + bytes(0x9000) + [0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20]
            code += [0xc7, 0x05] + bytes(0xFEE0_00B0) + bytes(0) + [0xfb]
            let target = Self.pieces + below(Self.length - Self.pieces)
            code += [0xe9] + bytes(target - (code.count + 5))
        }
        pad(Self.pieces, 0x90)
        code += setUp()
        while code.count < Self.length { code += piece() }
        return code
    }

    private mutating func pad(_ end: Int, _ byte: UInt8) {
        code += [UInt8](repeating: byte, count: end - code.count)
    }

    // MARK: Accesses

    private func out(_ port: Int, _ value: Int, width: Int) -> [UInt8] {
        let load: [UInt8] = [0x66, 0xba] + bytes(port, 2) + [0xb8] + bytes(value)
        return load + (width == 1 ? [0xee] : width == 2 ? [0x66, 0xef] : [0xef])
    }
    private func input(_ port: Int, width: Int) -> [UInt8] {
        [0x66, 0xba] + bytes(port, 2) + (width == 1 ? [0xec] : width == 2 ? [0x66, 0xed] : [0xed])
    }
    private func store(_ address: Int, _ value: Int) -> [UInt8] { [0xc7, 0x05] + bytes(address) + bytes(value) }
    private func configure(_ function: Int, _ register: Int, _ value: Int, width: Int = 4) -> [UInt8] {
        out(0xCF8, 0x8000_0000 | function << 8 | register & 0xFC, width: 4)
            + out(0xCFC + register & 3, value, width: width)
    }

    /// What firmware does: windows, spaces on, channels on, PICs, the timer, an I/O APIC with every line open.
    private func setUp() -> [UInt8] {
        var code: [UInt8] = []
        for (function, register, value) in [
            (0x18, 0x10, Self.card), (0x18, 0x14, Self.cardPorts), (0x18, 4, 7), (0x10, 0x10, Self.screen),
            (0x10, 0x18, Self.screenRegisters), (0x10, 4, 7), (0x09, 0x20, Self.masterPorts), (0x09, 4, 5),
            (0x09, 0x40, 0x8000_8000), (0x0B, 0x40, Self.powerPorts), (0x0B, 0x80, 1), (0x08, 0x60, 0x0A0B_0A0B),
            (0, 0x58, 0x3333_3310), (0, 0x5C, 0x3333_3333),
        ] { code += configure(function, register, value) }
        for (port, value) in [
            (0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0xa0, 0x11), (0xa1, 0x70), (0xa1, 2), (0xa1, 1),
        ] { code += out(port, value, width: 1) }
        // A thousand timer interrupts a second, so that no HLT is for ever.
        for (port, value) in [(0x43, 0x34), (0x40, 0xA9), (0x40, 0x04)] { code += out(port, value, width: 1) }
        code += store(0xFEE0_00F0, 0x1FF)
        for line in 0..<24 {
            code += store(0xFEC0_0000, 0x10 + 2 * line) + store(0xFEC0_0010, 0x40 + line)
        }
        return code + [0xfb]
    }

    // MARK: Pieces

    private mutating func piece() -> [UInt8] {
        switch below(19) {
        case 18: return floppyTransfer()
        case 0, 1, 2: return configuration()
        case 3, 4: return portAccess()
        case 5, 6, 7: return memoryAccess()
        case 8, 9: return cardAccess()
        case 10: return diskTransfer()
        case 11: return firmwareTransfer()
        case 12: return stringAccess()
        case 13: return store(0xFEC0_0000, below(64)) + store(0xFEC0_0010, word())
        case 14: return store(0xFEE0_0000 + below(64) * 16, chance(50) ? word() : below(0x200))
        case 15: return pick([[0xfb, 0xf4], [0xfb], [0xfa], [0xcf], [0xfb, 0x90, 0xf4], [0x0f, 0x09]])
        case 16:
            let target = Self.pieces + below(max(1, code.count - Self.pieces))
            return [0xe9] + bytes(target - (code.count + 5))
        default: return (0..<below(6)).map { _ in UInt8(truncatingIfNeeded: word()) }
        }
    }

    private mutating func configuration() -> [UInt8] {
        let function = pick([0, 0x08, 0x09, 0x0B, 0x10, 0x18, below(256)])
        let register = pick([
            4, 4, 0x10, 0x14, 0x18, 0x20, 0x24, 0x30, 0x3C, 0x40, 0x44, 0x58, 0x59 + below(7), 0x60 + below(4), 0x72,
            0x80, 0x90,
            below(256),
        ])
        let value = pick([
            7, 5, 0, 0xFFFF_FFFF, Self.card, Self.screen, Self.screenRegisters, Self.powerPorts, Self.masterPorts,
            Self.cardPorts, 0xFEE0_0000, 0xFEC0_0000, 0xFFFF_0000, 0x3333_3333, 0x1111_2222, 0xA0000, word(),
        ])
        if chance(20) {
            return out(0xCF8, 0x8000_0000 | function << 8 | register & 0xFC, width: 4)
                + input(0xCFC + register & 3, width: pick([1, 2, 4]))
        }
        return configure(function, register, value, width: pick([1, 2, 4, 4, 4]))
    }

    private mutating func portAccess() -> [UInt8] {
        let port = pick([
            0x20, 0x21, 0xa0, 0xa1, 0x40, 0x43, 0x60, 0x64, 0x61, 0x70, 0x71, 0x92, 0xb2, 0xb3, 0xcf9, 0x402, 0x4d0,
            0x4d1,
            0x1ce, 0x1cf, 0x3b4 + below(8), 0x3c0 + below(32), 0x3f8 + below(8), 0x1f0 + below(8), 0x3f6,
            0x510 + below(12), below(16), 0x80 + below(16), 0xC0 + below(32), 0x3f0 + below(8), 0x3f5,
            Self.powerPorts + below(64), Self.masterPorts + below(16), Self.cardPorts + below(64), below(0x10000),
        ])
        // One reset in many, and hardly ever soft off: programs are to go on.
        if port == 0xcf9, !chance(5) { return [0x90] }
        if chance(30) { return input(port, width: pick([1, 2, 4])) }
        return out(port, chance(50) ? below(256) : word(), width: pick([1, 1, 2, 4]))
    }

    private mutating func memoryAccess() -> [UInt8] {
        let address = pick([
            0xA0000 + below(0x20000), 0xB8000 + below(4096), 0xC0000 + below(0x40000), Self.screen + below(0x100_0000),
            Self.screenRegisters + below(4096), 0xFEE0_0000 + below(4096), 0xFEC0_0000 + below(64),
            0xFFFF_0000 + below(65536),
            0x20_0000 - 3, 0x9FFFE, 0xFFFFE, below(0x20_0000), word(),
        ])
        switch below(4) {
        case 0: return [0xa1] + bytes(address)
        case 1: return [0xa2] + bytes(address)
        case 2: return [0x66, 0xa3] + bytes(address)
        default: return [0xb8] + bytes(word()) + [0xa3] + bytes(address)
        }
    }

    private mutating func place() -> Int {
        pick([0x30000, 0x30000 + below(4096), 0x1F_FFF0, 0xFFFF_FFF8, Self.card, 0xB8000, Self.base, word()])
    }

    /// A card with rings anywhere, and descriptors of whatever lies there.
    private mutating func cardAccess() -> [UInt8] {
        let register = pick([
            0x0000, 0x0008, 0x0014, 0x0020, 0x00C4, 0x00C8, 0x00D0, 0x00D8, 0x0100, 0x0400, 0x2800, 0x2808, 0x2810,
            0x2818, 0x2820,
            0x3800, 0x3808, 0x3810, 0x3818, 0x3820, 0x5200 + 4 * below(128), 0x5400 + 4 * below(32), 4 * below(0x8000),
        ])
        let value: Int
        switch register {
        case 0x2800, 0x3800: value = place()
        case 0x2808, 0x3808: value = pick([128, 256, 4096, 0xF_FF80, word()])
        case 0x2810, 0x2818, 0x3810, 0x3818: value = pick([0, 1, 7, below(256), word()])
        case 0x0100, 0x0400: value = pick([2, 0x8002, 0x1001A, word()])
        case 0x00D0: value = 0xFFFF_FFFF
        default: value = word()
        }
        return store(Self.card + register, value)
    }

    /// A descriptor table somewhere, a command by DMA or not, and the master started.
    private mutating func diskTransfer() -> [UInt8] {
        var code: [UInt8] = []
        let table = pick([0x28000, 0x2FFFC, 0x1F_FFF8, word() & ~3])
        code += store(0x28000, place() & ~1) + store(0x28004, pick([0x8000_0200, 0x200, 0, 0x8000_0000, word()]))
        code += out(Self.masterPorts + 4, table, width: 4)
        for (index, value) in [1 + below(4), below(128), 0, 0, 0xE0].enumerated() {
            code += out(0x1F2 + index, value, width: 1)
        }
        code += out(0x1F7, pick([0xC8, 0xCA, 0xC8, 0xCA, 0x25, 0x35, 0x20, 0x30, 0xEC, 0xE7]), width: 1)
        return code + out(Self.masterPorts, pick([1, 9, 9, 8, 0]), width: 1)
    }

    /// Channel 2 or another of the first controller programmed, the floppy controller out of reset, a command for it: with a head that may be
    /// elsewhere.
    private mutating func floppyTransfer() -> [UInt8] {
        var code: [UInt8] = []
        let (channel, place) = (pick([2, 2, 2, below(4)]), place())
        for (port, value) in [
            (0xD6, 0xC0), (0xD4, 0), (0x0C, 0), (0x0B, pick([0x44, 0x48, 0x54, 0x64, 0x40]) | channel),
            (2 * channel, place), (2 * channel, place >> 8), ([0x87, 0x83, 0x81, 0x82][channel], place >> 16),
            (2 * channel + 1, below(256)), (2 * channel + 1, below(20)), (0x0A, channel),
            (0x3F2, pick([0x3C, 0x3C, 0x3D, 0x38])), (0x3F7, pick([2, 2, 1, 0])),
        ] { code += out(port, value & 0xFF, width: 1) }
        let (head, unit) = (below(2), below(2))
        let command = pick([
            [
                pick([0x46, 0xC6, 0x45, 0xC5, 0x4C, 0x42, 0x56]), head << 2 | unit, 0, head, 1 + below(8), 2, 9, 0x1B,
                0xFF,
            ],
            [0x4D, head << 2 | unit, 2, below(10), 0x50, 0xE5], [0x07, unit], [0x0F, unit, below(90)], [0x08],
            [0x4A, head << 2 | unit], [0x03, 0xDF, 2 + below(2)],
        ])
        for byte in command { code += out(0x3F5, byte, width: 1) }
        for _ in 0..<below(12) { code += input(0x3F5, width: 1) }
        return code
    }

    /// fw_cfg's DMA: a big-endian request in memory, by its address.
    private mutating func firmwareTransfer() -> [UInt8] {
        let control = pick([0x2, 0x4, 0x8, 0xA, 0x10, below(64)]) | below(64) << 16
        var code =
            store(0x29000, control.byteSwapped32)
            + store(0x29004, pick([16, 4096, 0, 0xFFFF_FFFF, word()]).byteSwapped32)
        code += store(0x29008, 0) + store(0x2900C, place().byteSwapped32)
        return code + out(0x518, pick([0x29000, place()]).byteSwapped32, width: 4)
    }

    private mutating func stringAccess() -> [UInt8] {
        let port = pick([0x1F0, 0x1F0, 0x511, 0x3C9, 0x402, 0xCFC, below(0x10000)])
        let isIn = chance(60)
        var code: [UInt8] = [isIn ? 0xbf : 0xbe] + bytes(place()) + [0xb9] + bytes(below(600)) + [0x66, 0xba]
        code += bytes(port, 2) + [chance(85) ? 0xfc : 0xfd]
        if chance(30) { code.append(0x66) }
        return code + [0xf3, isIn ? pick([0x6c, 0x6d]) : pick([0x6e, 0x6f])]
    }
}

extension Int {
    fileprivate var byteSwapped32: Int { Int(UInt32(truncatingIfNeeded: self).byteSwapped) }
}
