import ATA
import Testing

@Suite struct ATAReadTests {
    @Test func aSectorIsReadWithOneInterruptBeforeItsData() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 1234, count: 1)
        #expect(rig.status == 0xD0)
        #expect(!rig.chip.interruptAsserted)
        rig.serve()
        #expect(rig.status == 0x58)
        #expect(rig.interrupt() == true)
        #expect(rig.words(256) == Rig.pattern(1234))
        #expect(rig.status == 0x50)
        #expect(!rig.chip.interruptAsserted)
        #expect(rig.requests.map(\.sector) == [1234])
        #expect(rig.requests.map(\.sectors) == [1])
        #expect(rig.requests.map(\.operation) == [.read])
    }

    @Test(arguments: [UInt8(0x20), 0x21])
    func readSectorsInterruptsOncePerSector(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(code, 100, count: 40)
        var interrupts = 0
        for sector in UInt64(100)..<140 {
            rig.serve()
            if rig.interrupt() { interrupts += 1 }
            #expect(rig.status == 0x58)
            #expect(rig.words(256) == Rig.pattern(sector))
        }
        #expect(interrupts == 40)
        #expect(rig.status == 0x50)
        #expect(!rig.chip.interruptAsserted)
        #expect(rig.requests.map(\.sectors) == [16, 16, 8])  // read ahead, never beyond the command
    }

    @Test func countZeroIs256() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 5, count: 0)
        for sector in UInt64(5)..<261 {
            rig.serve()
            #expect(rig.bulk(512) == Rig.pattern(sector))
        }
        #expect(rig.status == 0x50)
    }

    @Test func registersFollowTheTransfer() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 0x10FE, count: 4)
        rig.serve()
        _ = rig.words(256)
        #expect(rig.chip.read(2) == 3)
        #expect(rig.chip.read(3) == 0xFE)
        _ = rig.words(512)
        #expect(rig.chip.read(2) == 1)
        #expect(rig.chip.read(3) == 0x00)
        #expect(rig.chip.read(4) == 0x11)
        _ = rig.words(256)
        #expect(rig.chip.read(2) == 0)
        #expect(rig.chip.read(3) == 0x01)
        #expect(rig.chip.read(6) == 0xE0)
    }

    @Test func readMultipleInterruptsOncePerBlockAndEndsWithAPartialOne() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xC6, count: 4)
        #expect(rig.interrupt() == true)
        rig.lba28(0xC4, 64, count: 10)
        for (first, count) in [(UInt64(64), 4), (68, 4), (72, 2)] {
            rig.serve()
            #expect(rig.interrupt() == true)
            for i in 0..<count {
                #expect(rig.status == 0x58)
                #expect(!rig.chip.interruptAsserted)
                #expect(rig.words(256) == Rig.pattern(first + UInt64(i)))
            }
        }
        #expect(rig.status == 0x50)
        #expect(!rig.chip.interruptAsserted)
    }

    @Test func readMultipleIsAbortedWhenOff() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xC6, count: 0)
        for code: UInt8 in [0xC4, 0xC5, 0x29, 0x39] {
            rig.lba28(code, 0, count: 1)
            #expect(rig.interrupt() == true)
            #expect(rig.status == 0x51)
            #expect(rig.chip.read(1) == 0x04)
        }
        #expect(rig.chip.takeRequest() == nil)
    }

    @Test func readExtUsesSixBytesOfAddressAndTwoOfCount() throws {
        var rig = try Rig(sectors: 1 << 48)
        rig.lba48(0x24, 0xABCD_1234_5678, count: 300)
        var served: UInt64 = 0
        while rig.serveOne() {
            while rig.status == 0x58 {
                #expect(rig.bulk(512) == Rig.pattern(0xABCD_1234_5678 + served))
                served += 1
            }
        }
        #expect(served == 300)
        #expect(rig.requests.first?.sector == 0xABCD_1234_5678)
        #expect(rig.requests.map(\.sectors).reduce(0, +) == 300)
        #expect(rig.address48() == 0xABCD_1234_5678 + 299)
    }

    @Test func extCountZeroIs65536() throws {
        var rig = try Rig(sectors: 200_000)
        rig.lba48(0x24, 0, count: 0)
        rig.serve()
        _ = rig.bulk(512)
        #expect(rig.chip.read(2) == 0xFF)
        rig.chip.writeControl(0x80)
        #expect(rig.chip.read(2) == 0xFF)  // 65535 left
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        rig.lba48(0x42, 0, count: 0)
        var sectors = 0
        while let request = rig.chip.takeRequest() {
            sectors += request.sectors
            rig.chip.complete(request.tag, .success)  // a verify needs no data
        }
        #expect(sectors == 65536)
        #expect(rig.status == 0x50)
        #expect(rig.address48() == 65535)
    }

    @Test func readMultipleExt() throws {
        var rig = try Rig(sectors: 1 << 40)
        rig.lba48(0x29, 0x55_0000_0000, count: 17)
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.bulk(8192) == (0..<16).flatMap { Rig.pattern(0x55_0000_0000 + $0) })
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.bulk(512) == Rig.pattern(0x55_0000_0010))
        #expect(rig.status == 0x50)
    }

    // MARK: CHS

    @Test func chsAddressesCountSectorsFromOne() throws {
        var rig = try Rig(sectors: 1 << 20)
        rig.command(0x20, count: 1, low: 1, mid: 0, high: 0, device: 0xA0)
        rig.serve()
        #expect(rig.words(256) == Rig.pattern(0))
        rig.command(0x20, count: 1, low: 63, mid: 0x02, high: 0x01, device: 0xAF)  // C 258, H 15, S 63
        rig.serve()
        #expect(rig.words(256) == Rig.pattern((258 * 16 + 15) * 63 + 62))
    }

    @Test func chsRegistersRollOverTrackHeadAndCylinder() throws {
        var rig = try Rig(sectors: 1 << 20)
        rig.command(0x20, count: 2, low: 63, mid: 0xFF, high: 0x00, device: 0xAF)  // last sector of cylinder 255
        rig.serve()
        _ = rig.words(512)
        #expect(rig.chip.read(3) == 1)
        #expect(rig.chip.read(4) == 0x00)
        #expect(rig.chip.read(5) == 0x01)
        #expect(rig.chip.read(6) == 0xA0)
    }

    @Test func initializeDeviceParametersChangesWhatCHSMeans() throws {
        var rig = try Rig(sectors: 1 << 20)
        rig.command(0x91, count: 17, device: 0xA3)  // 4 heads, 17 sectors
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x50)
        rig.command(0x20, count: 1, low: 17, mid: 10, high: 0, device: 0xA3)
        rig.serve()
        #expect(rig.words(256) == Rig.pattern((10 * 4 + 3) * 17 + 16))
        rig.command(0x20, count: 1, low: 18, mid: 10, high: 0, device: 0xA3)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
    }

    @Test(arguments: [(UInt8(0), UInt8(0), UInt8(0)), (64, 0, 0), (1, 0xA0, 0x41)])
    func chsOutsideTheTranslationIsIDNotFound(sector: UInt8, mid: UInt8, high: UInt8) throws {
        var rig = try Rig(sectors: 1 << 30)  // 16383 cylinders: 0x3FFF
        rig.command(0x20, count: 1, low: sector, mid: mid, high: high, device: 0xA0)
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.read(3) == sector)
        #expect(rig.chip.takeRequest() == nil)
    }

    @Test func theLastCHSSectorIsReadableAndTheNextIsNot() throws {
        var rig = try Rig(sectors: 1 << 30)
        rig.command(0x20, count: 2, low: 63, mid: 0xFE, high: 0x3F, device: 0xAF)  // C 16382, H 15, S 63
        rig.serve()
        #expect(rig.words(256) == Rig.pattern(16_514_063))
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.read(2) == 1)
        #expect(rig.chip.read(3) == 1)
        #expect(rig.chip.read(4) == 0xFF)
        #expect(rig.chip.read(5) == 0x3F)
        #expect(rig.chip.read(6) == 0xA0)
    }

    // MARK: Errors

    @Test func lbaBeyondTheEndIsIDNotFound() throws {
        var rig = try Rig(sectors: 1000)
        for code: UInt8 in [0x20, 0x30, 0x40, 0xC4, 0xC5, 0x70] {
            rig.lba28(code, 1000, count: 1)
            #expect(rig.interrupt() == true)
            #expect(rig.status == 0x51)
            #expect(rig.chip.read(1) == 0x10)
            #expect(rig.chip.read(3) == 0xE8 && rig.chip.read(4) == 0x03)
        }
        rig.lba48(0x24, 1 << 40, count: 1)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.takeRequest() == nil)
    }

    @Test func aReadAcrossTheEndGivesWhatIsBeforeIt() throws {
        var rig = try Rig(sectors: 1000)
        rig.lba28(0x20, 995, count: 20)
        var interrupts = 0
        for sector in UInt64(995)..<1000 {
            rig.serve()
            if rig.interrupt() { interrupts += 1 }
            #expect(rig.words(256) == Rig.pattern(sector))
        }
        #expect(rig.interrupt() == true)
        #expect(interrupts == 5)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.read(2) == 15)
        #expect(rig.chip.read(3) == 0xE8 && rig.chip.read(4) == 0x03)  // 1000
        #expect(rig.requests.map(\.sectors) == [5])
    }

    @Test func aReadMultipleBlockAcrossTheEndFailsAsAWhole() throws {
        var rig = try Rig(sectors: 1000)
        rig.command(0xC6, count: 4)
        rig.lba28(0xC4, 994, count: 12)
        rig.serve()
        #expect(rig.bulk(2048) == (994..<998).flatMap { Rig.pattern($0) })
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.read(2) == 6)
        #expect(rig.chip.read(3) == 0xE8 && rig.chip.read(4) == 0x03)
    }

    @Test func the28BitCommandsEndAtTheir28thBit() throws {
        var rig = try Rig(sectors: 1 << 40)
        rig.lba28(0x20, 0x0FFF_FFFF, count: 2)
        rig.serve()
        #expect(rig.words(256) == Rig.pattern(0x0FFF_FFFF))
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        rig.lba48(0x24, 0x0FFF_FFFF, count: 2)
        rig.serve()
        #expect(rig.bulk(1024) == Rig.pattern(0x0FFF_FFFF) + Rig.pattern(0x1000_0000))
        #expect(rig.status == 0x50)
    }

    @Test func aBadSectorIsNamedAndThoseBeforeItAreGiven() throws {
        var rig = try Rig(sectors: 10_000)
        rig.bad[0x123] = .mediumError
        rig.lba28(0x20, 0x120, count: 8)
        for sector in UInt64(0x120)..<0x123 {
            rig.serve()
            #expect(rig.interrupt() == true)
            #expect(rig.words(256) == Rig.pattern(sector))
        }
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x40)
        #expect(rig.chip.read(2) == 5)
        #expect(rig.chip.read(3) == 0x23 && rig.chip.read(4) == 0x01 && rig.chip.read(6) == 0xE0)
        #expect(rig.chip.takeRequest() == nil)
        rig.lba28(0x20, 0x124, count: 1)  // the next command starts clean
        rig.serve()
        #expect(rig.status == 0x58)
        #expect(rig.chip.read(1) == 0x00)
    }

    @Test func aBadSectorInABlockOfReadMultipleIsNamed() throws {
        var rig = try Rig(sectors: 10_000)
        rig.bad[0x205] = .mediumError
        rig.lba28(0xC4, 0x200, count: 32)
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x40)
        #expect(rig.chip.read(2) == 27)
        #expect(rig.chip.read(3) == 0x05 && rig.chip.read(4) == 0x02)
    }

    @Test func aFailureThatDoesNotComeBackIsNotSeen() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 0, count: 40)
        let request = try rig.take()
        #expect(rig.chip.complete(request.tag, .mediumError) == true)
        for sector in UInt64(0)..<40 {
            rig.serve()
            #expect(rig.bulk(512) == Rig.pattern(sector))
        }
        #expect(rig.status == 0x50)
        #expect(rig.requests.map(\.sectors) == [Int](repeating: 1, count: 16) + [16, 8])
    }

    @Test func lba48ErrorsShowAllSixBytes() throws {
        var rig = try Rig(sectors: 1 << 48)
        rig.bad[0x1234_5678_9ABC] = .mediumError
        rig.lba48(0x24, 0x1234_5678_9ABC, count: 0x0201)
        rig.serve()
        #expect(rig.status == 0x51)
        #expect(rig.address48() == 0x1234_5678_9ABC)
        rig.chip.writeControl(0x00)
        #expect(rig.chip.read(2) == 0x01)
        rig.chip.writeControl(0x80)
        #expect(rig.chip.read(2) == 0x02)
    }

    @Test(arguments: [ATAChannel.Outcome.deviceFault, .noSpace, .writeProtected])
    func otherReadFailuresAreADeviceFault(outcome: ATAChannel.Outcome) throws {
        var rig = try Rig(sectors: 10_000)
        rig.bad[3] = outcome
        rig.lba28(0x20, 3, count: 1)
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x71)
        #expect(rig.chip.read(1) == 0x04)
        rig.command(0x10)
        #expect(rig.status == 0x50)
    }

    @Test func tooLittleDataIsADeviceFault() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 3, count: 1)
        let request = try rig.take()
        #expect(rig.chip.complete(request.tag, .success, data: [UInt8](repeating: 0, count: 511).span) == true)
        #expect(rig.status == 0x71)
    }

    // MARK: Verify

    @Test(arguments: [UInt8(0x40), 0x41])
    func verifyReadsWithoutDataAndInterruptsOnce(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(code, 50, count: 40)
        #expect(rig.status == 0xD0)
        #expect(rig.serveOne() == true)
        #expect(rig.status == 0xD0)
        #expect(!rig.chip.interruptAsserted)
        rig.serve()
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x50)
        #expect(rig.requests.map(\.sectors) == [16, 16, 8])
        #expect(rig.chip.read(3) == 89)
    }

    @Test func verifyNamesTheBadSectorAndTheEnd() throws {
        var rig = try Rig(sectors: 1000)
        rig.bad[20] = .mediumError
        rig.lba28(0x40, 0, count: 100)
        rig.serve()
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x40)
        #expect(rig.chip.read(3) == 20)
        #expect(rig.chip.read(2) == 80)
        rig.lba28(0x40, 990, count: 100)
        rig.serve()
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        #expect(rig.chip.read(3) == 0xE8)
    }

    @Test func verifyExt() throws {
        var rig = try Rig(sectors: 1 << 40)
        rig.lba48(0x42, 0xFF_0000_0000, count: 0x0102)
        rig.serve()
        #expect(rig.status == 0x50)
        #expect(rig.requests.map(\.sectors).reduce(0, +) == 0x0102)
        #expect(rig.address48() == 0xFF_0000_0101)
    }
}
