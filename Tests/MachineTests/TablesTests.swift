import Core
import Testing

/// What firmware reads of ACPI's tables by fw_cfg, made of bundled plugins and of a stranger's.
@Suite struct TablesTests {
    private func tables(_ parts: String...) throws -> [UInt8] {
        let machine = try TestMachine(
            """
            machine: told
            cpu: { interrupts: apic }
            memory: 2MiB
            devices:
              - { id: pci, plugin: i440fx, pirq: [isa.0, isa.1, isa.2, isa.3] }
              - { id: isa, plugin: piix3, bus: pci.1, irq: [gsi.5, gsi.10, gsi.11], interrupts: [5, 10, 11] }
              - { id: pm, plugin: piix4-pm, bus: pci.1.3, at: 0x600, irq: gsi.9 }
              - { id: cfg, plugin: fw-cfg, tables: [acpi] }
              - { id: acpi, plugin: acpi }
              - { id: gsi, plugin: gsi, pic: pic.0-15, ioapic: ioapic.0-23 }
              - { id: apic, plugin: lapic, extint: pic }
              - { id: ioapic, plugin: ioapic, apic: apic }
              - { id: pic, plugin: pic8259 }
            \(parts.map { "  - " + $0 }.joined(separator: "\n"))
            """, engine: false
        ).machine
        defer { machine.tearDown() }
        machine.resetInstances(warm: false)
        return try #require(file("etc/acpi/tables", machine))
    }

    /// Source: QEMU, docs/specs/fw_cfg: key 0x19 is the directory, with numbers in big-endian order.
    private func file(_ name: String, _ machine: Machine) -> [UInt8]? {
        func read(_ count: Int) -> [UInt8] {
            (0..<count).map { _ in UInt8(truncatingIfNeeded: machine.access(port: 0x511, width: 1)) }
        }
        func number(_ bytes: some Sequence<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
        _ = machine.access(port: 0x510, width: 2, value: 0x19)
        for _ in 0..<number(read(4)) {
            let entry = read(64)
            guard String(decoding: entry[8...].prefix { $0 != 0 }, as: UTF8.self) == name else { continue }
            _ = machine.access(port: 0x510, width: 2, value: UInt64(number(entry[4..<6])))
            return read(number(entry[..<4]))
        }
        return nil
    }

    /// PNP0100 as AML has it: a compressed EISA ID (ACPI 6.5, 19.3.4).
    private static let timer: [UInt8] = [0x41, 0xD0, 0x01, 0x00]
    private static let speaker: [UInt8] = [0x41, 0xD0, 0x08, 0x00]

    @Test func aMachineWithoutATimerHasNoneInItsTables() throws {
        let without = try tables()
        #expect(!without.contains(Self.timer) && !without.contains(Self.speaker))
        let with = try tables("{ id: pit, plugin: pit8254, irq: gsi.0 }")
        #expect(with.contains(Self.timer) && with.contains(Self.speaker) && with.contains(Array("PIT_".utf8)))
        let deaf = try tables("{ id: pit, plugin: pit8254, irq: gsi.0, has-port-b: off }")
        #expect(deaf.contains(Self.timer) && !deaf.contains(Self.speaker))
    }

    /// Ports and IRQ are what the machine file says, at its place and its line (6.4.2).
    @Test func aPartIsToldWithWhatTheMachineFileGivesIt() throws {
        let bytes = try tables("{ id: odd-one, plugin: uart16550, at: 0x1238, irq: gsi.7 }")
        #expect(bytes.contains(Array("ODDO".utf8)))
        #expect(bytes.contains([0x47, 1, 0x38, 0x12, 0x38, 0x12, 1, 8, 0x22, 0x80, 0, 0x79]))
    }

    @Test func theRoutersLinkDevicesOfferWhatNoPartDrives() throws {
        let bytes = try tables("{ id: com1, plugin: uart16550, irq: gsi.10 }")
        #expect(bytes.contains([0x89, 10, 0, 9, 2, 5, 0, 0, 0, 11, 0, 0, 0]))
    }
}
