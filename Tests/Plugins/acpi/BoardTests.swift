import ACPIBoard
import ACPITables
import Testing

@Suite struct BoardTests {
    static var pc: Board {
        var board = Board()
        (board.powerBlock, board.localAPIC, board.ioAPIC) = (0x600, 0xFEE0_0000, 0xFEC0_0000)
        (board.hasPCI, board.router, board.resetPort, board.commandPort) = (
            true, .init(device: 1, function: 0), 0xCF9, 0xB2
        )
        board.parts = [
            .init(plugin: "uart16550", ports: [.init(0x3F8, 8)], interrupts: [4]),
            .init(plugin: "uart16550", ports: [.init(0x2F8, 8)], interrupts: [3]),
            .init(plugin: "i8042", ports: [.init(0x60, 1), .init(0x64, 1)], interrupts: [1, 12]),
            .init(plugin: "pit8254", ports: [.init(0x40, 4), .init(0x61, 1)], interrupts: [0]),
            .init(plugin: "rtc146818", ports: [.init(0x70, 2)], interrupts: [8]),
            .init(plugin: "a-stranger", ports: [.init(0x300, 8)], interrupts: [5]),
        ]
        board.lowMemoryEnd = 0x1000_0000
        return board
    }

    /// Firmware is told the sizes at power-on, and reads the contents once the guest has placed the power block.
    @Test func lengthsDoNotDependOnWhatTheGuestPlaces() {
        var before = Self.pc
        before.powerBlock = 0
        #expect(before.tables.tables.bytes.count == Self.pc.tables.tables.bytes.count)
        #expect(before.tables.loaderScript == Self.pc.tables.loaderScript)
        #expect(before.tables.tables.bytes != Self.pc.tables.tables.bytes)
    }

    @Test func thePowerBlockIsWhereTheGuestPutIt() {
        var board = Self.pc
        board.powerBlock = 0xB000
        let bytes = board.tables.tables.bytes
        let start = offset(of: "FACP", in: bytes)
        func port(_ offset: Int) -> UInt32 { little(bytes, start + offset) }
        #expect([port(56), port(64), port(76), port(80)] == [0xB000, 0xB004, 0xB008, 0xB00C])
        #expect(port(48) == 0xB2 && bytes[start + 52] == 0xF1 && bytes[start + 53] == 0xF0)
    }

    /// MADT: the timer's override, PCI's interrupts and the SCI as levels that are active high.
    @Test func theInterruptTableSaysHowThePCIsWired() {
        let bytes = Self.pc.tables.tables.bytes
        let start = offset(of: "APIC", in: bytes)
        let entries = Array(bytes[(start + 44)..<(start + Int(little(bytes, start + 4)))])
        let overrides = stride(from: 0, to: 5, by: 1).map { Array(entries[(20 + $0 * 10)..<(30 + $0 * 10)]) }
        #expect(overrides[0] == [2, 10, 0, 0, 2, 0, 0, 0, 0, 0])
        #expect(
            overrides[1...].map { [$0[3], $0[4], $0[8]] } == [[5, 5, 13], [9, 9, 13], [10, 10, 13], [11, 11, 13]])
    }

    @Test func withoutALocalAPICThereIsNoInterruptTable() {
        var board = Self.pc
        board.localAPIC = nil
        #expect(!board.tables.tables.bytes.contains(Array("APIC".utf8)))
    }

    /// LNRO0005 with 512 bytes of memory and a level-triggered interrupt, active high and shared (ACPI 6.5, 6.4.3.4, 6.4.3.6).
    @Test func virtioByMMIOIsNamedWithItsRegistersAndItsInterrupt() {
        var board = Self.pc
        board.memoryParts = [
            .init(plugin: "virtio-mmio", address: 0xD000_0000, length: 0x200, interrupts: [5]),
            .init(plugin: "virtio-mmio", address: 0xD000_0200, length: 0x200, interrupts: [16]),
            .init(plugin: "a-stranger", address: 0xD000_0400, length: 0x200, interrupts: [6]),
        ]
        let bytes = board.tables.tables.bytes
        #expect(bytes.contains(Array("VR00".utf8)) && bytes.contains(Array("VR01".utf8)))
        #expect(!bytes.contains(Array("VR02".utf8)))
        #expect(bytes.contains(Array("LNRO0005".utf8)))
        #expect(bytes.contains([0x86, 9, 0, 1, 0, 2, 0, 0xD0, 0, 2, 0, 0, 0x89, 6, 0, 9, 1, 16, 0, 0, 0]))
    }

    @Test func knownPartsAreDevicesAndStrangersAreNot() {
        let bytes = Self.pc.tables.tables.bytes
        for name in ["COM1", "COM2", "KBD0", "MOU0", "TMR0", "SPK0", "RTC0", "LNKA", "PCI0", "C000"] {
            #expect(bytes.contains(Array(name.utf8)), "\(name)")
        }
        #expect(!bytes.contains(Array("PIC0".utf8)))
    }

    /// Linux's driver takes one range of twelve ports.
    @Test func theFirmwareDevicesPortsAreOneRange() {
        var board = Self.pc
        board.parts = [
            .init(plugin: "fw-cfg", ports: [.init(0x511, 1), .init(0x514, 8), .init(0x510, 2)], interrupts: [])
        ]
        #expect(board.tables.tables.bytes.contains([0x47, 1, 0x10, 5, 0x10, 5, 1, 12]))
        board.parts = [.init(plugin: "pic8259", ports: [.init(0x20, 2), .init(0xA0, 2)], interrupts: [])]
        #expect(board.tables.tables.bytes.contains([0x47, 1, 0x20, 0, 0x20, 0, 1, 2, 0x47, 1, 0xA0, 0, 0xA0, 0, 1, 2]))
    }

    /// Ports, IRQ 6 and channel 2 as small resource items (ACPI 6.5, 6.4.2).
    @Test func theFloppyControllerHasItsChannel() {
        var board = Self.pc
        board.parts = [
            .init(plugin: "fdc82077", ports: [.init(0x3F0, 6), .init(0x3F7, 1)], interrupts: [6], channels: [2]),
            .init(
                plugin: "dma8237", ports: [.init(0, 16), .init(0x80, 16), .init(0xC0, 32)], interrupts: [],
                channels: [4]),
        ]
        let bytes = board.tables.tables.bytes
        #expect(
            bytes.contains([
                0x47, 1, 0xF0, 3, 0xF0, 3, 1, 6, 0x47, 1, 0xF7, 3, 0xF7, 3, 1, 1, 0x22, 0x40, 0, 0x2A, 0x04, 0x00, 0x79,
            ]))
        #expect(bytes.contains([0x47, 1, 0xC0, 0, 0xC0, 0, 1, 0x20, 0x2A, 0x10, 0x00, 0x79]))
        #expect(bytes.contains(Array("FDC0".utf8)) && bytes.contains(Array("DMA0".utf8)))
    }

    private func little(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32($1 * 8) }
    }

    /// Where the table of this signature begins: at its revision and its length that fits.
    private func offset(of signature: String, in bytes: [UInt8]) -> Int {
        let name = Array(signature.utf8)
        return bytes.indices.dropLast(36).first {
            Array(bytes[$0..<$0 + 4]) == name && Array(bytes[$0 + 10..<$0 + 16]) == Array("BCKPLN".utf8)
        } ?? 0
    }
}
