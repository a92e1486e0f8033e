import Core
import SplitMix
import Testing

/// Disk DMA as a guest programs it: ATA/ATAPI-6's commands, and the registers of "Programming Interface for Bus Master IDE Controller" 1.0.
@Suite struct BusMasterTests {
    /// A machine whose bus master registers are at 0xC000, on the bus if COMMAND is 5.
    private func machine(command: UInt64 = 5) throws -> Machine {
        let machine = try TestMachine(
            """
            machine: dma
            memory: 1MiB
            devices:
              - { id: pci, plugin: i440fx }
              - { id: ide, plugin: piix-ide, bus: pci.1.1 }
              - { id: hd0, plugin: ata, dma: ide.0, block: disk }
            backends:
              - { id: disk, plugin: ram-disk, size: 1MiB }
            """, engine: false
        ).machine
        machine.resetInstances(warm: false)
        configure(machine, 0x20, 0xc001)
        configure(machine, 0x04, command)
        return machine
    }

    private func configure(_ machine: Machine, _ offset: UInt64, _ value: UInt64) {
        out(machine, 0xcf8, 0x8000_0900 | offset, width: 4)
        out(machine, 0xcfc, value, width: 4)
    }

    private func out(_ machine: Machine, _ port: UInt16, _ value: UInt64, width: UInt8 = 1) {
        _ = machine.access(port: port, width: width, value: value)
    }

    private func status(_ machine: Machine) -> UInt64 { machine.access(port: 0xc002, width: 1) }

    private func put(_ machine: Machine, _ address: UInt64, _ value: UInt32) {
        _ = machine.access(address: address, width: 4, value: UInt64(value))
    }

    private func word(_ machine: Machine, _ address: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: machine.access(address: address, width: 4))
    }

    /// Descriptors of address and bytes at 0x1000, the last one marked.
    private func table(_ machine: Machine, _ regions: [(address: UInt32, count: UInt32)], isEnded: Bool = true) {
        for (index, region) in regions.enumerated() {
            let end: UInt32 = isEnded && index == regions.count - 1 ? 0x8000_0000 : 0
            put(machine, 0x1000 + UInt64(index) * 8, region.address)
            put(machine, 0x1004 + UInt64(index) * 8, region.count | end)
        }
        out(machine, 0xc004, 0x1000, width: 4)
    }

    /// READ DMA (0xC8) or WRITE DMA (0xCA) of sectors of drive 0, then the bus master's start; bit 3: memory is written.
    private func transfer(_ machine: Machine, _ command: UInt64, sector: UInt64, count: UInt64) {
        out(machine, 0xc000, command == 0xc8 ? 8 : 0)
        out(machine, 0xc002, 0x66)
        for (port, value) in [(0x1f6, 0xe0), (0x1f2, count), (0x1f3, sector), (0x1f4, 0), (0x1f5, 0), (0x1f7, command)]
            as [(UInt16, UInt64)]
        {
            out(machine, port, value)
        }
        out(machine, 0xc000, command == 0xc8 ? 9 : 1)
    }

    private func fill(_ machine: Machine, _ address: UInt64, words: Int, seed: UInt32) {
        for index in 0..<words { put(machine, address + UInt64(index) * 4, seed &+ UInt32(index) &* 0x9e37_79b1) }
    }

    private func holds(_ machine: Machine, _ address: UInt64, words: Int, seed: UInt32) -> Bool {
        (0..<words).allSatisfy { word(machine, address + UInt64($0) * 4) == seed &+ UInt32($0) &* 0x9e37_79b1 }
    }

    /// A disk that holds `words` of `seed` from its beginning.
    private func write(_ machine: Machine, sectors: UInt64, seed: UInt32) {
        fill(machine, 0x2_0000, words: Int(sectors) * 128, seed: seed)
        table(machine, [(0x2_0000, UInt32(sectors) * 512)])
        transfer(machine, 0xca, sector: 0, count: sectors)
        #expect(status(machine) == 0x64, "drives capable, interrupt, not active, no error")
        #expect(machine.access(port: 0x1f7, width: 1) == 0x50)
    }

    @Test func whatIsWrittenByDMAIsReadByIt() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        write(machine, sectors: 100, seed: 7)
        table(machine, [(0x4_0000, 512), (0x5_0002, 1022), (0x5_0400, 0xc202)])
        transfer(machine, 0xc8, sector: 0, count: 100)
        #expect(status(machine) == 0x64)
        #expect(machine.access(port: 0x1f7, width: 1) == 0x50)
        #expect(holds(machine, 0x4_0000, words: 128, seed: 7))
        #expect(
            word(machine, 0x5_0004) & 0xffff == (7 &+ 128 &* 0x9e37_79b1) >> 16,
            "behind two bytes, the rest of its first word")
        #expect(status(machine) & 1 == 0)
    }

    /// COMMAND bit 2: nothing moves without it, and all when it comes.
    @Test func commandLetsItOnTheBus() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        write(machine, sectors: 2, seed: 9)
        configure(machine, 0x04, 1)
        table(machine, [(0x4_0000, 1024)])
        transfer(machine, 0xc8, sector: 0, count: 2)
        #expect(status(machine) == 0x61 && machine.access(port: 0x3f6, width: 1) == 0xd0)
        #expect(word(machine, 0x4_0000) == 0)
        configure(machine, 0x04, 5)
        #expect(status(machine) == 0x64 && holds(machine, 0x4_0000, words: 256, seed: 9))
    }

    /// Memory that is none sets the error bit and ends activity; the drive waits until it is reset.
    @Test(arguments: [
        (UInt32(0x0020_0000), UInt32(1024)), (0xffff_fe00, 1024), (0x000f_ff00, 1024), (0xfffe_0000, 0),
    ])
    func aTableThatLeadsNowhereIsAnError(region: (address: UInt32, count: UInt32)) throws {
        let machine = try machine()
        defer { machine.tearDown() }
        write(machine, sectors: 4, seed: 3)
        table(machine, [region])
        transfer(machine, 0xc8, sector: 0, count: 4)
        #expect(status(machine) & 7 == 2)
        #expect(machine.access(port: 0x3f6, width: 1) & 0x80 != 0)
        out(machine, 0xc000, 0)
        out(machine, 0x3f6, 4)
        out(machine, 0x3f6, 0)
        write(machine, sectors: 4, seed: 11)
    }

    /// A table that ends early leaves the drive waiting, without an interrupt; another one ends the transfer.
    @Test func aShortTableIsNoEnd() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        write(machine, sectors: 4, seed: 3)
        table(machine, [(0x4_0000, 1024)])
        transfer(machine, 0xc8, sector: 0, count: 4)
        #expect(status(machine) & 7 == 0 && machine.access(port: 0x3f6, width: 1) == 0xd0)
        out(machine, 0xc000, 8)
        table(machine, [(0x4_0400, 1024)])
        out(machine, 0xc000, 9)
        #expect(status(machine) & 7 == 4 && holds(machine, 0x4_0000, words: 512, seed: 3))
    }

    @Test func aResetInTheMiddleEndsIt() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        table(machine, [(0x4_0000, 512)])
        transfer(machine, 0xc8, sector: 0, count: 4)
        machine.resetInstances(warm: true)
        #expect(machine.access(port: 0x1f7, width: 1) == 0x50)
        configure(machine, 0x20, 0xc001)
        configure(machine, 0x04, 5)
        write(machine, sectors: 8, seed: 5)
    }

    /// A guest that programs both with anything, moves BARs, and puts anything where tables are.
    @Test(arguments: 0..<UInt64(4)) func randomGuestsNeverTrap(seed: UInt64) throws {
        let machine = try machine()
        defer { machine.tearDown() }
        var random = SplitMix64(seed: seed &+ 1)
        func below(_ limit: UInt64) -> UInt64 { random.next() % limit }
        let commands: [UInt64] = [0xc8, 0xca, 0x25, 0x35, 0xc8, 0xca, 0x20, 0x30, 0xec, 0xef, 0xe7]
        for _ in 0..<20_000 {
            switch below(12) {
            case 0...2: out(machine, 0x1f1 + UInt16(below(6)), below(5))
            case 3, 4: out(machine, 0x1f7, commands[Int(below(UInt64(commands.count)))])
            case 5, 6: out(machine, 0xc000, below(16))
            case 7: out(machine, 0xc004, below(4) == 0 ? random.next() & 0xffff_ffff : 0x1000 + below(64) * 4, width: 4)
            case 8:
                put(
                    machine, 0x1000 + below(64) * 4,
                    UInt32(truncatingIfNeeded: random.next() & (below(2) == 0 ? .max : 0xf_ffff)))
            case 9: configure(machine, 0x04, below(8))
            case 10: out(machine, 0x3f6, below(20) == 0 ? 4 : 0)
            default: configure(machine, 0x20, below(8) == 0 ? random.next() & 0xffff_ffff : 0xc001)
            }
        }
        machine.resetInstances(warm: false)
        configure(machine, 0x20, 0xc001)
        configure(machine, 0x04, 5)
        write(machine, sectors: 8, seed: 5)
    }
}
