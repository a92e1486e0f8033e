import Core
import Testing

/// PCI as a guest sees it, through the bundled host bridge and ISA bridge.
@Suite struct PCITests {
    private func machine() throws -> Machine {
        let machine = try TestMachine(
            """
            machine: pci
            cpu: { interrupts: pic }
            memory: 2MiB
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: pci, plugin: i440fx, pirq: [isa.0, isa.1, isa.2, isa.3] }
              - { id: isa, plugin: piix3, bus: pci.1, irq: [pic.9, pic.10, pic.11], interrupts: [9, 10, 11] }
              - { id: ide, plugin: piix-ide, bus: pci.1.1 }
              - { id: card, plugin: pci-card, bus: pci.3 }
              - { id: other, plugin: pci-card, bus: pci.31.7 }
            """, engine: false
        ).machine
        machine.resetInstances(warm: false)
        return machine
    }

    private func select(_ machine: Machine, _ device: UInt32, function: UInt32 = 0, _ offset: UInt32) {
        let address = 0x8000_0000 | device << 11 | function << 8 | offset & 0xfc
        _ = machine.access(port: 0xcf8, width: 4, value: UInt64(address))
    }

    private func read(_ machine: Machine, _ device: UInt32, function: UInt32 = 0, _ offset: UInt32, width: UInt8 = 4)
        -> UInt64
    {
        select(machine, device, function: function, offset)
        return machine.access(port: 0xcfc + UInt16(offset & 3), width: width)
    }

    private func write(
        _ machine: Machine, _ device: UInt32, function: UInt32 = 0, _ offset: UInt32, width: UInt8 = 4,
        _ value: UInt64
    ) {
        select(machine, device, function: function, offset)
        _ = machine.access(port: 0xcfc + UInt16(offset & 3), width: width, value: value)
    }

    @Test func anOperatorSeesTheFunctionsWithoutTouchingThem() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        let seen = machine.pciFunctionSummaries()
        #expect(seen.map(\.instance) == ["isa", "ide", "card", "other"])
        #expect(seen.map(\.bus) == [8, 9, 24, 255].map { Endpoint(instance: "pci", index: $0) })
        #expect(seen.first?.header?[0] == 0x7000_8086)
        try machine.takeOffline("card")
        #expect(machine.pciFunctionSummaries()[2].header == nil)
    }

    /// Everything that answers, without holes between and with the owner's name for it.
    @Test func anOperatorSeesWhoAnswersWhichMemory() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        let map = machine.mapSummaries()
        #expect(map.first?.reads == "RAM" && map.first?.writes == "RAM" && map.first?.first == 0)
        #expect(map.allSatisfy { $0.first <= $0.last })
        #expect(zip(map, map.dropFirst()).allSatisfy { $0.last < $1.first })
    }

    /// Vendor in bits 15:0, device in bits 31:16 (PCI 3.0, 6.2.1).
    @Test func functionsAreFoundWhereTheMachineFilePutsThem() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(read(machine, 0, 0) == 0x1237_8086)
        #expect(read(machine, 1, 0) == 0x7000_8086)
        #expect(read(machine, 1, function: 1, 0) == 0x7010_8086)
        #expect(read(machine, 3, 0) == 0x1234_1af4)
        #expect(read(machine, 31, function: 7, 0) == 0x1234_1af4)
        // Nobody is there: master abort.
        #expect(read(machine, 2, 0) == 0xffff_ffff)
        #expect(read(machine, 1, function: 2, 0) == 0xffff_ffff)
        // Another bus.
        _ = machine.access(port: 0xcf8, width: 4, value: 0x8001_0000)
        #expect(machine.access(port: 0xcfc, width: 4) == 0xffff_ffff)
    }

    /// The header type's bit 7 says that a device has several functions (6.2.1).
    @Test func aDeviceWithSiblingsSaysSo() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(read(machine, 1, 0x0e, width: 1) & 0x80 == 0x80)
        #expect(read(machine, 3, 0x0e, width: 1) & 0x80 == 0)
        #expect(read(machine, 0, 0x0e, width: 1) & 0x80 == 0)
        #expect(read(machine, 1, 0x0c) & 0x80_0000 == 0x80_0000)
    }

    @Test func bytesAndWordsOfConfigurationSpaceAreReached() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(read(machine, 0, 2, width: 2) == 0x1237)
        #expect(read(machine, 0, 3, width: 1) == 0x12)
        // A word over two of the register's bytes, not aligned: byte enables.
        select(machine, 0, 0)
        #expect(machine.access(port: 0xcfd, width: 2) == 0x3780)
        // The latch is the dword's alone; without its bit 31 the window is no window.
        #expect(machine.access(port: 0xcf8, width: 4) == 0x8000_0000)
        _ = machine.access(port: 0xcf8, width: 4, value: 0)
        #expect(machine.access(port: 0xcfc, width: 4) == 0xffff_ffff)
    }

    @Test func aFunctionKnowsItsPlace() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        let card = try #require(machine.instance(named: "card"))
        let other = try #require(machine.instance(named: "other"))
        #expect(try machine.invoke("place", [], on: card) == .unsigned(3 << 3))
        #expect(try machine.invoke("place", [], on: other) == .unsigned(31 << 3 | 7))
    }

    /// INTA# of device 3 is PIRQ (3 - 1 + 1 - 1) & 3, C, and PIIX3's register at 0x62 leads it to an ISA interrupt (bit 7 clear).
    @Test func anInterruptOfACardReachesTheCPUByTheRouter() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        for (port, value) in [
            (0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01), (0x21, 0xfb), (0xa0, 0x11), (0xa1, 0x28),
            (0xa1, 0x02),
            (0xa1, 0x01), (0xa1, 0xf9), (0x4d1, 0x06),
        ] as [(UInt16, UInt64)] {
            _ = machine.access(port: port, width: 1, value: value)
        }
        write(machine, 3, 0x40, width: 1, 1)
        #expect(!machine.interruptPin(), "the router's registers are 80h after reset: led nowhere")
        write(machine, 1, 0x62, width: 1, 10)
        #expect(machine.interruptPin())
        write(machine, 3, 0x40, width: 1, 0)
        #expect(!machine.interruptPin())
        // Two cards on one line: (31 - 1) & 3 is 2 as well.
        write(machine, 3, 0x40, width: 1, 1)
        write(machine, 31, function: 7, 0x40, width: 1, 1)
        write(machine, 3, 0x40, width: 1, 0)
        #expect(machine.interruptPin())
        write(machine, 31, function: 7, 0x40, width: 1, 0)
        #expect(!machine.interruptPin())
    }

    /// 82441FX, PAM: bits 5:4 of 0x59 are 0xF0000 to 0xFFFFF, bit 0 of a field reads RAM, bit 1 writes it.
    @Test func pamTurnsRAMOnByDirection() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        // After reset PCI has it, and no ROM is there.
        _ = machine.access(address: 0xf1000, width: 4, value: 0x1111_1111)
        #expect(machine.access(address: 0xf1000, width: 4) == 0xffff_ffff)
        write(machine, 0, 0x59, width: 1, 0x20)
        _ = machine.access(address: 0xf1000, width: 4, value: 0x2222_2222)
        #expect(machine.access(address: 0xf1000, width: 4) == 0xffff_ffff)
        write(machine, 0, 0x59, width: 1, 0x10)
        #expect(machine.access(address: 0xf1000, width: 4) == 0x2222_2222)
        _ = machine.access(address: 0xf1000, width: 4, value: 0x3333_3333)
        #expect(machine.access(address: 0xf1000, width: 4) == 0x2222_2222)
        // Above, RAM is RAM, and below too.
        _ = machine.access(address: 0x10_0000, width: 4, value: 0x4444_4444)
        #expect(machine.access(address: 0x10_0000, width: 4) == 0x4444_4444)
        machine.resetInstances(warm: false)
        #expect(machine.access(address: 0xf1000, width: 4) == 0xffff_ffff)
    }

    /// RCPU of 0xCF9 resets where it rises; the byte is PIIX3's although the host bridge has the dword at 0xCF8.
    @Test func theResetRegisterIsBesideTheConfigurationAddress() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        select(machine, 3, 0)
        _ = machine.access(port: 0xcf9, width: 1, value: 2)
        #expect(machine.access(port: 0xcf9, width: 1) == 2)
        #expect(machine.access(port: 0xcf8, width: 4) == 0x8000_1800)
        machine.clearRequests()
    }

    @Test func placesOnABusAreChecked() {
        for place in ["pci.32", "pci.1.8", "pci.x", "pci.1.2.3", "pci"] {
            let error = #expect(throws: MachineError.self) {
                try TestMachine(
                    """
                    machine: pci
                    memory: 2MiB
                    devices:
                      - { id: pci, plugin: i440fx }
                      - { id: card, plugin: pci-card, bus: \(place) }
                    """, engine: false)
            }
            #expect(error?.description.contains("pci") == true, "\(place)")
        }
        let error = #expect(throws: MachineError.self) {
            try TestMachine(
                """
                machine: pci
                memory: 2MiB
                devices:
                  - { id: pci, plugin: i440fx }
                  - { id: card, plugin: pci-card, bus: pci.0 }
                """, engine: false)
        }
        #expect(error?.description.contains("device 0 of the bus is the host bridge itself") == true)
    }
}
