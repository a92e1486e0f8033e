import FDC82077
import Testing

/// Data transfers on a 1.44M floppy (2 heads, 80 cylinders, 18 sectors), by section 5.1 and table 5-6: sector = (c * 2 + h) * 18 + r - 1.
@Suite struct TransferTests {
    @Test func readsWhatTheChannelTakesAndTellsTheNextSector() {
        var rig = Rig.ready()
        #expect(rig.transfer(0x46, 0, 0, 1, dma: 1024) == [0, 0, 0, 0, 0, 3, 2])
        #expect(rig.memory == rig.contents(0..<2))
        #expect(rig.msr == 0x80 && !rig.interrupt)
        _ = rig.seek(79)
        #expect(rig.transfer(0x46, 79, 1, 18, dma: 512) == [0x04, 0, 0, 80, 1, 1, 2])
        #expect(rig.memory == rig.content(2879))
    }

    @Test func theResultInterruptsUntilItIsRead() {
        var rig = Rig.ready()
        rig.channelLeft = 512
        rig.send([0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF])
        #expect(rig.msr == 0x10 && !rig.interrupt)
        rig.run(10_000_000)
        #expect(rig.interrupt && rig.msr == 0xD0)
        _ = rig.input(5)
        #expect(!rig.interrupt && rig.msr == 0xD0)
        #expect(rig.result().count == 6 && rig.msr == 0x80)
    }

    @Test func multiTrackGoesOnWithTheOtherSide() {
        var rig = Rig.ready()
        #expect(rig.transfer(0xC6, 0, 0, 17, dma: 4 * 512) == [0x04, 0, 0, 0, 1, 3, 2])
        #expect(rig.memory == rig.contents(16..<20))
        #expect(rig.transfer(0xC6, 0, 0, 18, dma: 512) == [0, 0, 0, 0, 1, 1, 2], "the last of side 0")
        #expect(rig.transfer(0xC6, 0, 1, 18, dma: 512) == [0x04, 0, 0, 1, 0, 1, 2], "the last of side 1")
        #expect(rig.transfer(0x46, 0, 0, 18, dma: 512) == [0, 0, 0, 1, 0, 1, 2], "without MT")
    }

    @Test func withoutTerminalCountACylinderEnds() {
        var rig = Rig.ready()
        #expect(rig.transfer(0x46, 0, 0, 17, dma: 4096) == [0x40, 0x80, 0, 1, 0, 1, 2])
        #expect(rig.memory == rig.contents(16..<18))
        #expect(rig.transfer(0xC6, 0, 0, 17, dma: 1 << 16) == [0x44, 0x80, 0, 1, 0, 1, 2])
        #expect(rig.memory == rig.contents(16..<36))
        #expect(rig.transfer(0x46, 0, 0, 1, eot: 4, dma: 4096) == [0x40, 0x80, 0, 1, 0, 1, 2])
        #expect(rig.memory.count == 2048)
    }

    @Test func terminalCountInTheMiddleOfASectorEndsItThere() {
        var rig = Rig.ready()
        #expect(rig.transfer(0x46, 0, 0, 1, dma: 700) == [0, 0, 0, 0, 0, 3, 2])
        #expect(rig.memory == Array(rig.contents(0..<2).prefix(700)))
        #expect(rig.transfer(0x45, 0, 0, 5, dma: 700) == [0, 0, 0, 0, 0, 7, 2])
        let given = (0..<700).map { rig.source($0) }
        #expect(rig.written[0][4] == Array(given[..<512]))
        #expect(rig.written[0][5] == given[512...] + [UInt8](repeating: 0, count: 324), "the rest is zeros")
    }

    @Test func writesWhatTheChannelGives() {
        var rig = Rig.ready()
        _ = rig.seek(2)
        #expect(rig.transfer(0xC5, 2, 0, 18, dma: 1024) == [0x04, 0, 0, 2, 1, 2, 2])
        #expect(rig.written[0].keys.sorted() == [89, 90])
        #expect(rig.transfer(0xC6, 2, 0, 18, dma: 1024).first == 0x04)
        #expect(rig.memory == (0..<1024).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) })
        #expect(rig.transfer(0x49, 2, 0, 1, dma: 512).prefix(3) == [0, 0, 0], "WRITE DELETED DATA writes too")
        #expect(rig.written[0].count == 3)
    }

    @Test func aProtectedDiskIsNotWritten() {
        var rig = Rig.ready(2880, readOnly: true)
        for code in [0x45, 0x49] as [UInt8] {
            #expect(rig.transfer(code, 0, 0, 1, dma: 512) == [0x40, 0x02, 0, 0, 0, 1, 2])
        }
        #expect(rig.command([0x4D, 0, 2, 18, 0x54, 0xF6]).prefix(3) == [0x40, 0x02, 0])
        #expect(rig.written[0].isEmpty)
        #expect(rig.transfer(0x46, 0, 0, 1, dma: 512).first == 0)
    }

    @Test(
        arguments: [
            // Code, c, h, r, n and what ST1 and ST2 say.
            ([0x46, 0, 0, 0, 19, 2], [0x04, 0x00]), ([0x46, 0, 0, 0, 0, 2], [0x04, 0x00]),
            ([0x46, 0, 1, 0, 1, 2], [0x04, 0x10]), ([0x46, 0, 0, 1, 1, 2], [0x04, 0x00]),
            ([0x46, 0, 0, 0, 1, 3], [0x04, 0x00]), ([0x45, 0, 0, 0, 1, 255], [0x04, 0x00]),
            ([0x06, 0, 0, 0, 1, 2], [0x01, 0x00]),
        ] as [([UInt8], [UInt8])])
    func sectorsThatAreNotThereAreNotFound(command: [UInt8], status: [UInt8]) {
        var rig = Rig.ready()
        rig.channelLeft = 512
        let result = rig.command(command + [18, 0x1B, 0xFF])
        #expect(result == [0x40] + status + command[2...])
        #expect(rig.memory.isEmpty && rig.written[0].isEmpty)
    }

    @Test func theWrongDataRateFindsNoAddressMark() {
        for rate in UInt8(1)...3 {
            var rig = Rig.ready(rate: rate)
            #expect(rig.transfer(0x46, 0, 0, 1, dma: 512).prefix(3) == [0x40, 0x01, 0])
            #expect(rig.command([0x4A, 0]).prefix(3) == [0x40, 0x01, 0])
        }
    }

    @Test func aTrackBeyondTheLastHasNoAddressMark() {
        var rig = Rig.ready()
        _ = rig.seek(80)
        #expect(rig.transfer(0x46, 80, 0, 1, dma: 512).prefix(3) == [0x40, 0x01, 0])
        var single = Rig.ready(320, rate: 2)
        #expect(single.transfer(0x46, 0, 1, 1, dma: 512).prefix(3) == [0x44, 0x01, 0], "a disk of one side")
    }

    @Test func impliedSeeksMoveTheHead() {
        var rig = Rig.ready()
        rig.send([0x13, 0, 0x40, 0])
        #expect(rig.transfer(0x46, 33, 0, 1, dma: 512) == [0x20, 0, 0, 33, 0, 2, 2], "with SE")
        #expect(rig.memory == rig.content(33 * 36))
        #expect(rig.command([0x0E]).first == 33)
    }

    @Test func mediaThatFailAreDataErrors() {
        var rig = Rig.ready()
        rig.bad = [1: .failed, 3: .writeProtected]
        #expect(rig.transfer(0x46, 0, 0, 1, dma: 1024) == [0x40, 0x20, 0x20, 0, 0, 2, 2])
        #expect(rig.memory == rig.content(0))
        #expect(rig.transfer(0x45, 0, 0, 4, dma: 512).prefix(3) == [0x40, 0x02, 0])
    }

    @Test func aSecondDriveHasItsOwnDisk() {
        var rig = Rig.ready(second: 1440)
        rig.out(7, 2)
        #expect(rig.seek(79, drive: 1) == [0x21, 79])
        #expect(rig.transfer(0x46, 79, 1, 9, eot: 9, dma: 512, drive: 1).prefix(3) == [0x05, 0, 0])
        #expect(rig.requests.last?.unit == 1 && rig.requests.last?.sector == 1439)
    }

    /// Every sector of every format is found by its numbers at its rate, once.
    @Test(
        arguments: [
            (320, 1, 40, 8, [2, 1]), (360, 1, 40, 9, [2, 1]), (640, 2, 40, 8, [2, 1]), (720, 2, 40, 9, [2, 1]),
            (1440, 2, 80, 9, [2]), (2400, 2, 80, 15, [0]), (2880, 2, 80, 18, [0]), (5760, 2, 80, 36, [3]),
        ] as [(UInt64, UInt8, UInt8, UInt8, [UInt8])])
    func formatsAreThoseOfTheirSizes(sectors: UInt64, heads: UInt8, cylinders: UInt8, track: UInt8, rates: [UInt8]) {
        for rate in rates {
            var rig = Rig.ready(sectors, rate: rate)
            for cylinder in 0..<cylinders {
                _ = rig.seek(cylinder)
                for head in 0..<heads {
                    let result = rig.transfer(0x46, cylinder, head, 1, eot: track, dma: Int(track) * 512)
                    #expect(result.prefix(3) == [head << 2, 0, 0])
                }
            }
            #expect(rig.requests.map(\.sector) == Array(0..<sectors))
        }
        for rate in Set(0...3).subtracting(rates) {
            var rig = Rig.ready(sectors, rate: UInt8(rate))
            #expect(rig.transfer(0x46, 0, 0, 1, dma: 512).prefix(2) == [0x40, 0x01])
        }
    }

    @Test func otherSizesAreNoFloppies() {
        for sectors in [0, 1, 319, 2881, 3360, 1 << 40] as [UInt64] {
            #expect(FloppyFormat(sectorCount: sectors) == nil)
        }
    }
}
