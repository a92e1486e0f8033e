import Core
import Testing

/// Claims by width and direction, mappings by direction, and RAM that is mapped again: what boards are made of.
@Suite struct MemoryMapTests {
    private func machine() throws -> Machine {
        try TestMachine(
            """
            machine: windows
            memory: 1MiB
            devices:
              - { id: windows, plugin: windows }
            """, engine: false
        ).machine
    }

    /// PCI's configuration mechanism #1 beside the reset control register of a PIIX3 (0xCF9).
    @Test func aWholeClaimTakesItsWidthUnsplitAndLeavesTheRest() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        _ = machine.access(port: 0xcf8, width: 4, value: 0x8000_1234)
        #expect(machine.access(port: 0xcf8, width: 4) == 0x8000_1234)
        _ = machine.access(port: 0xcf9, width: 1, value: 0x06)
        #expect(machine.access(port: 0xcf9, width: 1) == 0x06)
        #expect(machine.access(port: 0xcf8, width: 4) == 0x8000_1234)
        // Other accesses are split as if it were not there: nobody has 0xcf8, 0xcfa and 0xcfb by bytes.
        #expect(machine.access(port: 0xcf8, width: 1) == 0xff)
        #expect(machine.access(port: 0xcf8, width: 2) == 0x06ff)
        // A dword that lies not wholly inside.
        #expect(machine.access(port: 0xcf9, width: 4) == 0xffff_ff06)
        #expect(machine.peek(space: .ports, address: 0xcf8, width: 4) == 0x8000_1234)
        #expect(machine.peek(space: .ports, address: 0xcf9, width: 1) == 0x06)
    }

    @Test func aClaimOfOneDirectionLeavesTheOther() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        _ = machine.access(port: 0x330, width: 1, value: 0x77)
        #expect(machine.access(port: 0x330, width: 1) == 0x33)
        // Off, and what lies below is there.
        _ = machine.access(port: 0x340, width: 1, value: 4)
        #expect(machine.access(port: 0x330, width: 1) == 0x77)
    }

    @Test func shadowRAMIsWrittenWhileROMIsRead() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(machine.access(address: 0xf0010, width: 4) == 0xaaaa_aaaa)
        _ = machine.access(address: 0xf0010, width: 4, value: 0x1234_5678)
        #expect(machine.access(address: 0xf0010, width: 4) == 0xaaaa_aaaa)
        // ROM off: the RAM below has what was written.
        _ = machine.access(port: 0x340, width: 1, value: 0)
        #expect(machine.access(address: 0xf0010, width: 4) == 0x1234_5678)
        _ = machine.access(port: 0x340, width: 1, value: 1)
        #expect(machine.access(address: 0xf0010, width: 4) == 0xaaaa_aaaa)
        // At another place the first one is RAM, and RAM's end can be crossed into ROM.
        _ = machine.access(port: 0x340, width: 1, value: 2)
        #expect(machine.access(address: 0xf0010, width: 4) == 0x1234_5678)
        _ = machine.access(address: 0xdfffe, width: 2, value: 0xbeef)
        #expect(machine.access(address: 0xdfffe, width: 4) == 0xaaaa_beef)
    }

    /// A mapping cannot answer a direction that it was not mapped with.
    @Test func aDirectionThatAMappingDoesNotHaveIsRefused() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        _ = machine.access(port: 0x340, width: 1, value: 5)
        #expect(machine.access(port: 0x340, width: 1) == 0xee)
        #expect(machine.access(address: 0xf0010, width: 1) == 0xaa)
    }

    /// A20 off: the second MiB is the first.
    @Test func ramThatIsMappedAgainIsTheSameRAM() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        _ = machine.access(address: 0x10_0040, width: 4, value: 0xcafe_f00d)
        #expect(machine.access(address: 0x40, width: 4) == 0xcafe_f00d)
        _ = machine.access(port: 0x340, width: 1, value: 3)
        #expect(machine.access(address: 0x10_0040, width: 4) == 0xffff_ffff)
        #expect(machine.access(address: 0x40, width: 4) == 0xcafe_f00d)
    }
}
