import Testing
@testable import RTC146818

/// Update cycle, divider, SET, alarm, periodic interrupt, square wave, register C.
extension RTC146818Tests {
    // MARK: Update cycle

    /// UIP is high for 244 us before the update and for the update's 1984 us; the time changes when it falls.
    @Test func updateInProgressAnnouncesTheUpdate() {
        var b = Bench.at(0)
        b.now = 1_000_000_000 - 2_228_000 - 1
        #expect(b[0x0A] == 0x26)
        b.wait(1)
        #expect(b[0x0A] == 0xA6)
        b.now = 999_999_999
        #expect(b[0x0A] == 0xA6 && b[0x00] == 0x00 && b[0x0C] & 0x10 == 0)
        b.wait(1)
        #expect(b[0x0A] == 0x26 && b[0x00] == 0x01 && b[0x0C] & 0x10 == 0x10)
    }

    /// With the two fast time bases the update takes 248 us.
    @Test(arguments: [0x00, 0x10] as [UInt8])
    func fastTimeBasesUpdateFaster(base: UInt8) {
        var b = Bench()
        b[0x0A] = base
        b.chip.setTime(seconds: 0, nanoseconds: 0, at: 0)
        b.now = 1_000_000_000 - 492_000 - 1
        #expect(b[0x0A] == base)
        b.wait(1)
        #expect(b[0x0A] == base | 0x80)
        b.now = 1_000_000_000
        #expect(b[0x0A] == base && b[0x00] == 0x01)
    }

    @Test func clockTakesItsTimeFromUIPNotFromPolling() {
        var b = Bench.at(0)
        var rises = 0, high = false
        while b.now < 3_000_000_000 {
            let uip = b[0x0A] & 0x80 != 0
            if uip, !high { rises += 1 }
            high = uip
            b.wait(100_000)
        }
        #expect(rises == 3)
        #expect(b[0x00] == 0x03)
    }

    // MARK: SET

    @Test func setFreezesTheTimeButNotTheDivider() {
        var b = Bench.at(0)
        b[0x0A] = 0x2F
        b[0x0B] = 0x82
        b.wait(seconds: 100)
        #expect(b[0x00] == 0x00 && b[0x02] == 0x00)
        #expect(b[0x0C] == 0x40, "no UF, but PF")
        b.wait(999_000_000)
        #expect(b[0x0A] == 0x2F, "no UIP")
        b[0x0B] = 0x02
        b.wait(1_001_000_000)
        #expect(b[0x00] == 0x01)
    }

    @Test func setWrittenDuringTheUpdateAbortsIt() {
        var b = Bench.at(0)
        b.now = 999_000_000
        #expect(b[0x0A] & 0x80 == 0x80)
        b[0x0B] = 0x82
        #expect(b[0x0A] & 0x80 == 0)
        b[0x0B] = 0x02
        #expect(b[0x0A] & 0x80 == 0)
        b.now = 1_500_000_000
        #expect(b[0x00] == 0x00 && b[0x0C] & 0x10 == 0)
        b.now = 2_000_000_000
        #expect(b[0x00] == 0x01)
    }

    @Test func updateThatBeganUnderSetDoesNotTakePlace() {
        var b = Bench.at(0)
        b.now = 900_000_000
        b[0x0B] = 0x82
        b.now = 999_000_000
        b[0x0B] = 0x12
        #expect(b.chip.nextEvent(at: b.now) == 2_000_000_000)
        b.now = 1_000_000_000
        #expect(b[0x00] == 0x00)
        b.now = 2_000_000_000
        #expect(b[0x00] == 0x01)
    }

    @Test func risingSetClearsUpdateInterruptEnable() {
        var b = Bench()
        b[0x0B] = 0x12
        b[0x0B] = 0x92
        #expect(b[0x0B] == 0x82)
        b[0x0B] = 0x92
        #expect(b[0x0B] == 0x92, "only its rise does")
    }

    // MARK: Divider

    @Test(arguments: [0x60, 0x70, 0x30, 0x40, 0x50] as [UInt8])
    func heldDividerStopsEverything(code: UInt8) {
        var b = Bench.at(0)
        b[0x0A] = code | 0x06
        b[0x0B] = 0x72
        #expect(b.chip.nextEvent(at: 0) == nil)
        b.wait(seconds: 1000)
        #expect(b.time == [0x70, 0x01, 0x01, 0x05, 0x00, 0x00, 0x00])
        #expect(b[0x0C] == 0x00 && b[0x0A] == code | 0x06)
    }

    /// The divider's half second, then the update with its 244 us and 1984 us.
    @Test func firstUpdateComesHalfASecondAfterTheDividersRelease() {
        var b = Bench.at(0)
        b[0x0A] = 0x66
        b.now = 7_700_000_123
        b[0x0A] = 0x26
        b.wait(499_999_999)
        #expect(b[0x0A] == 0x26)
        b.wait(1)
        #expect(b[0x0A] == 0xA6)
        b.wait(2_227_999)
        #expect(b[0x00] == 0x00)
        b.wait(1)
        #expect(b[0x00] == 0x01)
        b.wait(1_000_000_000)
        #expect(b[0x00] == 0x02)
    }

    @Test func rewritingTheSameTimeBaseKeepsThePhase() {
        var b = Bench.at(0)
        b.now = 700_000_000
        b[0x0A] = 0x2F
        b.now = 1_000_000_000
        #expect(b[0x00] == 0x01)
        b.now = 1_300_000_000
        b[0x0A] = 0x1F
        b.now = 2_000_000_000
        #expect(b[0x00] == 0x02, "another time base goes on with the same second")
    }

    @Test func timeBaseChangedDuringAnUpdateLosesIt() {
        var b = Bench.at(0)
        b.now = 999_000_000
        b[0x0A] = 0x16
        b.now = 1_500_000_000
        b[0x0A] = 0x26
        #expect(b[0x00] == 0x00)
        b.now = 4_500_000_000
        #expect(b[0x00] == 0x03)
    }

    @Test func timeBaseChangedAfterAnUpdateDoesNotRepeatIt() {
        var b = Bench()
        b[0x0A] = 0x16
        b.chip.setTime(seconds: 0, nanoseconds: 0, at: 0)
        b.now = 1_000_100_000
        #expect(b[0x00] == 0x01)
        b[0x0A] = 0x26
        b.now = 1_500_000_000
        #expect(b[0x00] == 0x01)
        b.now = 2_100_000_000
        #expect(b[0x00] == 0x02)
    }

    // MARK: Periodic interrupt

    /// Table "Periodic Interrupt Rate and Square Wave Output Frequency": register A and the interrupts in one second.
    @Test(
        arguments: [
            (0x20, 0), (0x21, 256), (0x22, 128), (0x23, 8192), (0x24, 4096), (0x25, 2048), (0x26, 1024), (0x27, 512),
            (0x28, 256), (0x29, 128), (0x2A, 64), (0x2B, 32), (0x2C, 16), (0x2D, 8), (0x2E, 4), (0x2F, 2),
            (0x00, 0), (0x01, 32_768), (0x02, 16_384), (0x03, 8192), (0x08, 256), (0x0F, 2),
            (0x10, 0), (0x11, 32_768), (0x12, 16_384), (0x13, 8192), (0x1F, 2),
        ] as [(UInt8, Int)])
    func periodicRateIsTheTables(registerA: UInt8, perSecond: Int) {
        var b = Bench.at(0)
        b[0x0A] = registerA
        b[0x0B] = 0x42
        _ = b[0x0C]
        var interrupts = 0
        while let next = b.chip.nextEvent(at: b.now), next < 1_000_000_000 {
            b.now = next
            b.chip.advance(to: next)
            guard b.chip.interruptAsserted else {
                Issue.record("nothing at \(next)")
                return
            }
            #expect(b[0x0C] & 0xC0 == 0xC0)
            interrupts += 1
        }
        #expect(interrupts == perSecond)
    }

    @Test func periodicInterruptsAreEvenlySpaced() {
        var b = Bench.at(0)
        b[0x0A] = 0x23
        b[0x0B] = 0x42
        var last: UInt64 = 0
        for count in 0..<20_000 {
            b.now = b.chip.nextEvent(at: b.now) ?? 0
            #expect(b[0x0C] & 0xC0 == 0xC0)
            #expect(count == 0 || b.now - last == 122_070 || b.now - last == 122_071, "1/8192 s is 122070.3 ns")
            last = b.now
        }
    }

    /// "Update-Ended and Periodic Interrupt Relationships": the update begins tPI/2 + tBUC after a PF.
    @Test func updateBeginsHalfAPeriodAfterAPeriodicInterrupt() {
        for (rate, period) in [(0x2F, 500_000_000), (0x2D, 125_000_000), (0x26, 976_562)] as [(UInt8, UInt64)] {
            var b = Bench.at(0)
            b[0x0A] = rate
            b[0x0B] = 0x42
            let rise: UInt64 = 5_000_000_000 - 2_228_000
            b.now = rise - period / 2 - 2
            _ = b[0x0C]
            #expect(b[0x0C] == 0)
            b.wait(3)
            #expect(b[0x0C] == 0xC0)
        }
    }

    @Test func periodicFlagIsSetWithoutItsEnable() {
        var b = Bench.at(0)
        b[0x0A] = 0x2F
        b.wait(seconds: 1)
        #expect(!b.chip.interruptAsserted)
        #expect(b[0x0C] & 0xC0 == 0x40)
        b.wait(seconds: 1)
        b.chip.advance(to: b.now)
        b[0x0B] = 0x42
        #expect(b.chip.interruptAsserted, "enabling it finds the flag set")
        #expect(b.chip.nextEvent(at: b.now) == nil, "the line is up until register C is read")
    }

    // MARK: Update-ended interrupt and register C

    @Test func updateEndedInterruptComesOnceASecond() {
        var b = Bench.at(0)
        b[0x0A] = 0x20
        b[0x0B] = 0x12
        for second in UInt64(1)...5 {
            #expect(b.chip.nextEvent(at: b.now) == second * 1_000_000_000)
            b.now = second * 1_000_000_000
            b.chip.advance(to: b.now)
            #expect(b.chip.interruptAsserted)
            #expect(b.chip.nextEvent(at: b.now) == nil)
            b.chip.write(0, 0x0C, at: b.now)
            #expect(b.chip.peek(1, at: b.now) == 0x90)
            #expect(b.chip.interruptAsserted, "peeking ends nothing")
            #expect(b.chip.read(1, at: b.now) == 0x90)
            #expect(!b.chip.interruptAsserted && b.chip.read(1, at: b.now) == 0x00)
        }
    }

    @Test func registerCShowsAllFlagsAndOneReadClearsThem() {
        var b = Bench.at(0)
        b[0x01] = 0xC0
        b[0x03] = 0xFF
        b[0x05] = 0xFF
        b.wait(seconds: 2)
        #expect(b[0x0C] == 0x70, "three flags, none enabled")
        #expect(b[0x0C] == 0x00)
        for enable in [0x10, 0x20, 0x40] as [UInt8] {
            b[0x0B] = 0x02 | enable
            b.wait(seconds: 2)
            #expect(b[0x0C] == 0xF0)
            b[0x0B] = 0x02
        }
    }

    @Test func disablingTheSourceDropsTheLine() {
        var b = Bench.at(0)
        b[0x0B] = 0x12
        b.wait(seconds: 1)
        b[0x0B] = 0x12
        #expect(b.chip.interruptAsserted)
        b[0x0B] = 0x02
        #expect(!b.chip.interruptAsserted)
        #expect(b[0x0C] & 0x90 == 0x10)
    }

    // MARK: Alarm

    /// Alarm hour, minute, second (BCD, 24 hours) and the seconds from 12:34:56 to the first match.
    @Test(
        arguments: [
            ([0x12, 0x34, 0x57], 1), ([0x12, 0x35, 0x00], 4), ([0x13, 0x00, 0x00], 1504), ([0x12, 0x34, 0x56], 86_400),
            ([0x12, 0x34, 0x55], 86_399), ([0x00, 0x00, 0x00], 41_104), ([0x23, 0x59, 0x59], 41_103),
            ([0xC0, 0xFF, 0xE5], 1), ([0xFF, 0xFF, 0x00], 4), ([0xFF, 0xFF, 0x56], 60), ([0xFF, 0x00, 0x00], 1504),
            ([0xFF, 0x34, 0x56], 3600), ([0xFF, 0x34, 0xFF], 1), ([0xFF, 0x33, 0xFF], 3484), ([0x12, 0xFF, 0xFF], 1),
            ([0x12, 0xFF, 0x10], 14), ([0x11, 0xFF, 0xFF], 80_704), ([0x13, 0xFF, 0x30], 1534),
            ([0x12, 0x20, 0xFF], 85_504),
        ] as [([UInt8], UInt64)])
    func alarmMatchesWithWildcards(alarm: [UInt8], seconds: UInt64) {
        var b = Bench.set(0x12, 0x34, 0x56, registerB: 0x22)
        b[0x0A] = 0x20
        (b[0x05], b[0x03], b[0x01]) = (alarm[0], alarm[1], alarm[2])
        #expect(b.chip.nextEvent(at: 0) == seconds * 1_000_000_000)
        b.now = seconds * 1_000_000_000 - 1
        #expect(b[0x0C] & 0xA0 == 0)
        b.wait(1)
        #expect(b[0x0C] & 0xA0 == 0xA0)
        var late = Bench.set(0x12, 0x34, 0x56, registerB: 0x22)
        (late[0x05], late[0x03], late[0x01]) = (alarm[0], alarm[1], alarm[2])
        late.wait(seconds: 100_000)
        #expect(late[0x0C] & 0xA0 == 0xA0)
    }

    @Test func alarmThatNoTimeMatchesNeverComes() {
        let never: [[UInt8]] = [
            [0x24, 0x00, 0x00], [0x12, 0x60, 0x00], [0x12, 0x00, 0x60], [0x12, 0x1A, 0x00], [0xBF, 0x00, 0x00],
        ]
        for alarm in never {
            var b = Bench.set(0x12, 0x34, 0x56, registerB: 0x22)
            (b[0x05], b[0x03], b[0x01]) = (alarm[0], alarm[1], alarm[2])
            #expect(b.chip.nextEvent(at: 0) == nil)
            b.wait(seconds: 1_000_000)
            #expect(b[0x0C] & 0x20 == 0)
        }
    }

    @Test func alarmOfTheTwelveHourClockTellsPMFromAM() {
        for (hour, seconds) in [(0x05, 18_000), (0x85, 61_200), (0x92, 43_200), (0x12, 86_400), (0x91, 82_800)]
            as [(UInt8, UInt64)]
        {
            var b = Bench.set(0x12, 0x00, 0x00, registerB: 0x20)
            (b[0x05], b[0x03], b[0x01]) = (hour, 0x00, 0x00)
            #expect(b.chip.nextEvent(at: 0) == seconds * 1_000_000_000)
        }
        var b = Bench.set(11, 59, 59, registerB: 0x24)
        (b[0x05], b[0x03], b[0x01]) = (0x8C, 0, 0)
        #expect(b.chip.nextEvent(at: 0) == 1_000_000_000, "binary, noon")
    }

    @Test func alarmByteEqualToAnInvalidTimeByteMatches() {
        var b = Bench.set(0x12, 0x7B, 0x10, registerB: 0x22)
        (b[0x05], b[0x03], b[0x01]) = (0x12, 0x7B, 0x20)
        #expect(b.chip.nextEvent(at: 0) == 10_000_000_000)
        b.wait(seconds: 10)
        #expect(b[0x0C] & 0x20 == 0x20)
    }

    @Test func alarmIsOnlyComparedByUpdates() {
        var b = Bench.set(0x12, 0x34, 0x56, registerB: 0x22)
        (b[0x05], b[0x03], b[0x01]) = (0x12, 0x34, 0x56)
        #expect(b[0x0C] & 0x20 == 0)
        b[0x0B] = 0xA2
        #expect(b.chip.nextEvent(at: 0) == nil)
        b.wait(seconds: 200_000)
        #expect(b[0x0C] & 0x20 == 0)
    }

    @Test func earliestOfTheEnabledSourcesIsNext() {
        var b = Bench.at(0)
        b[0x0A] = 0x2F
        b[0x0B] = 0x72
        let tap: UInt64 = 250_000_000 - 2_228_000
        #expect(b.chip.nextEvent(at: 0) == tap)
        b[0x0B] = 0x32
        #expect(b.chip.nextEvent(at: 0) == 1_000_000_000)
        (b[0x05], b[0x03], b[0x01]) = (0x00, 0x00, 0x05)
        b[0x0B] = 0x22
        #expect(b.chip.nextEvent(at: 0) == 5_000_000_000)
        #expect(b.chip.nextEvent(at: 9_000_000_000) == 9_000_000_000, "missed: due now")
        b[0x0B] = 0x02
        #expect(b.chip.nextEvent(at: 0) == nil)
    }

    // MARK: Square wave

    @Test func squareWaveFollowsItsTapAndEnable() {
        var b = Bench.at(0)
        b[0x0A] = 0x2F
        #expect(!b.chip.squareWave(at: 300_000_000))
        b[0x0B] = 0x0A
        let rise: UInt64 = 250_000_000 - 2_228_000
        for cycle in UInt64(0)..<4 {
            let start = rise + cycle * 500_000_000
            #expect(!b.chip.squareWave(at: start - 1))
            #expect(b.chip.squareWave(at: start))
            #expect(b.chip.squareWave(at: start + 249_999_999))
            #expect(!b.chip.squareWave(at: start + 250_000_000))
        }
        b[0x0A] = 0x20
        #expect(!b.chip.squareWave(at: rise))
        b[0x0A] = 0x7F
        #expect(!b.chip.squareWave(at: rise))
    }
}
