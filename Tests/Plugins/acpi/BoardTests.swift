import ACPITables
import BoardSurvey
import PluginKit
import Testing

@testable import ACPINameSpace

/// A survey in a few words: parts are added with what they have.
struct BoardSketch {
    var instances: [Survey.Instance] = []
    var claims: [Survey.Claim] = []
    var wires: [Survey.Wire] = []
    var nodes: [Survey.Node] = []

    @discardableResult
    mutating func add(_ id: String, ports: [(UInt64, UInt64, String)] = [], memory: [(UInt64, UInt64)] = []) -> Int {
        let number = instances.count
        instances.append(.init(id: id, plugin: "any"))
        for (base, length, name) in ports {
            claims.append(.init(instance: number, space: BP_SPACE_PORT, base: base, length: length, name: name))
        }
        for (base, length) in memory {
            claims.append(
                .init(instance: number, space: BP_SPACE_MEMORY, base: base, length: length, name: "registers"))
        }
        return number
    }

    mutating func line(_ instance: Int, _ slot: String = "irq", _ position: Int = 0, to target: Int, _ index: UInt32) {
        wires.append(
            .init(
                instance: instance, slot: slot, interface: "irq-line/1", position: position, target: target,
                index: index))
    }

    mutating func place(_ instance: Int, on bus: Int, _ device: UInt32, _ function: UInt32 = 0) {
        wires.append(
            .init(
                instance: instance, slot: "bus", interface: "pci/1", position: 0, target: bus,
                index: device << 3 | function))
    }

    var board: Board {
        var board = Board(Survey(instances: instances, claims: claims, wires: wires, nodes: nodes), [])
        board.lowMemoryEnd = 0x1000_0000
        return board
    }

    /// Lines, APICs, power, a host bridge and an ISA bridge with link devices. Numbers: 0 lines, 3 PCI, 4 ISA, 5 power.
    static var pc: BoardSketch {
        var sketch = BoardSketch()
        let lines = sketch.add("gsi")
        let apic = sketch.add("apic", memory: [(0xFEE0_0000, 4096)])
        let ioapic = sketch.add("ioapic", memory: [(0xFEC0_0000, 32)])
        let pci = sketch.add("pci", ports: [(0xCF8, 4, "address"), (0xCFC, 4, "data")])
        let isa = sketch.add("isa", ports: [(0xCF9, 1, "reset control"), (0xB2, 1, "APM control")])
        let power = sketch.add("pm", ports: [(0x600, 64, "power management")])
        sketch.nodes = [
            .init(instance: lines, hid: nil, role: .lines, flags: .numbersLines),
            .init(instance: apic, hid: nil, role: .localAPIC), .init(instance: ioapic, hid: nil, role: .ioAPIC),
            .init(instance: pci, hid: "PNP0A03", role: .hostBridge, slots: ["pirq", "apic-pirq"]),
            .init(
                instance: isa, hid: nil, role: .isaBridge, claims: [], slots: ["irq"],
                template: AML([AML.name("TEMP", .integer(1))]).bytes, links: ["LNKA", "LNKB", "LNKC", "LNKD"]),
            .init(instance: power, hid: nil, role: .power),
        ]
        sketch.place(isa, on: pci, 1)
        sketch.place(power, on: pci, 1, 3)
        sketch.line(power, to: lines, 9)
        for position in 0..<4 { sketch.line(pci, "pirq", position, to: isa, UInt32(position)) }
        for (position, number) in ([3, 4, 5, 10, 11] as [UInt32]).enumerated() {
            sketch.line(isa, "irq", position, to: lines, number)
        }
        return sketch
    }

    mutating func add(_ hid: String, _ id: String, at port: UInt64, _ count: UInt64, irq: UInt32?) {
        let number = add(id, ports: [(port, count, "registers")])
        nodes.append(.init(instance: number, hid: hid))
        if let irq { line(number, to: 0, irq) }
    }
}

@Suite struct BoardTests {
    private func tables(_ sketch: BoardSketch) throws -> [UInt8] { try #require(sketch.board.acpi).tables.bytes }

    /// Firmware is told the sizes at power-on, and reads the contents once the guest has placed the power block.
    @Test func lengthsDoNotDependOnWhatTheGuestPlaces() throws {
        var before = BoardSketch.pc
        before.claims.removeAll { $0.name == "power management" }
        let unplaced = try #require(before.board.acpi)
        let placed = try #require(BoardSketch.pc.board.acpi)
        #expect(unplaced.tables.bytes.count == placed.tables.bytes.count)
        #expect(unplaced.loaderScript == placed.loaderScript)
        #expect(unplaced.tables.bytes != placed.tables.bytes)
        var moved = before.board
        moved.movePower(as: BoardSketch.pc.board)
        #expect(moved.acpi?.tables.bytes == placed.tables.bytes)
    }

    @Test func thePowerBlockIsWhereTheGuestPutIt() throws {
        var sketch = BoardSketch.pc
        sketch.claims = sketch.claims.map {
            $0.name == "power management"
                ? .init(instance: $0.instance, space: $0.space, base: 0xB000, length: 64, name: $0.name) : $0
        }
        let bytes = try tables(sketch)
        let start = offset(of: "FACP", in: bytes)
        func port(_ offset: Int) -> UInt32 { little(bytes, start + offset) }
        #expect([port(56), port(64), port(76), port(80)] == [0xB000, 0xB004, 0xB008, 0xB00C])
        #expect(port(48) == 0xB2 && bytes[start + 52] == 0xF1 && bytes[start + 53] == 0xF0)
    }

    @Test func withoutPowerManagementThereAreNoTables() {
        var sketch = BoardSketch.pc
        sketch.nodes.removeAll { $0.role == .power }
        #expect(sketch.board.acpi == nil)
    }

    /// MADT: the timer's override, PCI's interrupts and the SCI as levels that are active high.
    @Test func theInterruptTableSaysHowThePCIsWired() throws {
        let bytes = try tables(.pc)
        let start = offset(of: "APIC", in: bytes)
        let entries = Array(bytes[(start + 44)..<(start + Int(little(bytes, start + 4)))])
        let overrides = (0..<5).map { Array(entries[(20 + $0 * 10)..<(30 + $0 * 10)]) }
        #expect(overrides[0] == [2, 10, 0, 0, 2, 0, 0, 0, 0, 0])
        #expect(
            overrides[1...].map { [$0[3], $0[4], $0[8]] } == [[5, 5, 13], [9, 9, 13], [10, 10, 13], [11, 11, 13]])
    }

    @Test func withoutALocalAPICThereIsNoInterruptTable() throws {
        var sketch = BoardSketch.pc
        sketch.nodes.removeAll { $0.role == .localAPIC }
        #expect(!(try tables(sketch)).contains(Array("APIC".utf8)))
    }

    @Test func whatDeclaresANodeIsADeviceAndWhatDoesNotIsReserved() throws {
        var sketch = BoardSketch.pc
        sketch.add("PNP0501", "com1", at: 0x3F8, 8, irq: 4)
        sketch.add("PNP0501", "com2", at: 0x2F8, 8, irq: 3)
        sketch.add("BCKP0001", "a-strangers-card", at: 0x300, 8, irq: 5)
        sketch.add("debug", ports: [(0x402, 1, "debug console")])
        let bytes = try tables(sketch)
        for name in ["COM1", "COM2", "ASTR", "SYSR", "LNKA", "PCI0", "C000", "BCKP0001"] {
            #expect(bytes.contains(Array(name.utf8)), "\(name)")
        }
        #expect(!bytes.contains(Array("PIT_".utf8)))
        // Ports 0x300 to 0x307, IRQ 5; the port that is nobody's.
        #expect(bytes.contains([0x47, 1, 0x00, 3, 0x00, 3, 1, 8, 0x22, 0x20, 0, 0x79]))
        #expect(bytes.contains([0x47, 1, 0x02, 4, 0x02, 4, 1, 1, 0x79]))
        // PCI may have 10 and 11 still.
        #expect(bytes.contains([0x89, 10, 0, 9, 2, 10, 0, 0, 0, 11, 0, 0, 0]))
    }

    /// The 8042 is two: the keyboard with the ports and IRQ 1, the mouse with IRQ 12.
    @Test func anInstanceMayBeSeveralDevicesWithPartsOfWhatItHas() throws {
        var sketch = BoardSketch.pc
        let controller = sketch.add("kbd", ports: [(0x60, 1, "data"), (0x64, 1, "status and command")])
        sketch.nodes.append(.init(instance: controller, hid: "PNP0303", slots: ["irq"]))
        sketch.nodes.append(.init(instance: controller, hid: "PNP0F13", claims: [], slots: ["mouse-irq"]))
        sketch.line(controller, to: 0, 1)
        sketch.line(controller, "mouse-irq", to: 0, 12)
        let bytes = try tables(sketch)
        #expect(bytes.contains(Array("KBD_".utf8)) && bytes.contains(Array("KBD1".utf8)))
        #expect(bytes.contains([0x47, 1, 0x60, 0, 0x60, 0, 1, 1, 0x47, 1, 0x64, 0, 0x64, 0, 1, 1, 0x22, 2, 0, 0x79]))
        #expect(bytes.contains([0x11, 8, 0x0A, 5, 0x22, 0, 0x10, 0x79, 0]))
    }

    /// A channel whose ports PCI's IDE function has too is that function's.
    @Test func whatPCITellsOfIsNotToldTwice() throws {
        var sketch = BoardSketch.pc
        let ide = sketch.add(
            "ide", ports: [(0x1F0, 8, "channel without drives"), (0x3F6, 1, "channel without drives")])
        sketch.place(ide, on: 3, 1, 1)
        for (id, command, control) in [("hd0", 0x1F0, 0x3F6), ("hd9", 0x1E8, 0x3EE)] as [(String, UInt64, UInt64)] {
            let disk = sketch.add(id, ports: [(command, 8, "command block"), (control, 1, "control block")])
            sketch.nodes.append(.init(instance: disk, hid: "PNP0600"))
        }
        let bytes = try tables(sketch)
        #expect(!bytes.contains(Array("HD0_".utf8)) && bytes.contains(Array("HD9_".utf8)))
        #expect(!bytes.contains([0x47, 1, 0xF0, 1, 0xF0, 1]))
    }

    /// LNRO0005 with 512 bytes of memory and a level-triggered interrupt, active high and shared (ACPI 6.5, 6.4.3.4, 6.4.3.6).
    @Test func virtioByMMIOIsNamedWithItsRegistersAndItsInterrupt() throws {
        var sketch = BoardSketch.pc
        for (number, irq) in [5, 16].enumerated() as EnumeratedSequence<[UInt32]> {
            let part = sketch.add("net\(number)", memory: [(0xD000_0000 + UInt64(number) * 512, 512)])
            sketch.nodes.append(.init(instance: part, hid: "LNRO0005", flags: .level))
            sketch.line(part, to: 0, irq)
        }
        let bytes = try tables(sketch)
        #expect(bytes.contains(Array("NET0".utf8)) && bytes.contains(Array("NET1".utf8)))
        #expect(bytes.contains([0x86, 9, 0, 1, 0, 2, 0, 0xD0, 0, 2, 0, 0, 0x89, 6, 0, 9, 1, 16, 0, 0, 0]))
        // PCI's window leaves their page out.
        #expect(bytes.contains([0x00, 0x00, 0x00, 0x10, 0xFF, 0xFF, 0xFF, 0xCF]))
        #expect(bytes.contains([0x00, 0x10, 0x00, 0xD0, 0xFF, 0xFF, 0xBF, 0xFE]))
    }

    @Test func wiresThatLeadToNothingWithANumberAreNoInterrupts() throws {
        var sketch = BoardSketch.pc
        sketch.add("BCKP0001", "odd", at: 0x300, 8, irq: nil)
        sketch.line(sketch.instances.count - 1, to: 4, 1)
        #expect(try tables(sketch).contains([0x47, 1, 0x00, 3, 0x00, 3, 1, 8, 0x79]))
    }

    /// Linux's driver takes one range of twelve ports.
    @Test func theFirmwareDevicesPortsAreOneRange() throws {
        var sketch = BoardSketch.pc
        let part = sketch.add("cfg", ports: [(0x511, 1, "data"), (0x514, 8, "DMA address"), (0x510, 2, "selector")])
        sketch.nodes.append(.init(instance: part, hid: "QEMU0002", flags: [.hidden, .oneRange]))
        let pic = sketch.add("pic", ports: [(0x20, 2, "master"), (0xA0, 2, "slave")])
        sketch.nodes.append(.init(instance: pic, hid: "PNP0000"))
        let bytes = try tables(sketch)
        #expect(bytes.contains([0x47, 1, 0x10, 5, 0x10, 5, 1, 12]))
        #expect(bytes.contains([0x47, 1, 0x20, 0, 0x20, 0, 1, 2, 0x47, 1, 0xA0, 0, 0xA0, 0, 1, 2]))
    }

    /// Ports, IRQ 6 and channel 2 as small resource items (ACPI 6.5, 6.4.2).
    @Test func theFloppyControllerHasItsChannel() throws {
        var sketch = BoardSketch.pc
        let dma = sketch.add("dma", ports: [(0, 16, "a"), (0x80, 16, "pages"), (0xC0, 32, "b")])
        sketch.nodes.append(.init(instance: dma, hid: "PNP0200"))
        let floppy = sketch.add("fd", ports: [(0x3F0, 6, "a"), (0x3F7, 1, "b")])
        sketch.nodes.append(.init(instance: floppy, hid: "PNP0700"))
        sketch.line(floppy, to: 0, 6)
        sketch.wires.append(
            .init(instance: floppy, slot: "dma", interface: "dma-channel/1", position: 0, target: dma, index: 2))
        let bytes = try tables(sketch)
        #expect(
            bytes.contains([
                0x47, 1, 0xF0, 3, 0xF0, 3, 1, 6, 0x47, 1, 0xF7, 3, 0xF7, 3, 1, 1, 0x22, 0x40, 0, 0x2A, 0x04, 0x00, 0x79,
            ]))
        #expect(bytes.contains([0x47, 1, 0xC0, 0, 0xC0, 0, 1, 0x20, 0x2A, 0x10, 0x00, 0x79]))
    }

    @Test func manyPortsAreARangeOfTheLargeKind() throws {
        var sketch = BoardSketch.pc
        sketch.add("BCKP0001", "wide", at: 0x1000, 0x1000, irq: nil)
        #expect(try tables(sketch).contains([0x87, 23, 0, 1, 0x0D, 3, 0, 0, 0, 0, 0, 0x10, 0, 0, 0xFF, 0x1F, 0, 0]))
    }

    // MARK: Names

    @Test func namesAreFourCharactersOnceEach() {
        var names = SegmentNames()
        #expect(
            ["serial-one", "serial-two", "com1", "9p", "é", "_x", "serial"].map { names.next($0, avoiding: []) }
                == ["SERI", "SER1", "COM1", "D9P_", "D___", "X___", "SER2"])
        #expect(names.next("temp", avoiding: Array("xTEMPx".utf8)) == "TEM1")
        for _ in 0..<1500 { _ = names.next("s", avoiding: []) }
        #expect(names.next("s", avoiding: []).utf8.count == 4)
    }

    /// A card called `isa`, and AML of the bridges with names of its own: each device's names are there once.
    @Test func namesOfADeviceAreNotThoseOfItsAML() throws {
        var sketch = BoardSketch.pc
        sketch.nodes.removeAll { $0.role == .isaBridge || $0.role == .hostBridge }
        sketch.instances[4] = .init(id: "south", plugin: "any")
        let template = AML([AML.name("CARD", .integer(1))]).bytes
        sketch.nodes.append(.init(instance: 3, hid: "PNP0A03", role: .hostBridge, template: template))
        for (place, id) in ["isa", "card"].enumerated() as EnumeratedSequence<[String]> {
            let card = sketch.add(id)
            sketch.nodes.append(.init(instance: card, hid: nil, template: AML([AML.name("TEMP", .integer(2))]).bytes))
            sketch.place(card, on: 3, UInt32(place + 3))
        }
        let bytes = try tables(sketch)
        #expect(count("ISA_", in: bytes) == 1 && count("ISA1", in: bytes) == 1)
        #expect(count("CARD", in: bytes) == 1 && count("CAR1", in: bytes) == 1)
    }

    /// A button needs no ports; a mouse whose interrupt is not wired is none.
    @Test func whatNamesNothingIsThereAndWhatHasNothingOfItIsNot() throws {
        var sketch = BoardSketch.pc
        let button = sketch.add("button")
        sketch.nodes.append(.init(instance: button, hid: "PNP0C0C", claims: [], slots: []))
        let sensor = sketch.add("lid")
        sketch.nodes.append(
            .init(instance: sensor, hid: "PNP0C0D", template: AML([AML.name("OPEN", .integer(1))]).bytes))
        let mouse = sketch.add("mouse")
        sketch.nodes.append(.init(instance: mouse, hid: "PNP0F13", claims: [], slots: ["irq"]))
        let bytes = try tables(sketch)
        #expect(count("BUTT", in: bytes) == 1 && count("LID_", in: bytes) == 1 && count("MOUS", in: bytes) == 0)
    }

    private func count(_ name: String, in bytes: [UInt8]) -> Int {
        bytes.indices.dropLast(3).count { Array(bytes[$0..<$0 + 4]) == Array(name.utf8) }
    }

    @Test func gapsAreWhatNobodyHas() {
        #expect(gaps([], in: 0...9) == [0...9])
        #expect(gaps([2...3, 3...4, 9...20], in: 0...9) == [0...1, 5...8])
        #expect(gaps([0...UInt64.max], in: 0...9) == [])
        #expect(gaps([0x1001...0x1001], in: 0...0x2FFF, granularity: 0x1000) == [0...0xFFF, 0x2000...0x2FFF])
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
