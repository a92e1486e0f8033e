import CBackplane
import Testing

@testable import Core

/// display/1 and input/1 between two plugins.
@Suite struct ScreenTests {
    private func machine() throws -> Machine {
        let machine = try TestMachine(
            """
            machine: screens
            memory: 1MiB
            devices:
              - { id: card, plugin: screen-card, display: [first, second] }
            backends:
              - { id: first, plugin: viewer, keys: card.0 }
              - { id: second, plugin: viewer, keys: card.1 }
            """, engine: false
        ).machine
        try machine.start()
        return machine
    }

    private func call(_ machine: Machine, _ id: String, _ method: String, _ arguments: String...) throws -> String {
        guard
            case .text(let text) = try machine.invoke(method, arguments, on: try #require(machine.instance(named: id)))
        else { return "" }
        return text
    }

    /// BP_INPUT_KEYS | BP_INPUT_LEDS is 17.
    @Test func aPictureIsPulledAndEachWireHasItsOwn() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(try call(machine, "first", "seen") == "takes 17")
        #expect(try call(machine, "second", "seen") == "takes 0")
        _ = try call(machine, "first", "look", "off")
        #expect(
            try call(machine, "first", "seen") == "cells 4 by 2 in aaaaaa, damage 4 by 2, frame 77 @ABCDEFG")
        #expect(try call(machine, "second", "seen") == "")
        _ = try call(machine, "first", "look", "off")
        #expect(try call(machine, "first", "seen") == "damage 1 by 1, frame 77 @ABCDEFG")
        _ = try call(machine, "second", "look", "on")
        #expect(
            try call(machine, "second", "seen") == "cells 4 by 2 in aaaaaa, damage 4 by 2, frame 77 @ABCDEFG")
    }

    @Test func keysReachTheDeviceByTheEndOfTheirPacketAndLampsComeBackToAll() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        for id in ["first", "second"] { _ = try call(machine, id, "seen") }
        _ = try call(machine, "second", "type", "0x58")
        #expect(try call(machine, "first", "seen") == "")
        _ = try call(machine, "first", "type", "0x58")
        #expect(try call(machine, "first", "seen") == "lamps 2")
        #expect(try call(machine, "second", "seen") == "lamps 2")
        _ = try call(machine, "second", "look", "off")
        #expect(try call(machine, "second", "seen").hasSuffix("frame 77 XABCDEFG"))
    }

    /// The host looks behind the machine file's wires, and types.
    @Test func theHostLooksAndTypesWithoutAWire() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(machine.screenNames == ["card"])
        func first() throws -> UInt32 {
            try machine.look(at: nil) { picture in
                guard case .cells(let form, let region) = picture else { return 0 }
                return region.loadUnaligned(fromByteOffset: Int(form.cells), as: UInt32.self)
            }
        }
        #expect(try first() == 0x40)
        try machine.press(keys: [0x41, 0x42], hold: 5_000_000, on: nil)
        #expect(try first() == 0x42)
        // The keys that wait come after those that are held, which go in virtual time.
        try machine.press(keys: [0x43], hold: 5_000_000, on: "card.0")
        #expect(try first() == 0x42)
        _ = machine.advance(to: 4_999_999, limit: 100)
        #expect(try first() == 0x42)
        _ = machine.advance(to: 5_000_000, limit: 100)
        #expect(try first() == 0x43)
        _ = machine.advance(to: 10_000_000, limit: 100)
        #expect(try first() == 0x2e)
        #expect(throws: MachineError.self) { try machine.press(keys: [1], hold: 0, on: "card.1") }
        #expect(throws: MachineError.self) { try machine.look(at: "first") { _ in } }
        // What it pressed on the way off line is forgotten, and what comes later is not held up by it.
        try machine.press(keys: [0x44], hold: 5_000_000, on: nil)
        try machine.takeOffline("card")
        #expect(throws: MachineError.self) { try machine.press(keys: [1], hold: 0, on: nil) }
        #expect(throws: MachineError.self) { try first() }
        try machine.bringOnline("card")
        try machine.press(keys: [0x45], hold: 5_000_000, on: nil)
        #expect(try first() == 0x45)
    }
}

/// The bundled `vga` and `i8042`, through the machine's ports.
@Suite struct PCScreenTests {
    private func machine() throws -> Machine {
        let machine = try TestMachine(
            """
            machine: pc-screen
            memory: 4MiB
            cpu: { interrupts: pic }
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: kbd, plugin: i8042, irq: pic.1, mouse-irq: pic.12 }
              - { id: vga, plugin: vga, memory: 1MiB }
            """, engine: false
        ).machine
        try machine.start()
        return machine
    }

    private func out(_ machine: Machine, _ port: UInt16, _ value: UInt64, width: UInt8 = 1) {
        _ = machine.access(port: port, width: width, value: value)
    }

    /// 80 by 25 as mode 3 of a VGA BIOS has it, as far as it decides what is shown.
    private func setTextMode(_ machine: Machine) {
        out(machine, 0x3c2, 0x67)
        for (index, value) in [(1, 0x00), (2, 0x03), (3, 0x00), (4, 0x02)] {
            out(machine, 0x3c4, UInt64(value << 8 | index), width: 2)
        }
        for (index, value) in [
            (0x11, 0x0e), (0x01, 0x4f), (0x07, 0x1f), (0x09, 0x4f), (0x0a, 0x0d), (0x0b, 0x0e), (0x0c, 0), (0x0d, 0),
            (0x0e, 0), (0x0f, 3), (0x12, 0x8f), (0x13, 0x28), (0x14, 0x1f), (0x17, 0xa3), (0x18, 0xff),
        ] { out(machine, 0x3d4, UInt64(value << 8 | index), width: 2) }
        for (index, value) in [(5, 0x10), (6, 0x0e), (8, 0xff)] {
            out(machine, 0x3ce, UInt64(value << 8 | index), width: 2)
        }
        _ = machine.access(port: 0x3da, width: 1)
        for index in 0..<16 as Range<UInt64> {
            out(machine, 0x3c0, index)
            out(machine, 0x3c0, index)
        }
        for (index, value) in [(0x10, 0x0c), (0x12, 0x0f), (0x13, 0x08), (0x20, 0)] as [(UInt64, UInt64)] {
            out(machine, 0x3c0, index)
            out(machine, 0x3c0, value)
        }
        out(machine, 0x3c8, 7)
        for part in [0x2a, 0x2a, 0x15] as [UInt64] { out(machine, 0x3c9, part) }
    }

    private func cells(_ machine: Machine) throws -> (form: bp_display_cells, text: String)? {
        try machine.look(at: "vga") { picture in
            guard case .cells(let form, let region) = picture else { return nil }
            let characters = (0..<Int(form.columns * form.rows)).map {
                region.loadUnaligned(fromByteOffset: Int(form.cells) + 8 * $0, as: bp_cell.self).character
            }
            let scalars = characters.map { Unicode.Scalar($0 == 0 ? 0x20 : $0) ?? "?" }
            return (form, String(String.UnicodeScalarView(scalars)))
        }
    }

    @Test func whatTheGuestWritesAtB8000IsShownAsTextInItsColours() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(try cells(machine) == nil)
        setTextMode(machine)
        for (index, byte) in "Hi\u{b0}".unicodeScalars.enumerated() {
            _ = machine.access(address: 0xb8000 + UInt64(index) * 2, width: 2, value: UInt64(byte.value) | 0x0700)
        }
        let shown = try #require(try cells(machine))
        #expect((shown.form.columns, shown.form.rows, shown.form.cell_width, shown.form.cell_height) == (80, 25, 9, 16))
        #expect(shown.text.hasPrefix("Hi\u{2591} "))
        #expect((shown.form.cursor_column, shown.form.cursor_row) == (3, 0))
        #expect(shown.form.palette.7 == 0xaaaa55)
        #expect(machine.access(address: 0xb8000, width: 4) == 0x0769_0748)
        try machine.resetInstance("vga")
        #expect(try cells(machine) == nil)
    }

    /// Register 0 is the version, 1 to 3 the shape, 4 enables (0x41: linear).
    @Test func aLinearModeShowsItsPixelsFromVideoMemory() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(machine.access(port: 0x1cf, width: 2) == 0xb0c5)
        for (index, value) in [(1, 64), (2, 8), (3, 32), (4, 0x41)] as [(UInt64, UInt64)] {
            out(machine, 0x1ce, index, width: 2)
            out(machine, 0x1cf, value, width: 2)
        }
        _ = machine.access(address: 0xa0000 + 256, width: 4, value: 0x0012_3456)
        let shown = try machine.look(at: nil) { picture -> [UInt32] in
            guard case .surface(let surface, let region, _) = picture else { return [] }
            return [
                surface.width, surface.height, surface.format, surface.stride,
                region.loadUnaligned(fromByteOffset: 256, as: UInt32.self),
            ]
        }
        #expect(shown == [64, 8, 1, 256, 0x12_3456])
    }

    /// Set 2 translated: 1E is A's make code and 9E its break code; IRQ 1 with each. A byte takes 880 us.
    @Test func keysComeAtPort60WithTheirInterrupt() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        out(machine, 0x64, 0x60)
        out(machine, 0x60, 0x45)
        try machine.press(keys: [30], hold: 10_000_000, on: nil)
        #expect(machine.access(port: 0x64, width: 1) & 1 == 0)
        _ = machine.advance(to: 1_000_000, limit: 10)
        let line = { machine.lineSummaries().contains { $0.endpoint.index == 1 && $0.level } }
        #expect(line())
        #expect(machine.access(port: 0x64, width: 1) & 0x21 == 1)
        #expect(machine.access(port: 0x60, width: 1) == 0x1e)
        #expect(!line())
        _ = machine.advance(to: 9_900_000, limit: 10)
        #expect(!line())
        _ = machine.advance(to: 12_000_000, limit: 10)
        #expect(line())
        #expect(machine.access(port: 0x60, width: 1) == 0x9e)
    }

    /// Command DD holds A20 low: the second MiB is the first one.
    @Test func a20MapsTheFirstMegabyteAgain() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        _ = machine.access(address: 0x500, width: 4, value: 0x1111)
        _ = machine.access(address: 0x10_0500, width: 4, value: 0x2222)
        for _ in 0..<2 {
            out(machine, 0x64, 0xdd)
            #expect(machine.access(address: 0x10_0500, width: 4) == 0x1111)
            out(machine, 0x64, 0xdf)
            #expect(machine.access(address: 0x10_0500, width: 4) == 0x2222)
        }
    }
}
