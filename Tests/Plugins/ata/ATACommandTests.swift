import ATA
import Testing

@Suite struct ATACommandTests {
    /// Codes that end without data or medium, with good status on a drive of 10,000 sectors (registers zero).
    private static let instant: Set<UInt8> =
        Set([0x90, 0x95, 0x97, 0x98, 0xC6, 0xE1, 0xE3, 0xE5, 0xF8, 0x27]).union(0x10...0x1F)
    /// Codes that read the registers as a CHS address (sector 0: not found), that want data, or that flush.
    private static let addressed: Set<UInt8> =
        Set([0x20, 0x21, 0x30, 0x31, 0x40, 0x41, 0xC4, 0xC5]).union(0x70...0x7F)
    private static let extended: Set<UInt8> = [0x24, 0x29, 0x34, 0x39, 0x42]
    private static let flushing: Set<UInt8> = [0x94, 0x96, 0x99, 0xE0, 0xE2, 0xE6, 0xE7, 0xEA]

    @Test(arguments: UInt8.min...UInt8.max)
    func everyCodeIsExecutedOrAborted(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.registers(0, 0, 0, 0)  // the bytes before, which power-on leaves at the signature
        rig.command(code)
        if Self.instant.contains(code) {
            #expect(rig.status == 0x50)
            #expect(rig.chip.interruptAsserted)
        } else if Self.addressed.contains(code) {
            #expect(rig.status == 0x51)
            #expect(rig.chip.read(1) == 0x10)
        } else if Self.extended.contains(code) {
            #expect(rig.status == (code == 0x34 || code == 0x39 ? 0x58 : 0xD0))
        } else if Self.flushing.contains(code) {
            #expect(rig.status == 0xD0)
            rig.serve()
            #expect(rig.requests.map(\.operation) == [.flush])
            #expect(rig.interrupt() == true)
            #expect(rig.status == 0x50)
        } else if code == 0xEC {
            #expect(rig.status == 0x58)
        } else {
            #expect(rig.status == 0x51)
            #expect(rig.chip.read(1) == 0x04)
            #expect(rig.interrupt() == true)
        }
    }

    @Test func nopIsAbortedAndTouchesNoRegister() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x00, count: 0x11, low: 0x22, mid: 0x33, high: 0x44, device: 0xE5)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x04)
        #expect((2...6).map { rig.chip.read(UInt8($0)) } == [0x11, 0x22, 0x33, 0x44, 0xE5])
    }

    @Test func anErrorLastsUntilTheNextCommand() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x00)
        _ = rig.chip.read(7)
        #expect(rig.chip.read(7) == 0x51)
        rig.command(0x10)
        #expect(rig.chip.read(7) == 0x50)
        #expect(rig.chip.read(1) == 0x00)
    }

    @Test func seekChecksItsAddress() throws {
        var rig = try Rig(sectors: 1_000_000)
        rig.command(0x70, low: 1, mid: 0x10, high: 0, device: 0xA3)
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x50)
        rig.command(0x70, low: 0, device: 0xA0)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        rig.lba28(0x70, 999_999, count: 0)
        #expect(rig.status == 0x50)
    }

    @Test(arguments: [UInt8(1), 2, 4, 8, 16, 0])
    func multipleTakesPowersOfTwo(count: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xC6, count: count)
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x50)
    }

    @Test(arguments: [UInt8(3), 5, 12, 17, 32, 64, 128, 255])
    func otherMultiplesAreAbortedAndTurnItOff(count: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xC6, count: count)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x04)
        rig.lba28(0xC4, 0, count: 1)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x04)
    }

    @Test func initializeDeviceParametersNeedsSectors() throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0x91, count: 0, device: 0xAF)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x04)
        rig.command(0x91, count: 255, device: 0xAF)  // 4080 sectors in a cylinder
        #expect(rig.status == 0x50)
        #expect(rig.identify()[54] == 2)
    }

    @Test func aTranslationLargerThanTheDriveReachesNothing() throws {
        var rig = try Rig(sectors: 100)
        rig.command(0x91, count: 255, device: 0xAF)
        #expect(rig.status == 0x50)
        #expect(rig.identify()[54] == 0)
        rig.command(0x20, count: 1, low: 1)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x10)
        rig.command(0xF8)
        #expect(rig.status == 0x50)
        rig.lba28(0x20, 0, count: 1)
        rig.serve()
        #expect(rig.words(256) == Rig.pattern(0))
    }

    // MARK: SET FEATURES

    @Test func transferModes() throws {
        var rig = try Rig(sectors: 10_000)
        for mode in UInt8.min...UInt8.max {
            rig.command(0xEF, features: 0x03, count: mode)
            let supported = mode <= 1 || (mode >= 0x08 && mode <= 0x0C)
            #expect(rig.status == (supported ? 0x50 : 0x51))
            if !supported { #expect(rig.chip.read(1) == 0x04) }
        }
    }

    @Test func unknownFeaturesAreAborted() throws {
        var rig = try Rig(sectors: 10_000)
        let known: Set<UInt8> = [0x02, 0x03, 0x55, 0x66, 0x82, 0xAA, 0xCC]
        for feature in UInt8.min...UInt8.max {
            rig.command(0xEF, features: feature)
            rig.serve()
            #expect(rig.interrupt() == true)
            #expect(rig.status == (known.contains(feature) ? 0x50 : 0x51))
        }
    }

    // MARK: Power

    @Test(arguments: [
        (UInt8(0xE0), UInt8(0x00)), (0xE2, 0x00), (0x94, 0x00), (0x96, 0x00),
        (0xE1, 0x80), (0xE3, 0x80), (0x95, 0x80), (0x97, 0x80),
    ])
    func checkPowerModeShowsWhatWasAsked(code: UInt8, mode: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xE5)
        #expect(rig.chip.read(2) == 0xFF)
        rig.command(code)
        rig.serve()
        #expect(rig.interrupt() == true)
        for check: UInt8 in [0xE5, 0x98] {
            rig.command(check)
            #expect(rig.status == 0x50)
            #expect(rig.chip.read(2) == mode)
        }
        rig.lba28(0x20, 0, count: 1)  // the medium wakes it
        rig.serve()
        _ = rig.words(256)
        rig.command(0xE5)
        #expect(rig.chip.read(2) == 0xFF)
    }

    @Test(arguments: [UInt8(0x10), 0x1F, 0x70, 0x40, 0x30])
    func whatNeedsTheMediumEndsStandby(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(0xE0)
        rig.serve()
        rig.lba28(code, 0, count: 1)
        rig.put([UInt8](repeating: 0, count: 512))
        rig.serve()
        rig.command(0xE5)
        #expect(rig.chip.read(2) == 0xFF)
    }

    @Test(arguments: [UInt8(0xE6), 0x99])
    func sleepIgnoresCommandsUntilAReset(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(code)
        rig.serve()
        #expect(rig.interrupt() == true)
        rig.command(0xEC)
        #expect(rig.status == 0x50)
        #expect(!rig.chip.interruptAsserted)
        rig.chip.writeControl(0x04)
        rig.chip.writeControl(0x00)
        rig.command(0xE5)
        #expect(rig.chip.read(2) == 0x00)  // standby
        #expect(rig.identify()[0] == 0x0040)
    }

    // MARK: Flush

    @Test(arguments: [UInt8(0xE7), 0xEA])
    func flushWaitsForTheMedium(code: UInt8) throws {
        var rig = try Rig(sectors: 10_000)
        rig.command(code)
        let request = try rig.take()
        #expect(request.operation == .flush && request.sectors == 0 && request.drive == 0)
        #expect(rig.status == 0xD0)
        #expect(!rig.chip.interruptAsserted)
        rig.chip.complete(request.tag, .success)
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x50)
    }

    @Test func aFailedFlushIsADeviceFault() throws {
        var rig = try Rig(sectors: 10_000)
        rig.flushOutcome = .noSpace
        for code: UInt8 in [0xE7, 0xEA, 0xE0, 0xE6] {
            rig.command(code)
            rig.serve()
            #expect(rig.interrupt() == true)
            #expect(rig.status == 0x71)
            #expect(rig.chip.read(1) == 0x04)
        }
        rig.command(0xE5)
        #expect(rig.chip.read(2) == 0xFF)  // neither standby nor sleep was entered
    }

    @Test func aReadOnlyMediumHasNothingToFlush() throws {
        var rig = try Rig(sectors: 10_000, readOnly: true)
        rig.flushOutcome = .writeProtected
        rig.command(0xE7)
        rig.serve()
        #expect(rig.status == 0x50)
    }

    // MARK: READ NATIVE MAX ADDRESS

    @Test func nativeMaxIn28Bits() throws {
        var rig = try Rig(sectors: 0x0123_4568)
        rig.command(0xF8, device: 0xE0)
        #expect(rig.interrupt() == true)
        #expect((3...6).map { rig.chip.read(UInt8($0)) } == [0x67, 0x45, 0x23, 0xE1])
        var huge = try Rig(sectors: 1 << 40)
        huge.command(0xF8, device: 0xE0)
        #expect((3...6).map { huge.chip.read(UInt8($0)) } == [0xFF, 0xFF, 0xFF, 0xEF])
    }

    @Test func nativeMaxIn48Bits() throws {
        var rig = try Rig(sectors: 0x1234_5678_9ABD)
        rig.command(0x27, device: 0x40)
        #expect(rig.address48() == 0x1234_5678_9ABC)
    }

    @Test func nativeMaxInCHS() throws {
        var rig = try Rig(sectors: 1 << 30)
        rig.command(0xF8, device: 0xA0)
        #expect((3...6).map { rig.chip.read(UInt8($0)) } == [63, 0xFE, 0x3F, 0xAF])
    }
}
