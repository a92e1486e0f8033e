import ATA
import Testing

@Suite struct ATAWriteTests {
    private func data(_ sectors: Range<UInt64>) -> [UInt8] { sectors.flatMap { Rig.pattern($0 + 0x7777) } }

    @Test func theFirstBlockNeedsNoInterruptAndTheEndHasOne() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x30, 42, count: 1)
        #expect(rig.status == 0x58)
        #expect(!rig.chip.interruptAsserted)
        rig.put(data(0..<1))
        #expect(rig.status == 0xD0)
        #expect(!rig.chip.interruptAsserted)
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x50)
        #expect(rig.content(42) == data(0..<1))
        #expect(rig.chip.read(2) == 0)
        #expect(rig.chip.read(3) == 42)
    }

    @Test(arguments: [UInt8(0x30), 0x31])
    func writeSectorsInterruptsOncePerSector(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(code, 42, count: 40)
        var interrupts = 0
        for sector in UInt64(0)..<40 {
            #expect(rig.status == 0x58)
            rig.put(data(sector..<(sector + 1)))
            rig.serve()
            if rig.interrupt() { interrupts += 1 }
        }
        #expect(interrupts == 40)
        #expect(rig.status == 0x50)
        #expect((42..<82).flatMap { rig.content($0) } == data(0..<40))
        #expect(rig.requests.map(\.sectors) == [16, 16, 8])  // gathered: the write cache is on
        #expect(rig.requests.allSatisfy { $0.operation == .write && !$0.writeThrough })
    }

    @Test func withoutTheWriteCacheEachBlockIsOnTheMediumFirst() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xEF, features: 0x82)
        rig.serve()
        #expect(rig.requests.map(\.operation) == [.flush])
        rig.requests = []
        rig.lba28(0x30, 42, count: 3)
        for sector in UInt64(0)..<3 {
            rig.put(data(sector..<(sector + 1)))
            #expect(rig.status == 0xD0)
            #expect(!rig.chip.interruptAsserted || sector > 0)
            rig.serve()
            #expect(rig.interrupt() == true)
        }
        #expect(rig.requests.map(\.sectors) == [1, 1, 1])
        #expect(rig.requests.allSatisfy { $0.writeThrough })
    }

    @Test func writeMultipleInterruptsAfterEachBlock() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xC6, count: 8)
        #expect(rig.interrupt() == true)
        rig.lba28(0xC5, 500, count: 20)
        #expect(!rig.chip.interruptAsserted)
        var interrupts = 0
        for (first, count) in [(UInt64(0), UInt64(8)), (8, 8), (16, 4)] {
            #expect(rig.status == 0x58)
            rig.put(data(first..<(first + count)))
            rig.serve()
            if rig.interrupt() { interrupts += 1 }
        }
        #expect(interrupts == 3)
        #expect(rig.status == 0x50)
        #expect((500..<520).flatMap { rig.content($0) } == data(0..<20))
    }

    @Test func noInterruptWithinABlock() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0xC5, 500, count: 16)
        rig.put(data(0..<15))
        #expect(rig.status == 0x58)
        #expect(!rig.chip.interruptAsserted)
        #expect(rig.chip.takeRequest() == nil)
    }

    @Test func writeExtAndMultipleExt() throws {
        var rig = try Rig(sectors: 1 << 48)
        rig.lba48(0x34, 0xFEDC_BA98_7654, count: 2)
        rig.put(data(0..<2))
        rig.serve()
        #expect(rig.content(0xFEDC_BA98_7654) == data(0..<1))
        #expect(rig.content(0xFEDC_BA98_7655) == data(1..<2))
        rig.lba48(0x39, 0x0100_0000_0000, count: 17)
        rig.put(data(0..<16))
        rig.serve()
        rig.put(data(16..<17))
        rig.serve()
        #expect(rig.status == 0x50)
        #expect((0..<17).flatMap { rig.content(0x0100_0000_0000 + $0) } == data(0..<17))
        #expect(rig.address48() == 0x0100_0000_0010)
    }

    @Test func chsWrite() throws {
        var rig = try Rig(sectors: 1 << 20)
        rig.command(0x30, count: 1, low: 5, mid: 3, high: 0, device: 0xA2)
        rig.put(data(0..<1))
        rig.serve()
        #expect(rig.content((3 * 16 + 2) * 63 + 4) == data(0..<1))
    }

    // MARK: Errors

    @Test(arguments: [UInt8(0x30), 0x31, 0xC5])
    func aReadOnlyDriveRefusesBeforeAnyData(code: UInt8) throws {
        var rig = try Rig(sectors: 1000, readOnly: true)
        rig.lba28(code, 5, count: 1)
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x44)  // WP, ABRT
        #expect(rig.chip.takeRequest() == nil)
        rig.lba28(0x20, 5, count: 1)
        rig.serve()
        #expect(rig.words(256) == Rig.pattern(5))
    }

    @Test func aWriteAcrossTheEndStoresWhatIsBeforeIt() throws {
        var rig = try Rig(sectors: 1000)
        rig.lba28(0x30, 997, count: 10)
        rig.put(data(0..<3))
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.read(2) == 7)
        #expect(rig.chip.read(3) == 0xE8 && rig.chip.read(4) == 0x03)
        #expect((997..<1000).flatMap { rig.content($0) } == data(0..<3))
        #expect(rig.requests.map(\.sectors) == [3])
    }

    @Test func aWriteMultipleBlockAcrossTheEndIsTakenWholeAndStoredInPart() throws {
        var rig = try Rig(sectors: 1000)
        rig.lba28(0xC5, 990, count: 32)
        rig.put(data(0..<16))
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.read(2) == 22)
        #expect(rig.chip.read(3) == 0xE8)
        #expect((990..<1000).flatMap { rig.content($0) } == data(0..<10))
        #expect(rig.written.keys.max() == 999)
    }

    @Test(arguments: [ATAChannel.Outcome.mediumError, .noSpace, .deviceFault])
    func aFailedWriteIsADeviceFaultAtItsSector(outcome: ATAChannel.Outcome) throws {
        var rig = try Rig(sectors: 10_000)
        rig.bad[105] = outcome
        rig.lba28(0xC5, 100, count: 16)
        rig.put(data(0..<16))
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x71)
        #expect(rig.chip.read(1) == 0x04)
        #expect(rig.chip.read(2) == 11)
        #expect(rig.chip.read(3) == 105)
        #expect((100..<105).flatMap { rig.content($0) } == data(0..<5))
        #expect(rig.written[106] == nil)
    }

    @Test func aMediumThatTurnsReadOnlyIsWriteProtected() throws {
        var rig = try Rig(sectors: 10_000)
        rig.bad[100] = .writeProtected
        rig.lba28(0x30, 100, count: 1)
        rig.put(data(0..<1))
        rig.serve()
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x44)
        #expect(rig.chip.read(3) == 100)
    }

    @Test func aFailureInAGatheredWriteNamesItsSector() throws {
        var rig = try Rig(sectors: 10_000)
        rig.bad[0x12] = .mediumError
        rig.lba28(0x30, 0x10, count: 20)
        rig.put(data(0..<16))
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x71)
        #expect(rig.chip.read(2) == 18)
        #expect(rig.chip.read(3) == 0x12)
        #expect(rig.written.count == 2)
    }

    @Test func aWriteFailureThatDoesNotComeBackIsNotSeen() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0xC5, 100, count: 20)
        rig.put(data(0..<16))
        let request = try rig.take()
        #expect(rig.chip.complete(request.tag, .mediumError) == true)
        rig.serve()
        #expect(rig.interrupt() == true)
        rig.put(data(16..<20))
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x50)
        #expect((100..<120).flatMap { rig.content($0) } == data(0..<20))
        #expect(rig.requests.map(\.sectors) == [Int](repeating: 1, count: 16) + [4])
    }

    @Test func dataOfARequestNeedsItsTagAndRoom() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x30, 0, count: 1)
        rig.put(data(0..<1))
        let request = try rig.take()
        var large = [UInt8](repeating: 0, count: 600)
        var small = [UInt8](repeating: 0, count: 511)
        var span = large.mutableSpan
        #expect(rig.chip.copyData(of: request.tag &+ 1, into: &span) == 0)
        #expect(rig.chip.copyData(of: request.tag, into: &span) == 512)
        var shortSpan = small.mutableSpan
        #expect(rig.chip.copyData(of: request.tag, into: &shortSpan) == 0)
        #expect(Array(large[..<512]) == data(0..<1))
        #expect(small.allSatisfy { $0 == 0 })
    }
}
