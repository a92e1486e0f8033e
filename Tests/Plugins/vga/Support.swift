import Testing
@testable import VGA

/// A VGA with its memory, used by ports and addresses as a PC's software does.
struct Bench {
    var chip = VGA()
    var memory = [UInt8](repeating: 0, count: 0x4_0000)
    var now: UInt64 = 0

    mutating func out(_ port: UInt16, _ value: UInt8) { chip.write(port, value) }
    mutating func inp(_ port: UInt16) -> UInt8 { chip.read(port, at: now) }

    /// An index and data pair: 0x3C4, 0x3CE or 0x3D4.
    mutating func set(_ port: UInt16, _ index: UInt8, _ value: UInt8) {
        out(port, index)
        out(port + 1, value)
    }

    mutating func get(_ port: UInt16, _ index: UInt8) -> UInt8 {
        out(port, index)
        return inp(port + 1)
    }

    mutating func setAttribute(_ index: UInt8, _ value: UInt8) {
        _ = inp(0x3DA)
        out(0x3C0, index)
        out(0x3C0, value)
        _ = inp(0x3DA)
        out(0x3C0, 0x20)
    }

    /// By physical address.
    mutating func poke(_ address: UInt32, _ value: UInt8) {
        // Taken out for the while: the chip and its memory are both accessed.
        var taken: [UInt8] = []
        swap(&taken, &memory)
        var span = taken.mutableSpan
        chip.writeMemory(address - 0xA0000, value, to: &span)
        swap(&taken, &memory)
    }

    mutating func peek(_ address: UInt32) -> UInt8 {
        let memory = memory
        return chip.readMemory(address - 0xA0000, from: memory.span)
    }

    func plane(_ plane: Int, _ offset: Int) -> UInt8 { memory[offset * 4 + plane] }

    mutating func program(
        misc: UInt8, sequencer: [UInt8], crtc: [UInt8], graphics: [UInt8], attribute: [UInt8]
    ) {
        out(0x3C2, misc)
        for (i, value) in sequencer.enumerated() { set(0x3C4, UInt8(i), value) }
        out(0x3D4, 0x11)
        out(0x3D5, 0x00)
        for (i, value) in crtc.enumerated() { set(0x3D4, UInt8(i), value) }
        for (i, value) in graphics.enumerated() { set(0x3CE, UInt8(i), value) }
        for (i, value) in attribute.enumerated() { setAttribute(UInt8(i), value) }
    }

    /// Mode 3, 80 by 25 in 9 by 16 dots, as IBM's BIOS programs it ("Video Subsystem", register values by mode).
    static func text() -> Bench {
        var bench = Bench()
        bench.program(
            misc: 0x67, sequencer: [0x03, 0x00, 0x03, 0x00, 0x02],
            crtc: [
                0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00, 0x9C,
                0x8E,
                0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF,
            ], graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF],
            attribute: [
                0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x0C,
                0x00,
                0x0F, 0x08, 0x00,
            ])
        return bench
    }

    /// The 640 by 480, 16 colour mode's way to memory: planar at 0xA0000.
    static func planar() -> Bench {
        var bench = Bench()
        bench.out(0x3C2, 0xE3)
        for (index, value) in [(2, 0x0F), (4, 0x06)] as [(UInt8, UInt8)] { bench.set(0x3C4, index, value) }
        for (i, value) in ([0, 0, 0, 0, 0, 0, 0x05, 0x0F, 0xFF] as [UInt8]).enumerated() {
            bench.set(0x3CE, UInt8(i), value)
        }
        return bench
    }

    var geometry: TextGeometry? { if case .text(let geometry) = chip.display { geometry } else { nil } }

    func row(_ row: Int) -> String {
        String(decoding: chip.textRow(row, of: memory.span).map(\.character), as: UTF8.self)
    }

    mutating func print(_ text: String, at offset: Int, attribute: UInt8 = 0x07) {
        for (i, character) in text.utf8.enumerated() {
            poke(0xB8000 + UInt32(offset + i) * 2, character)
            poke(0xB8001 + UInt32(offset + i) * 2, attribute)
        }
    }
}
