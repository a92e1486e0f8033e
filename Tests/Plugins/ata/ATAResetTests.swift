import ATA
import Testing

@Suite struct ATAResetTests {
    @Test func softwareResetIsBusyWhileHeldAndThenShowsTheSignature() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x00, count: 9, low: 8, mid: 7, high: 6, device: 0xE5)
        rig.chip.writeControl(0x04)
        for register in UInt8(1)...7 { #expect(rig.chip.read(register) == 0x80) }
        #expect(rig.chip.alternateStatus == 0x80)
        #expect(!rig.chip.interruptAsserted)
        rig.chip.write(2, 0x55)
        rig.chip.write(7, 0xEC)
        rig.chip.writeControl(0x00)
        #expect((1...7).map { rig.chip.read(UInt8($0)) } == [0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x50])
        #expect(!rig.chip.interruptAsserted)
    }

    @Test func softwareResetEndsATransferAndItsCompletionIsStale() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 7, count: 4)
        let old = try rig.take()
        rig.chip.writeControl(0x0C)
        rig.chip.writeControl(0x08)
        #expect(rig.status == 0x50)
        rig.lba28(0x20, 99, count: 4)
        let new = try rig.take()
        #expect(new.tag != old.tag)
        let before = rig.chip.state
        #expect(rig.chip.complete(old.tag, .success, data: [UInt8](repeating: 0xEE, count: 2048).span) == false)
        #expect(rig.chip.complete(old.tag, .deviceFault) == false)
        #expect(rig.chip.state == before)
        rig.finish(new)
        #expect(rig.words(256) == Rig.pattern(99))
    }

    @Test func aRequestThatWasNotTakenIsGoneToo() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 7, count: 4)
        rig.chip.writeControl(0x04)
        #expect(rig.chip.takeRequest() == nil)
        rig.chip.writeControl(0x00)
        #expect(rig.chip.takeRequest() == nil)
    }

    @Test func softwareResetAbandonsADataBlock() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x30, 7, count: 1)
        rig.put([UInt8](repeating: 1, count: 100))
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        rig.put([UInt8](repeating: 1, count: 512))
        #expect(rig.chip.takeRequest() == nil)
        #expect(rig.status == 0x50)
    }

    @Test func aRequestIsTakenAndCompletedOnce() throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(0x20, 7, count: 1)
        let request = try rig.take()
        #expect(rig.chip.takeRequest() == nil)
        rig.finish(request)
        #expect(rig.chip.complete(request.tag, .deviceFault) == false)
        #expect(rig.status == 0x58)
    }

    @Test func softwareResetKeepsSettingsUnlessToldOtherwise() throws {
        var rig = try Rig(sectors: 1_000_000)
        func set(_ rig: inout Rig) {
            rig.command(0xC6, count: 4)
            rig.command(0x91, count: 32, device: 0xA7)
            rig.command(0xEF, features: 0x55)
        }
        set(&rig)
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        var words = rig.identify()
        #expect(words[59] == 0x0104 && words[55] == 8 && words[56] == 32 && words[85] == 0x4028)
        rig.command(0xEF, features: 0xCC)
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        words = rig.identify()
        #expect(words[59] == 0x0110 && words[55] == 16 && words[56] == 63 && words[85] == 0x4068)
        set(&rig)
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        #expect(rig.identify()[59] == 0x0110)  // 0xCC holds over the reset
        rig.command(0xEF, features: 0x66)
        set(&rig)
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        #expect(rig.identify()[59] == 0x0104)
    }

    @Test func hardwareResetForgetsEverything() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xC6, count: 2)
        rig.chip.writeControl(0x02)
        rig.lba28(0x20, 7, count: 4)
        let old = try rig.take()
        rig.chip.reset()
        #expect(rig.chip.state == ATAChannel.State())
        #expect(rig.chip.complete(old.tag, .success) == false)
        #expect(rig.identify()[59] == 0x0110)
        #expect(rig.chip.interruptAsserted)
    }

    @Test func diagnosticsRunOnBothDevicesAndSelectDevice0() throws {
        let drive = try Drive(sectors: 5000)
        var rig = Rig(drive, drive)
        rig.command(0x00, count: 9, low: 8, mid: 7, high: 6, device: 0xB0)
        rig.chip.write(7, 0x90)
        #expect(rig.chip.read(6) == 0x00)
        #expect(rig.chip.interruptAsserted)  // device 0's
        #expect((1...5).map { rig.chip.read(UInt8($0)) } == [0x01, 0x01, 0x01, 0x00, 0x00])
        #expect(rig.chip.read(7) == 0x50)
        rig.chip.write(6, 0x10)
        #expect((1...5).map { rig.chip.read(UInt8($0)) } == [0x01, 0x01, 0x01, 0x00, 0x00])
        #expect(rig.chip.read(7) == 0x50)
        #expect(!rig.chip.interruptAsserted)
    }

    @Test func diagnosticsKeepSettings() throws {
        var rig = try Rig(sectors: 5000)
        rig.command(0xC6, count: 2)
        rig.command(0x90)
        #expect(rig.identify()[59] == 0x0102)
    }
}

@Suite struct ATAPresenceTests {
    @Test func anEmptyChannelFloats() {
        var rig = Rig()
        for register in UInt8(0)...7 {
            rig.chip.write(register, 0x55)
            #expect(rig.chip.read(register) == 0xFF)
        }
        #expect(rig.chip.readData(width: 4) == 0xFFFF_FFFF)
        #expect(rig.chip.alternateStatus == 0xFF)
        rig.chip.writeControl(0x04)
        #expect(rig.chip.alternateStatus == 0xFF)
        rig.chip.writeControl(0x00)
        rig.chip.write(7, 0x90)
        #expect(!rig.chip.interruptAsserted)
        #expect(rig.chip.takeRequest() == nil)
    }

    @Test func device0AnswersForAnAbsentDevice1ButWithStatusZero() throws {
        var rig = try Rig(sectors: 10_000)
        rig.chip.write(6, 0xB0)
        rig.chip.write(2, 0x55)
        rig.chip.write(3, 0xAA)
        #expect(rig.chip.read(2) == 0x55)
        #expect(rig.chip.read(3) == 0xAA)
        #expect(rig.chip.read(6) == 0xB0)
        #expect(rig.chip.read(7) == 0x00)
        #expect(rig.chip.alternateStatus == 0x00)
        rig.chip.write(6, 0xA0)
        #expect(rig.chip.read(2) == 0x55)  // device 0 had taken them
    }

    @Test(arguments: [UInt8(0xEC), 0xA1, 0x20, 0x30, 0xE7, 0x00])
    func commandsToAnAbsentDevice1AreIgnored(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.lba28(code, 0, count: 1, slave: true)
        #expect(rig.chip.read(7) == 0x00)
        #expect(!rig.chip.interruptAsserted)
        #expect(rig.chip.takeRequest() == nil)
        #expect(rig.chip.readData(width: 2) == 0xFFFF)
        rig.chip.write(6, 0xA0)
        #expect(rig.chip.read(7) == 0x50)
        #expect(!rig.chip.interruptAsserted)
    }

    @Test func diagnosticsRunWithAnAbsentDevice1Selected() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x90, device: 0xB0)
        #expect(rig.chip.read(6) == 0x00)
        #expect(rig.chip.read(1) == 0x01)
        #expect(rig.interrupt() == true)
    }

    @Test func aPendingInterruptOfDevice0IsNotSeenThroughDevice1() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x10)
        rig.chip.write(6, 0xB0)
        #expect(!rig.chip.interruptAsserted)
        _ = rig.chip.read(7)
        rig.chip.write(6, 0xA0)
        #expect(rig.chip.interruptAsserted)
    }

    @Test func device1AloneWorksAndDevice0ReadsZero() throws {
        var rig = Rig(.absent, try Drive(sectors: 5000))
        for register in UInt8(1)...7 { #expect(rig.chip.read(register) == 0x00) }
        rig.command(0xEC, device: 0xA0)
        #expect(rig.chip.read(7) == 0x00)
        rig.lba28(0x20, 11, count: 1, slave: true)
        rig.serve()
        #expect(rig.requests.map(\.drive) == [1])
        #expect(rig.interrupt() == true)
        #expect(rig.words(256) == Rig.pattern(11))
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        #expect(rig.chip.read(7) == 0x00)  // device 0 is selected after a reset
        rig.chip.write(6, 0xB0)
        #expect((1...5).map { rig.chip.read(UInt8($0)) } == [0x01, 0x01, 0x01, 0x00, 0x00])
        #expect(rig.chip.read(7) == 0x50)
    }

    @Test func eachDeviceHasItsOwnStatusErrorAndSettings() throws {
        var rig = Rig(try Drive(sectors: 5000), try Drive(sectors: 300))
        rig.command(0x00, device: 0xA0)
        rig.command(0xC6, count: 2, device: 0xB0)
        #expect(rig.chip.read(7) == 0x50)
        rig.chip.write(6, 0xA0)
        #expect(rig.chip.read(7) == 0x51)
        #expect(rig.chip.read(1) == 0x04)
        #expect(rig.identify(device: 0xA0)[59] == 0x0110)
        #expect(rig.identify(device: 0xB0)[59] == 0x0102)
        #expect(rig.identify(device: 0xB0)[60] == 300)
        rig.lba28(0x20, 300, count: 1, slave: true)
        #expect(rig.chip.read(1) == 0x10)
    }
}
