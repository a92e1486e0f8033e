import FDC82077
import Testing

/// READ ID, READ TRACK, READ DELETED DATA, VERIFY, FORMAT TRACK (5.1.3 to 5.1.8), transfers without DMA (4.2), and drives without a disk.
@Suite struct OtherCommandTests {
    @Test func readIDTellsASectorOfTheTrack() {
        var rig = Rig.ready()
        _ = rig.seek(12)
        var seen: Set<UInt8> = []
        for _ in 0..<200 {
            let result = rig.command([0x4A, 0x04], wait: 270_000)
            #expect(result.count == 7 && result.prefix(5) == [0x04, 0, 0, 12, 1] && result.last == 2)
            if result.count == 7 { seen.insert(result[5]) }
        }
        #expect(seen == Set(1...18))
    }

    @Test func readTrackTakesSectorsInTheirOrder() {
        var rig = Rig.ready()
        #expect(rig.transfer(0x42, 0, 0, 1, eot: 3, dma: 3 * 512) == [0, 0, 0, 1, 0, 1, 2])
        #expect(rig.memory == rig.contents(0..<3))
        #expect(
            rig.transfer(0x42, 0, 0, 5, eot: 3, dma: 3 * 512).prefix(2) == [0x40, 0x04], "the first is not sector 5")
        #expect(rig.memory == rig.contents(0..<3), "and is read")
        #expect(rig.transfer(0x42, 0, 0, 1, eot: 2, dma: 4096).prefix(2) == [0x40, 0x80])
        #expect(rig.memory.count == 1024)
    }

    /// Images have no deleted marks: without SK one sector is read, and ST2 says that it is another; with it all are skipped.
    @Test func readDeletedFindsOrdinaryData() {
        var rig = Rig.ready()
        #expect(rig.transfer(0x4C, 0, 0, 5, dma: 2048) == [0, 0, 0x40, 0, 0, 5, 2])
        #expect(rig.memory == rig.content(4))
        #expect(rig.transfer(0x6C, 0, 0, 5, dma: 2048) == [0x40, 0x80, 0x40, 1, 0, 1, 2])
        #expect(rig.memory.isEmpty)
    }

    @Test func verifyReadsWithoutMovingAnything() {
        var rig = Rig.ready()
        // EC and SC: three sectors; without EC: to EOT.
        #expect(rig.command([0x56, 0x80, 0, 0, 2, 2, 18, 0x1B, 3]) == [0, 0, 0, 0, 0, 5, 2])
        #expect(rig.requests.map(\.sector) == [1, 2, 3] && rig.memory.isEmpty)
        #expect(rig.command([0xD6, 0x00, 0, 0, 17, 2, 18, 0x1B, 0xFF]).prefix(3) == [0x04, 0, 0])
        #expect(rig.requests.count == 3 + 20)
        #expect(rig.command([0x56, 0x80, 0, 0, 17, 2, 18, 0x1B, 5]).prefix(3) == [0x40, 0x80, 0])
        rig.bad = [1: .failed]
        #expect(rig.command([0x56, 0x80, 0, 0, 2, 2, 18, 0x1B, 3]).prefix(3) == [0x40, 0x20, 0x20])
    }

    @Test func formatFillsATrack() {
        var rig = Rig.ready()
        _ = rig.seek(3)
        rig.source = { [3, 1, UInt8(18 - $0 / 4), 2][$0 % 4] }
        rig.channelLeft = 72
        #expect(rig.command([0x4D, 0x04, 2, 18, 0x54, 0xF6]).prefix(3) == [0x04, 0, 0])
        #expect(rig.written[0].keys.sorted() == Array(126..<144))
        #expect(rig.written[0].values.allSatisfy { $0 == [UInt8](repeating: 0xF6, count: 512) })
        #expect(rig.command([0x0E])[6] == 18)
    }

    /// Sectors that the image has no place for are lost, as are those of another rate.
    @Test func formatKeepsWhatTheImageHasPlaceFor() {
        var rig = Rig.ready()
        let ids: [[UInt8]] = [
            [0, 0, 1, 2], [0, 0, 19, 2], [0, 1, 3, 2], [9, 0, 4, 2], [0, 0, 5, 3], [0, 0, 6, 2],
        ]
        rig.source = { ids[$0 / 4][$0 % 4] }
        rig.channelLeft = 24
        #expect(rig.command([0x4D, 0, 2, 6, 0x54, 0xE5]).prefix(3) == [0, 0, 0])
        #expect(rig.written[0].keys.sorted() == [0, 5])
        rig.out(7, 2)
        (rig.channelLeft, rig.memory, rig.written[0]) = (24, [], [:])
        #expect(rig.command([0x4D, 0, 2, 6, 0x54, 0xE5]).prefix(3) == [0, 0, 0])
        #expect(rig.written[0].isEmpty)
        (rig.channelLeft, rig.memory) = (nil, [])
        #expect(rig.command([0x4D, 0, 2, 0, 0x54, 0xE5]).prefix(3) == [0, 0, 0], "no sectors at all")
    }

    // MARK: Without DMA

    /// ND of SPECIFY.
    private func byBytes() -> Rig {
        var rig = Rig.ready()
        rig.send([0x03, 0xDF, 0x03])
        return rig
    }

    @Test func withoutDMAEachByteIsAskedFor() {
        var rig = byBytes()
        rig.send([0x46, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF])
        #expect(rig.msr == 0x70, "busy, not yet a byte")
        rig.run(1_000_000)
        var bytes: [UInt8] = []
        while rig.msr == 0xF0, bytes.count < 1000 {
            #expect(rig.interrupt)
            let drops = rig.chip.interruptDrops
            bytes.append(rig.input(5))
            #expect(rig.chip.interruptDrops == drops + 1)
        }
        #expect(bytes == rig.content(17))
        #expect(rig.interrupt, "the result")
        #expect(rig.result() == [0x40, 0x80, 0, 1, 0, 1, 2], "nothing gives terminal count")
    }

    @Test func theFIFOAsksForGroupsOfBytes() {
        var rig = byBytes()
        rig.send([0x13, 0, 0x07, 0])
        rig.send([0x46, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF])
        rig.run(1_000_000)
        for _ in 0..<512 { _ = rig.input(5) }
        #expect(rig.chip.interruptDrops == 64)
    }

    @Test func bytesAreWrittenWithoutDMA() {
        var rig = byBytes()
        rig.send([0x45, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF])
        rig.run(1_000_000)
        #expect(rig.msr == 0xB0)
        for index in 0..<512 { rig.out(5, UInt8(truncatingIfNeeded: index ^ 0x5A)) }
        #expect(rig.written[0][17] == (0..<512).map { UInt8(truncatingIfNeeded: $0 ^ 0x5A) })
        #expect(rig.result().prefix(2) == [0x40, 0x80])
    }

    @Test func aHostThatDoesNotComeIsAnOverrun() {
        var rig = byBytes()
        #expect(rig.command([0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF], wait: 400_000_000).isEmpty == false)
        var reader = Rig.ready()
        #expect(
            reader.command([0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF], wait: 2_000_000_000).prefix(3) == [0x40, 0x10, 0])
        var writer = byBytes()
        writer.send([0x45, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF])
        writer.run(1_000_000)
        writer.send([1, 2, 3])
        writer.run(2_000_000_000)
        #expect(writer.result().prefix(3) == [0x40, 0x10, 0])
        #expect(writer.written[0][0] == [1, 2, 3] + [UInt8](repeating: 0, count: 509), "what has come, and zeros")
    }

    // MARK: Nothing turns

    @Test func withoutADiskACommandWaitsForOne() {
        var rig = Rig.ready(nil)
        #expect(rig.command([0x4A, 0], wait: 10_000_000_000).isEmpty && rig.msr == 0x10)
        rig.chip.change(0, FloppyFormat(sectorCount: 2880), isReadOnly: false, at: rig.now)
        rig.run(1_000_000)
        #expect(rig.result().count == 7)
        #expect(rig.command([0x04, 0])[0] == 0x38)
    }

    @Test func aMotorThatIsOffHoldsACommand() {
        var rig = Rig.ready()
        rig.out(2, 0x0C)
        #expect(rig.transfer(0x46, 0, 0, 1, dma: 512).isEmpty && rig.msr == 0x10)
        rig.out(2, 0x1C)
        rig.run(1_000_000)
        #expect(rig.result().prefix(3) == [0, 0, 0] && rig.memory == rig.content(0))
        rig.out(2, 0x0C)
        #expect(rig.command([0x4A, 0]).isEmpty)
        rig.out(2, 0x08)
        rig.out(2, 0x1C)
        #expect(rig.msr == 0x80 && rig.interrupt, "a reset ends the wait")
    }
}
