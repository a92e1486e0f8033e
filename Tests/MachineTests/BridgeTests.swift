import Core
import Testing

/// Buses behind PCI-to-PCI bridges (bridge specification 1.2), through the bundled host bridge.
@Suite struct BridgeTests {
    private func machine(_ more: String = "") throws -> Machine {
        let machine = try TestMachine(
            """
            machine: bridges
            cpu: { interrupts: pic }
            memory: 2MiB
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: pci, plugin: i440fx, pirq: [pic.3, pic.4, pic.5, pic.10], apic-pirq: [pic.11] }
              - { id: near, plugin: pci-bridge, bus: pci.5 }
              - { id: far, plugin: pci-bridge, bus: near.1 }
              - { id: card, plugin: pci-card, bus: near.2 }
              - { id: last, plugin: pci-card, bus: far.3.1 }
              - { id: sibling, plugin: pci-card, bus: far.3 }
            \(more)
            """, engine: false
        ).machine
        machine.resetInstances(warm: false)
        return machine
    }

    private func read(_ machine: Machine, bus: UInt64, _ device: UInt64, function: UInt64 = 0, _ offset: UInt64)
        -> UInt64
    {
        let address = 0x8000_0000 | bus << 16 | device << 11 | function << 8 | offset & 0xfc
        _ = machine.access(port: 0xcf8, width: 4, value: address)
        return machine.access(port: 0xcfc, width: 4)
    }

    private func write(
        _ machine: Machine, bus: UInt64, _ device: UInt64, function: UInt64 = 0, _ offset: UInt64, _ value: UInt64
    ) {
        let address = 0x8000_0000 | bus << 16 | device << 11 | function << 8 | offset & 0xfc
        _ = machine.access(port: 0xcf8, width: 4, value: address)
        _ = machine.access(port: 0xcfc, width: 4, value: value)
    }

    /// Primary, secondary and subordinate number (3.2.5.2 to 4).
    private func number(_ machine: Machine) {
        write(machine, bus: 0, 5, 0x18, 0x02_01_00)
        write(machine, bus: 1, 1, 0x18, 0x02_02_01)
    }

    @Test func busesAreReachedOnceTheyAreNumbered() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(read(machine, bus: 0, 5, 0) == 0x0001_1B36)
        #expect(read(machine, bus: 0, 5, 8) >> 8 == 0x06_04_00)
        #expect(read(machine, bus: 0, 5, 0xC) >> 16 & 0xff == 1)
        #expect(read(machine, bus: 1, 2, 0) == 0xFFFF_FFFF)
        number(machine)
        #expect(read(machine, bus: 1, 2, 0) == 0x1234_1AF4)
        #expect(read(machine, bus: 1, 3, 0) == 0xFFFF_FFFF)
        #expect(read(machine, bus: 2, 3, function: 1, 0) == 0x1234_1AF4)
        #expect(read(machine, bus: 3, 3, 0) == 0xFFFF_FFFF)
        // Bit 7 of the header type: there is a function 1.
        #expect(read(machine, bus: 2, 3, 0xC) >> 16 & 0x80 == 0x80)
        #expect(read(machine, bus: 1, 2, 0xC) >> 16 & 0x80 == 0)
        write(machine, bus: 2, 3, function: 1, 0x44, 0xCAFE)
        #expect(read(machine, bus: 2, 3, function: 1, 0x44) == 0xCAFE)
        let last = try #require(machine.instance(named: "last"))
        #expect(try machine.invoke("place", [], on: last) == .unsigned(2 << 8 | 3 << 3 | 1))
    }

    /// Pin p (0...3) of device d is the bridge's pin (p + d) & 3 (9.1). PIRQ A leads to an I/O APIC's input beside, here IRQ 11.
    @Test func pinsAreThoseOfTheBridge() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        number(machine)
        func high() -> [UInt32] {
            machine.lineSummaries().filter { $0.endpoint.instance == "pic" && $0.level }.map(\.endpoint.index)
        }
        // Device 2, pin 0: bridge pin (0 + 2) & 3 = 2; at the root (5 - 1 + 2) & 3 = 2: PIRQ C, IRQ 5.
        write(machine, bus: 1, 2, 0x40, 1)
        #expect(high() == [5])
        // Device 3, pin 0: far's pin 3; near's (1 + 3) & 3 = 0; at the root (5 - 1 + 0) & 3 = 0: PIRQ A, IRQ 3.
        write(machine, bus: 2, 3, 0x40, 1)
        #expect(high() == [3, 5, 11])
        write(machine, bus: 2, 3, function: 1, 0x40, 1)
        write(machine, bus: 2, 3, 0x40, 0)
        #expect(high() == [3, 5, 11])
        write(machine, bus: 2, 3, function: 1, 0x40, 0)
        write(machine, bus: 1, 2, 0x40, 0)
        #expect(high() == [])
    }

    /// Bridge Control, bit 6 (3.2.5.18).
    @Test func aResetOfTheSecondaryBusResetsWhatIsBehind() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        number(machine)
        write(machine, bus: 1, 2, 0x44, 0xCAFE)
        write(machine, bus: 0, 5, 0x3C, 0x40 << 16)
        #expect(read(machine, bus: 1, 2, 0x44) == 0)
    }

    @Test func bridgesOnEachOthersBusEndNothing() throws {
        let machine = try machine(
            """
              - { id: one, plugin: pci-bridge, bus: two.1 }
              - { id: two, plugin: pci-bridge, bus: one.1 }
              - { id: lost, plugin: pci-card, bus: one.2 }
            """)
        defer { machine.tearDown() }
        number(machine)
        #expect(read(machine, bus: 1, 2, 0) == 0x1234_1AF4)
    }
}
