import ATA
import Testing

@Suite struct ATARegisterTests {
    @Test func powerOnShowsTheSignatureOfAnATADevice() throws {
        var rig = try Rig(sectors: 10_000)
        #expect(rig.chip.read(1) == 0x01)  // diagnostic passed
        #expect(rig.chip.read(2) == 0x01)
        #expect(rig.chip.read(3) == 0x01)
        #expect(rig.chip.read(4) == 0x00)
        #expect(rig.chip.read(5) == 0x00)
        #expect(rig.chip.read(6) == 0x00)
        #expect(rig.chip.read(7) == 0x50)  // DRDY, DSC
        #expect(!rig.chip.interruptAsserted)
    }

    @Test func addressRegistersKeepTheByteBefore() throws {
        var rig = try Rig(sectors: 10_000)
        for register in UInt8(2)...5 {
            rig.chip.write(register, 0x10 + register)
            rig.chip.write(register, 0x80 + register)
        }
        for register in UInt8(2)...5 { #expect(rig.chip.read(register) == 0x80 + register) }
        rig.chip.writeControl(0x80)
        for register in UInt8(2)...5 { #expect(rig.chip.read(register) == 0x10 + register) }
    }

    @Test func anyCommandBlockWriteClearsHOB() throws {
        var rig = try Rig(sectors: 10_000)
        for register in UInt8(0)...6 {
            rig.chip.write(2, 0x12)
            rig.chip.write(2, 0x34)
            rig.chip.writeControl(0x80)
            #expect(rig.chip.read(2) == 0x12)
            rig.chip.write(register, 0x34)
            #expect(rig.chip.read(2) == 0x34)
        }
    }

    @Test func deviceRegisterReadsBackWhole() throws {
        var rig = try Rig(sectors: 10_000)
        for value: UInt8 in [0xA0, 0xE5, 0x4F, 0xB0, 0x00] {
            rig.chip.write(6, value)
            #expect(rig.chip.read(6) == value)
        }
    }

    @Test func bothDevicesTakeWhatIsWritten() throws {
        let drive = try Drive(sectors: 5000)
        var rig = Rig(drive, drive)
        rig.chip.write(6, 0xA0)
        rig.chip.write(3, 0x5A)
        rig.chip.write(6, 0xB0)
        #expect(rig.chip.read(3) == 0x5A)
    }

    @Test func statusAcknowledgesAndAlternateStatusDoesNot() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x10)
        #expect(rig.chip.interruptAsserted)
        #expect(rig.chip.alternateStatus == 0x50)
        #expect(rig.chip.peek(7) == 0x50)
        #expect(rig.chip.interruptAsserted)
        #expect(rig.chip.read(7) == 0x50)
        #expect(!rig.chip.interruptAsserted)
    }

    @Test func nIENHidesAnInterruptButKeepsIt() throws {
        var rig = try Rig(sectors: 10_000)
        rig.chip.writeControl(0x02)
        rig.command(0x10)
        #expect(!rig.chip.interruptAsserted)
        rig.chip.writeControl(0x00)
        #expect(rig.chip.interruptAsserted)
        rig.chip.writeControl(0x02)
        _ = rig.chip.read(7)
        rig.chip.writeControl(0x00)
        #expect(!rig.chip.interruptAsserted)
    }

    @Test func aNewCommandDropsThePendingInterrupt() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x10)
        rig.lba28(0x20, 0, count: 1)
        #expect(!rig.chip.interruptAsserted)  // BSY, nothing to tell yet
    }

    @Test func anInterruptThatACommandDropsAndRaisesAgainIsCounted() throws {
        var rig = try Rig(sectors: 10_000)
        for code: UInt8 in [0x10, 0x00, 0xEC] {  // none of the first two is acknowledged
            rig.command(code)
            #expect(rig.chip.interruptAsserted)
        }
        #expect(rig.chip.interruptDrops == 2)
        _ = rig.words(256)
        _ = rig.chip.read(7)
        rig.command(0x10)
        #expect(rig.chip.interruptDrops == 2)
        rig.command(0x90)
        #expect(rig.chip.interruptDrops == 3)
    }

    @Test func interruptFollowsTheSelectedDevice() throws {
        let drive = try Drive(sectors: 5000)
        var rig = Rig(drive, drive)
        rig.command(0x10, device: 0xA0)
        rig.chip.write(6, 0xB0)
        #expect(!rig.chip.interruptAsserted)
        _ = rig.chip.read(7)  // device 1's status: acknowledges nothing of device 0
        rig.chip.write(6, 0xA0)
        #expect(rig.chip.interruptAsserted)
    }

    @Test func whileBusyEveryRegisterReadsAsStatusAndWritesAreIgnored() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 7, count: 1)
        let request = try rig.take()
        for register in UInt8(1)...7 { #expect(rig.chip.read(register) == 0xD0) }
        for register in UInt8(1)...6 { rig.chip.write(register, 0xFF) }
        rig.chip.write(7, 0xEC)
        #expect(rig.chip.readData(width: 2) == 0xFFFF)
        rig.finish(request)
        #expect(rig.chip.read(7) == 0x58)
        #expect(rig.chip.read(6) == 0xE0)
        #expect(rig.words(256) == Rig.pattern(7))
        #expect(rig.chip.read(7) == 0x50)
    }

    @Test func aCommandDuringDRQIsIgnored() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 7, count: 1)
        rig.serve()
        rig.lba28(0x30, 9, count: 2)
        #expect(rig.status == 0x58)
        #expect(rig.words(256) == Rig.pattern(7))
        #expect(rig.status == 0x50)
    }

    @Test func offsetsBeyondTheBlockAreInert() throws {
        var rig = try Rig(sectors: 10_000)
        let before = rig.chip.state
        for offset in UInt8(8)...255 {
            rig.chip.write(offset, 0xEC)
            #expect(rig.chip.read(offset) == 0xFF)
        }
        #expect(rig.chip.state == before)
    }
}

@Suite struct ATADataPortTests {
    private func reading(_ sectors: UInt8, at sector: UInt32 = 40) throws -> Rig {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, sector, count: sectors)
        rig.serve()
        return rig
    }

    @Test func doubleWordsAreTwoWordsLowFirst() throws {
        var rig = try reading(1)
        let expected = Rig.pattern(40)
        for i in 0..<128 {
            let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(expected[i * 4 + $1]) << UInt32($1 * 8) }
            #expect(rig.chip.readData(width: 4) == value)
        }
        #expect(rig.status == 0x50)
    }

    @Test func aByteReadUsesUpAWord() throws {
        var rig = try reading(1)
        let expected = Rig.pattern(40)
        #expect(rig.chip.read(0) == expected[0])
        #expect(rig.chip.read(0) == expected[2])
        #expect(rig.chip.readData(width: 1) == UInt32(expected[4]))
        #expect(rig.chip.readData(width: 2) == UInt32(expected[6]) | UInt32(expected[7]) << 8)
    }

    @Test func aByteWriteIsAWordWithAZeroHighByte() throws {
        var rig = try Rig(sectors: 100)
        rig.lba28(0x30, 3, count: 1)
        rig.chip.write(0, 0x77)
        for _ in 0..<255 { rig.chip.writeData(0xABCD, width: 2) }
        rig.serve()
        #expect(rig.written[3]?.prefix(4) == [0x77, 0x00, 0xCD, 0xAB])
    }

    @Test func doubleWordWrites() throws {
        var rig = try Rig(sectors: 100)
        rig.lba28(0x30, 3, count: 1)
        for _ in 0..<128 { rig.chip.writeData(0x0403_0201, width: 4) }
        rig.serve()
        #expect(rig.written[3] == Array([[UInt8]](repeating: [1, 2, 3, 4], count: 128).joined()))
        #expect(rig.status == 0x50)
    }

    @Test func peekSeesTheSameWithoutMoving() throws {
        var rig = try reading(1)
        let word = rig.chip.peekData(width: 4)
        #expect(rig.chip.peekData(width: 4) == word)
        #expect(UInt8(word & 0xFF) == rig.chip.peek(0))
        #expect(rig.chip.readData(width: 4) == word)
    }

    @Test func withoutDRQThePortGivesOnesAndTakesNothing() throws {
        var rig = try Rig(sectors: 100)
        let before = rig.chip.state
        #expect(rig.chip.readData(width: 2) == 0xFFFF)
        #expect(rig.chip.readData(width: 4) == 0xFFFF_FFFF)
        #expect(rig.chip.read(0) == 0xFF)
        rig.chip.writeData(0x1234, width: 2)
        #expect(rig.bulk(512).isEmpty)
        #expect(rig.chip.state == before)
    }

    @Test func theWrongDirectionMovesNothing() throws {
        var rig = try reading(1)
        rig.chip.writeData(0xFFFF, width: 2)
        #expect(rig.words(256) == Rig.pattern(40))
        rig.lba28(0x30, 1, count: 1)
        #expect(rig.chip.readData(width: 2) == 0xFFFF)
        rig.put(Rig.pattern(99))
        rig.serve()
        #expect(rig.content(1) == Rig.pattern(99))
    }

    @Test func otherWidthsAreInert() throws {
        var rig = try reading(1)
        for width: UInt8 in [0, 3, 5, 8, 255] {
            #expect(rig.chip.readData(width: width) == 0xFFFF_FFFF)
            rig.chip.writeData(0, width: width)
        }
        #expect(rig.words(256) == Rig.pattern(40))
    }

    @Test func bulkIsTheSameAsWords() throws {
        var rig = try reading(20)
        #expect(rig.bulk(512) == Rig.pattern(40))
        #expect(rig.bulk(100) == Array(Rig.pattern(41)[..<100]))
        #expect(rig.words(6) == Array(Rig.pattern(41)[100..<112]))
        #expect(rig.bulk(400) == Array(Rig.pattern(41)[112...]))
    }

    @Test func bulkCrossesSectorsAndStopsWhereTheDataEnds() throws {
        var rig = try reading(20)
        var data = [UInt8](repeating: 0, count: 9000)
        var span = data.mutableSpan
        #expect(rig.chip.readData(into: &span) == 8192)  // 16 sectors were read ahead
        #expect(Array(data[..<8192]) == (40..<56).flatMap { Rig.pattern($0) })
        #expect(data[8192...].allSatisfy { $0 == 0xFF })
        #expect(rig.status == 0xD0)
        rig.serve()
        #expect(rig.bulk(2048) == (56..<60).flatMap { Rig.pattern($0) })
        #expect(rig.status == 0x50)
    }

    @Test func anOddBulkLengthLeavesTheLastByteAlone() throws {
        var rig = try reading(1)
        var data = [UInt8](repeating: 0, count: 5)
        var span = data.mutableSpan
        #expect(rig.chip.readData(into: &span) == 4)
        #expect(data == Array(Rig.pattern(40)[..<4]) + [0xFF])
        #expect(rig.words(254) == Array(Rig.pattern(40)[4...]))
    }

    @Test func theBufferStaysWhereItIs() throws {
        func address(_ rig: borrowing Rig) -> Int {
            rig.chip.state.buffer.withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
        }
        var rig = try Rig(sectors: 10_000)
        let before = address(rig)
        _ = rig.identify()
        rig.lba28(0xC4, 0, count: 48)
        while rig.serveOne() { _ = rig.bulk(8192) }
        rig.lba28(0x30, 0, count: 20)
        while rig.status == 0x58 {
            rig.put([UInt8](repeating: 1, count: 512))
            rig.serve()
        }
        #expect(rig.status == 0x50)
        #expect(address(rig) == before)
    }

    @Test func bulkWriteStopsWhereTheDriveIsBusy() throws {
        var rig = try Rig(sectors: 100)
        rig.lba28(0x30, 10, count: 20)
        let data = (200..<220).flatMap { Rig.pattern($0) }
        #expect(rig.chip.writeData(from: data.span) == 8192)
        rig.serve()
        let rest = Array(data[8192...])
        #expect(rig.chip.writeData(from: rest.span) == 2048)
        rig.serve()
        #expect((10..<30).flatMap { rig.content($0) } == data)
        #expect(rig.status == 0x50)
    }
}
