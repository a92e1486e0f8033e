import SplitMix
import PCIConfiguration
import Testing
@testable import PIIXIDE

/// Guest memory with a descriptor table.
private struct Memory {
    var words: [UInt32: UInt64] = [:]

    /// Address, bytes (65536 as 0), and whether it is the last.
    mutating func put(_ table: UInt32, _ regions: [(UInt32, UInt32, Bool)]) {
        for (i, (address, count, last)) in regions.enumerated() {
            words[table &+ UInt32(i) * 8] = UInt64(address) | UInt64(count) << 32 | (last ? 1 << 63 : 0)
        }
    }

    func fetch(_ address: UInt32) -> UInt64? { words[address] }
}

/// The IDE function against the PIIX3 data sheet (290550), 2.3 and 2.6, and the bus master specification 1.0.
@Suite struct PIIXIDETests {
    typealias Extent = BusMaster.Extent

    // MARK: Configuration space

    @Test func identities() throws {
        let three = try PIIXIDE()
        #expect(three.readConfiguration(0x00, width: 4) == 0x7010_8086)
        #expect(
            three.readConfiguration(0x08, width: 4) == 0x0101_8000
                && three.readConfiguration(0x04, width: 4) == 0x0280_0000)
        #expect(three.readConfiguration(0x20, width: 4) == 1 && three.readConfiguration(0x3D, width: 1) == 0)
        #expect(try PIIXIDE(.piix4).readConfiguration(0x00, width: 4) == 0x7111_8086)
    }

    @Test func busMasterRegistersAreAtBMIBA() throws {
        var chip = try PIIXIDE()
        chip.writeConfiguration(0x20, width: 4, 0xFFFF_FFFF)
        #expect(chip.readConfiguration(0x20, width: 4) == 0xFFFF_FFF1)
        chip.writeConfiguration(0x20, width: 4, 0xC040)
        chip.writeConfiguration(0x04, width: 2, 0xFFFF)
        #expect(chip.readConfiguration(0x04, width: 2) == 0x0005 && chip.isBusMaster)
        #expect(chip.windows.count == 1 && chip.windows[0].address == 0xC040 && chip.windows[0].size == 16)
        #expect(chip.windows[0].isEnabled)
    }

    @Test func channelsDecodeWhereTheirTimingSaysSo() throws {
        var chip = try PIIXIDE()
        chip.writeConfiguration(0x04, width: 2, 0x0001)
        #expect(!chip.decodes(channel: 0) && !chip.decodes(channel: 1))
        chip.writeConfiguration(0x40, width: 2, 0x8000)
        #expect(chip.decodes(channel: 0) && !chip.decodes(channel: 1))
        chip.writeConfiguration(0x42, width: 2, 0x8000)
        #expect(chip.decodes(channel: 1) && !chip.decodes(channel: 2))
        chip.writeConfiguration(0x04, width: 2, 0x0000)
        #expect(!chip.decodes(channel: 0))
        chip.writeConfiguration(0x48, width: 4, 0xFFFF_FFFF)
        #expect(chip.readConfiguration(0x48, width: 4) == 0, "Ultra DMA is PIIX4's")
        var four = try PIIXIDE(.piix4)
        four.writeConfiguration(0x48, width: 4, 0xFFFF_FFFF)
        #expect(four.readConfiguration(0x48, width: 4) == 0x3333_000F)
    }

    // MARK: Registers

    @Test func registersAreEightBytesAChannel() throws {
        var chip = try PIIXIDE()
        _ = chip.write(0x04, width: 4, 0x1234_5677)
        _ = chip.write(0x0C, width: 2, 0xABCF)
        #expect(chip.read(0x04, width: 4) == 0x1234_5674 && chip.read(0x0C, width: 4) == 0x0000_ABCC)
        _ = chip.write(0x02, width: 1, 0xFF)
        #expect(chip.read(0x02, width: 1) == 0x60, "capable bits; the simplex bit is 0")
        #expect(chip.read(0x01, width: 1) == 0 && chip.read(0x10, width: 1) == 0xFFFF_FFFF)
        let start = chip.write(0x08, width: 1, 0x09)
        #expect(start?.channel == 1 && start?.order == .start && chip.read(0x08, width: 4) == 0x0001_0009)
    }

    @Test func startAndStop() {
        var channel = BusMaster()
        #expect(channel.write(0, width: 1, 0x08) == nil && !channel.isActive)
        #expect(channel.write(0, width: 1, 0x09) == .start)
        #expect(channel.isActive && channel.writesMemory)
        #expect(channel.write(0, width: 1, 0x01) == nil)
        #expect(channel.writesMemory, "the direction stays during a transfer")
        #expect(channel.write(0, width: 1, 0x00) == .stop)
        #expect(!channel.isActive && channel.read(2, width: 1) == 0)
        #expect(channel.write(0, width: 1, 0x00) == nil)
    }

    @Test func interruptBitTakesARise() {
        var channel = BusMaster()
        channel.setInterruptLine(true)
        #expect(channel.read(2, width: 1) == 0x04)
        _ = channel.write(2, width: 1, 0x04)
        channel.setInterruptLine(true)
        #expect(channel.read(2, width: 1) == 0x00, "still up: no new one")
        channel.setInterruptLine(false)
        channel.setInterruptLine(true)
        #expect(channel.read(2, width: 1) == 0x04)
    }

    // MARK: The table

    private func started(_ table: UInt32) -> BusMaster {
        var channel = BusMaster()
        _ = channel.write(4, width: 4, table)
        _ = channel.write(0, width: 1, 0x09)
        return channel
    }

    @Test func regionsAreWalkedInOrder() {
        var memory = Memory()
        memory.put(0x1000, [(0x2000, 0x100, false), (0x8_0000, 0x300, false), (0x10_0000, 0, true)])
        var channel = started(0x1000)
        var found = channel.gather(512, fetch: memory.fetch)
        #expect(found.extents == [Extent(address: 0x2000, length: 0x100), Extent(address: 0x8_0000, length: 0x100)])
        #expect(found.bytes == 512 && found.end == nil)
        found = channel.gather(512, fetch: memory.fetch)
        #expect(found.extents == [Extent(address: 0x8_0100, length: 0x200)])
        found = channel.gather(0x1_0000, fetch: memory.fetch)
        #expect(found.extents == [Extent(address: 0x10_0000, length: 0x1_0000)], "a count of 0 is 64 KiB")
        #expect(channel.isActive)
        channel.driveFinished()
        #expect(!channel.isActive && channel.read(2, width: 1) == 0)
    }

    @Test func longTableStaysActive() {
        var memory = Memory()
        memory.put(0x1000, [(0x2000, 0x400, true)])
        var channel = started(0x1000)
        #expect(channel.gather(0x200, fetch: memory.fetch).bytes == 0x200)
        channel.driveFinished()
        channel.setInterruptLine(true)
        #expect(channel.read(2, width: 1) == 0x05, "interrupt and active: the table had more")
        _ = channel.write(0, width: 1, 0x08)
        #expect(channel.read(2, width: 1) == 0x04)
    }

    @Test func shortTableEndsTheTransfer() {
        var memory = Memory()
        memory.put(0x1000, [(0x2000, 0x100, true)])
        var channel = started(0x1000)
        let found = channel.gather(0x200, fetch: memory.fetch)
        #expect(found.bytes == 0x100 && found.end == .table && !channel.isActive)
        #expect(channel.gather(0x100, fetch: memory.fetch) == .init())
    }

    @Test func neighboursAreOnePiece() {
        var memory = Memory()
        memory.put(0x1000, [(0x2000, 0x1000, false), (0x3000, 0x1000, false), (0x5000, 0x1000, true)])
        var channel = started(0x1000)
        let found = channel.gather(0x3000, fetch: memory.fetch)
        #expect(found.extents == [Extent(address: 0x2000, length: 0x2000), Extent(address: 0x5000, length: 0x1000)])
    }

    @Test func badTablesEndWithAnError() {
        var memory = Memory()
        memory.put(0xFFF8, [(0x2000, 0x10, false), (0x3000, 0x10, true)])
        memory.put(0x2_0000, [(0xFFFF_FF00, 0x200, true)])
        memory.put(0x3_0000, [(0xFFFF_FF01, 0x101, true)])
        for (table, bytes, end) in [
            (0xFFF8, 0x10, .failed), (0x2_0000, 0, .failed), (0x9_0000, 0, .failed), (0x3_0000, 0x100, .table),
        ]
            as [(UInt32, UInt32, BusMaster.Gathered.End)]
        {
            var channel = started(table)
            let found = channel.gather(0x1000, fetch: memory.fetch)
            #expect(found.bytes == bytes && found.end == end, "table \(table)")
            #expect(channel.read(2, width: 1) == (end == .failed ? 0x02 : 0x00))
            _ = channel.write(2, width: 1, 0x02)
            #expect(channel.read(2, width: 1) == 0x00)
        }
    }

    @Test func endlessTinyRegionsAreBounded() {
        var fetched = 0
        var channel = started(0x4_0000)
        let found = channel.gather(.max, pieces: .max) { place in
            fetched += 1
            return UInt64(place) &* 16 & 0xFFFF_FFFF | 2 << 32
        }
        #expect(fetched == 8192 && found.extents.count == 8192 && found.bytes == 16384 && found.end == nil)
        #expect(channel.gather(2, fetch: { _ in 0 }).end == .failed)
        var other = started(0x4_0000)
        #expect(other.gather(100, pieces: 3) { UInt64($0) &* 16 | 2 << 32 }.bytes == 6)
        #expect(other.isActive)
    }

    @Test func failedMemoryIsAnError() {
        var channel = started(0x1000)
        channel.memoryFailed()
        #expect(channel.read(2, width: 1) == 0x02 && channel.read(0, width: 1) == 0x09)
    }

    // MARK: State

    @Test func randomUseNeverTrapsAndARestoredCopyAnswersTheSame() throws {
        var (first, second) = (try PIIXIDE(), try PIIXIDE())
        var dice = SplitMix64(seed: 4)
        var differences = 0
        for step in 0..<100_000 {
            let bits = dice.next()
            let offset = bits & 15 == 0 ? UInt32(truncatingIfNeeded: bits >> 8) : UInt32(bits >> 8 & 0x1F)
            let (width, value) = (UInt32(bits >> 40 & 7), UInt32(truncatingIfNeeded: dice.next()))
            let noise = dice.next()
            func fetch(_ place: UInt32) -> UInt64? {
                noise & 15 == 0
                    ? nil
                    : (UInt64(place) &* 0x9E37_79B9_7F4A_7C15 ^ noise)
                        & (noise & 32 == 0 ? .max : 0x8000_00FF_FFFF_FFFF)
            }
            switch bits >> 4 & 15 {
            case 0...4:
                let (left, right) = (
                    first.write(offset, width: width, value), second.write(offset, width: width, value)
                )
                if left?.order != right?.order || left?.channel != right?.channel { differences += 1 }
            case 5, 6:
                first.writeConfiguration(offset &* 4, width: width, value)
                second.writeConfiguration(offset &* 4, width: width, value)
            case 7...11:
                let found = first.primary.gather(value >> (noise & 63), pieces: Int(noise >> 50), fetch: fetch)
                if found != second.primary.gather(value >> (noise & 63), pieces: Int(noise >> 50), fetch: fetch) {
                    differences += 1
                }
                if found.extents.reduce(0, { $0 + UInt64($1.length) }) != UInt64(found.bytes) { differences += 1 }
                for extent in found.extents
                where UInt64(extent.address) + UInt64(extent.length) > 1 << 32 || extent.length == 0 {
                    differences += 1
                }
            case 12: first.primary.driveFinished(); second.primary.driveFinished()
            case 13: first.secondary.memoryFailed(); second.secondary.memoryFailed()
            case 14: first.primary.setInterruptLine(value & 1 == 0); second.primary.setInterruptLine(value & 1 == 0)
            default: if first.read(offset, width: width) != second.read(offset, width: width) { differences += 1 }
            }
            guard step % 64 == 0 else { continue }
            second = try PIIXIDE()
            let taken = second.restore(first.state)
            #expect(taken && second.state == first.state && second.windows == first.windows)
            guard differences == 0 else { break }
        }
        #expect(differences == 0)
    }

    @Test func statesThatCannotBeAreRefused() throws {
        var chip = try PIIXIDE()
        for (index, damage)
            in ([
                { $0.primary.table = 2 }, { $0.primary.left = 0x1_0001 }, { $0.secondary.status = .active },
                { $0.secondary.command = .init(rawValue: 2) }, { $0.primary.nextDescriptor = 1 },
                { $0.configuration.bytes[0x20] = 0 },
            ] as [(inout PIIXIDE.State) -> Void]).enumerated()
        {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken, "damage \(index)")
        }
    }
}
