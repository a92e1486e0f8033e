import SplitMix
import Testing
@testable import RTC146818

/// Registers, ports, clock and calendar. Interrupts and timing are in InterruptTests.swift.
@Suite struct RTC146818Tests {
    // MARK: Ports and registers

    @Test func registersStartAsPCFirmwareLeavesThem() {
        var b = Bench()
        #expect(b[0x0A] & 0x7F == 0x26)
        #expect(b[0x0B] == 0x02)
        #expect(b[0x0C] == 0x00)
        #expect(b[0x0D] == 0x80)
        #expect(b.time == [0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00])
        #expect(!b.chip.interruptAsserted)
    }

    @Test func indexPortReadsAsAllOnes() {
        var b = Bench()
        b.chip.write(0, 0x0D, at: 0)
        #expect(b.chip.read(0, at: 0) == 0xFF && b.chip.peek(0, at: 0) == 0xFF)
        #expect(b.chip.read(2, at: 0) == 0xFF)
        #expect(b.chip.read(1, at: 0) == 0x80)
        b.chip.write(2, 0x55, at: 0)
        #expect(b.chip.read(1, at: 0) == 0x80)
    }

    @Test func bitSevenOfTheIndexMasksNMI() {
        var b = Bench()
        #expect(b.chip.nmiMasked, "masked from power-on")
        b.chip.write(0, 0x0D, at: 0)
        #expect(!b.chip.nmiMasked)
        b.chip.write(0, 0x8D, at: 0)
        #expect(b.chip.nmiMasked)
        #expect(b.chip.read(1, at: 0) == 0x80, "the bit is no part of the address")
        b.chip.write(0, 0x0D, at: 0)
        b.chip.reset(at: 0)
        #expect(b.chip.nmiMasked)
    }

    @Test func allRAMHoldsEveryByte() {
        var b = Bench()
        for address in UInt8(14)...127 { b[address] = address &* 7 }
        for address in UInt8(14)...127 { #expect(b[address] == address &* 7) }
        for value in UInt8.min...UInt8.max {
            b[0x7F] = value
            #expect(b[0x7F] == value)
        }
    }

    @Test func readOnlyBitsStay() {
        var b = Bench()
        b[0x0B] = 0x82
        b[0x00] = 0xFF
        #expect(b[0x00] == 0x7F, "bit 7 of the seconds")
        b[0x0A] = 0xFF
        #expect(b[0x0A] == 0x7F, "UIP")
        b[0x0C] = 0xFF
        b[0x0D] = 0x00
        #expect(b[0x0C] == 0x00)
        #expect(b[0x0D] == 0x80)
    }

    @Test func readingRegisterDMakesRAMValidAgain() {
        var b = Bench()
        b.chip.losePower()
        b.chip.write(0, 0x0D, at: 0)
        #expect(b.chip.peek(1, at: 0) == 0x00 && b.chip.peek(1, at: 0) == 0x00)
        #expect(b.chip.read(1, at: 0) == 0x00)
        #expect(b.chip.read(1, at: 0) == 0x80)
    }

    @Test func resetClearsEnablesAndFlagsAndNothingElse() {
        var b = Bench.at(1_000_000_000)
        b[0x40] = 0x99
        b[0x0B] = 0x7B
        b.wait(seconds: 3)
        let before = b.time
        #expect(b.chip.interruptAsserted)
        b.chip.reset(at: b.now)
        #expect(!b.chip.interruptAsserted)
        #expect(b[0x0B] == 0x03)
        #expect(b[0x0C] == 0x00)
        #expect(b[0x0A] & 0x7F == 0x26)
        #expect(b[0x40] == 0x99)
        #expect(b.time == before)
        b[0x0B] = 0x86
        b.chip.reset(at: b.now)
        #expect(b[0x0B] == 0x86, "SET, DM, 24/12 and DSE stay")
    }

    @Test func flagsFromBeforeResetDoNotComeAfterIt() {
        var b = Bench.at(0)
        b.wait(seconds: 10)
        b.chip.reset(at: b.now)
        #expect(b[0x0C] == 0x00)
    }

    @Test func presetReachesOnlyRAM() {
        var b = Bench.at(0)
        for address in UInt8.min...UInt8.max { b.chip.preset(address, to: 0xEE) }
        #expect(b.time == [0x70, 0x01, 0x01, 0x05, 0x00, 0x00, 0x00])
        #expect(b[0x0B] == 0x02 && b[0x0D] == 0x80)
        #expect((UInt8(14)...127).allSatisfy { b[$0] == 0xEE })
    }

    // MARK: Setting the time from the host

    /// Known moments: seconds since 1970, then year, month, date, day of the week (1 is Sunday), hour, minute, second.
    @Test(
        arguments: [
            (0, 0x19, [0x70, 0x01, 0x01, 0x05, 0x00, 0x00, 0x00]),  // Thursday
            (951_782_399, 0x20, [0x00, 0x02, 0x28, 0x02, 0x23, 0x59, 0x59]),  // Monday 28 February 2000
            (951_782_400, 0x20, [0x00, 0x02, 0x29, 0x03, 0x00, 0x00, 0x00]),
            (1_234_567_890, 0x20, [0x09, 0x02, 0x13, 0x06, 0x23, 0x31, 0x30]),  // Friday the 13th
            (1_767_225_599, 0x20, [0x25, 0x12, 0x31, 0x04, 0x23, 0x59, 0x59]),
            (2_147_483_648, 0x20, [0x38, 0x01, 0x19, 0x03, 0x03, 0x14, 0x08]),
            (4_107_542_400, 0x21, [0x00, 0x03, 0x01, 0x02, 0x00, 0x00, 0x00]),  // 2100 is no leap year to the host
            (-1, 0x19, [0x69, 0x12, 0x31, 0x04, 0x23, 0x59, 0x59]),
            (-62_167_219_200, 0x00, [0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00]),
            (253_402_300_799, 0x99, [0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x59]),
            (.min, 0x00, [0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00]),
            (.max, 0x99, [0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x59]),
        ] as [(Int64, UInt8, [UInt8])])
    func hostSetsDateAndTime(seconds: Int64, century: UInt8, expected: [UInt8]) {
        var b = Bench.at(seconds)
        #expect(b.time == expected)
        #expect(b[0x32] == century)
    }

    @Test func hostSetsTheTimeInTheGuestsMode() {
        var b = Bench.at(1_234_567_890, registerB: 0x04)
        #expect(b.time == [9, 2, 13, 6, 0x8B, 31, 30], "binary, 11 PM")
        #expect(b[0x32] == 20)
        b = Bench.at(1_234_567_890, registerB: 0x00)
        #expect(b.time == [0x09, 0x02, 0x13, 0x06, 0x91, 0x31, 0x30], "BCD, 11 PM")
    }

    @Test func hostsSecondEndsWhenItsNanosecondsDo() {
        var b = Bench()
        b.now = 123_456_789_000
        b.chip.setTime(seconds: 59, nanoseconds: 400_000_000, at: b.now)
        b.wait(599_999_999)
        #expect(b.time == [0x70, 0x01, 0x01, 0x05, 0x00, 0x00, 0x59])
        b.wait(1)
        #expect(b.time == [0x70, 0x01, 0x01, 0x05, 0x00, 0x01, 0x00])
        b.chip.setTime(seconds: 0, nanoseconds: .max, at: b.now)
        #expect(b[0x00] == 0x00)
        b.wait(1)
        #expect(b[0x00] == 0x01, "held to 999999999")
    }

    @Test func centuryRegisterIsAPropertyOfTheMachine() {
        var b = Bench.at(946_684_799, century: nil)
        b[0x32] = 0x55
        b.wait(seconds: 1)
        #expect(b[0x09] == 0x00 && b[0x32] == 0x55)
        b = Bench.at(946_684_799, century: 0x37)
        #expect(b[0x37] == 0x19 && b[0x32] == 0x00)
        b.wait(seconds: 1)
        #expect(b[0x37] == 0x20)
        b = .set(0x23, 0x59, 0x59, date: 0x31, month: 0x12, year: 0x25)
        b[0x32] = 0xFF
        b.wait(seconds: 1)
        #expect(b[0x09] == 0x26 && b[0x32] == 0xFF, "what the guest keeps there stays until the carry")
        #expect(RTC146818(centuryRegister: 0x0B).centuryRegister == nil)
        #expect(RTC146818(centuryRegister: 0x80).centuryRegister == nil)
    }

    // MARK: Counting

    /// hour, minute, second, day of the week, date, month, year before and after one update; BCD, 24 hours.
    @Test(
        arguments: [
            ([0x00, 0x00, 0x00, 1, 0x01, 0x01, 0x01], [0x00, 0x00, 0x01, 1, 0x01, 0x01, 0x01]),
            ([0x00, 0x00, 0x09, 1, 0x01, 0x01, 0x01], [0x00, 0x00, 0x10, 1, 0x01, 0x01, 0x01]),
            ([0x00, 0x09, 0x59, 1, 0x01, 0x01, 0x01], [0x00, 0x10, 0x00, 1, 0x01, 0x01, 0x01]),
            ([0x19, 0x59, 0x59, 1, 0x01, 0x01, 0x01], [0x20, 0x00, 0x00, 1, 0x01, 0x01, 0x01]),
            ([0x23, 0x59, 0x59, 7, 0x09, 0x01, 0x01], [0x00, 0x00, 0x00, 1, 0x10, 0x01, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x31, 0x01, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x02, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x28, 0x02, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x03, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x28, 0x02, 0x04], [0x00, 0x00, 0x00, 4, 0x29, 0x02, 0x04]),
            ([0x23, 0x59, 0x59, 3, 0x29, 0x02, 0x04], [0x00, 0x00, 0x00, 4, 0x01, 0x03, 0x04]),
            ([0x23, 0x59, 0x59, 3, 0x28, 0x02, 0x00], [0x00, 0x00, 0x00, 4, 0x29, 0x02, 0x00]),
            ([0x23, 0x59, 0x59, 3, 0x31, 0x03, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x04, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x30, 0x04, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x05, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x30, 0x05, 0x01], [0x00, 0x00, 0x00, 4, 0x31, 0x05, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x30, 0x06, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x07, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x31, 0x07, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x08, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x31, 0x08, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x09, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x30, 0x09, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x10, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x31, 0x10, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x11, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x30, 0x11, 0x01], [0x00, 0x00, 0x00, 4, 0x01, 0x12, 0x01]),
            ([0x23, 0x59, 0x59, 3, 0x31, 0x12, 0x09], [0x00, 0x00, 0x00, 4, 0x01, 0x01, 0x10]),
            ([0x23, 0x59, 0x59, 3, 0x31, 0x12, 0x99], [0x00, 0x00, 0x00, 4, 0x01, 0x01, 0x00]),
        ] as [([UInt8], [UInt8])])
    func oneSecondCarriesAsFarAsItMust(before: [UInt8], after: [UInt8]) {
        var b = Bench.set(
            before[0], before[1], before[2], dow: before[3], date: before[4], month: before[5],
            year: before[6])
        b.wait(seconds: 1)
        #expect([b[4], b[2], b[0], b[6], b[7], b[8], b[9]] == after)
    }

    @Test func centuryCountsWhenTheYearRollsOver() {
        var b = Bench.at(946_684_799)
        #expect(b.time == [0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x59] && b[0x32] == 0x19)
        b.wait(seconds: 1)
        #expect(b.time == [0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00] && b[0x32] == 0x20)
        b = .at(253_402_300_799)
        b.wait(seconds: 1)
        #expect(b[0x32] == 0x00)
    }

    @Test func binaryModeCountsInBinary() {
        var b = Bench.set(23, 59, 59, dow: 7, date: 31, month: 12, year: 99, registerB: 0x06)
        b[0x32] = 19
        b.wait(seconds: 1)
        #expect(b.time == [0, 1, 1, 1, 0, 0, 0] && b[0x32] == 20)
        b.wait(seconds: 86_399)
        #expect(b.time == [0, 1, 1, 1, 23, 59, 59])
    }

    /// The hours byte over a day of the 12-hour clock.
    @Test func twelveHourClockGoesFromTwelveToEleven() {
        let hours: [UInt8] = [
            0x12, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x10, 0x11,
            0x92, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x90, 0x91,
        ]
        var b = Bench.set(0x12, 0x00, 0x00, registerB: 0x00)
        for day in UInt8(1)...2 {
            for hour in hours {
                #expect(b[4] == hour && b[7] == day)
                b.wait(seconds: 3600)
            }
        }
        b = .set(0x8B, 59, 59, registerB: 0x04)
        b.wait(seconds: 1)
        #expect(b[4] == 12 && b[7] == 2, "binary: 11 PM to 12 AM of the next day")
    }

    /// An independent calendar, day by day, over the 100 years that two digits can tell apart.
    @Test func hundredYearsAgreeWithACalendarCountedByHand() {
        var b = Bench.at(946_684_800, registerB: 0x06)
        var year = 0, month = 1, day = 1, weekday = 7
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        for _ in 0..<36_600 {
            let expected = [year, month, day, weekday, 0, 0, 0].map { UInt8($0) }
            guard b.time == expected else {
                Issue.record("\(b.time) instead of \(expected)")
                return
            }
            weekday = weekday % 7 + 1
            day += 1
            if day > lengths[month - 1] + (month == 2 && year % 4 == 0 ? 1 : 0) { (day, month) = (1, month + 1) }
            if month > 12 { (month, year) = (1, (year + 1) % 100) }
            b.wait(seconds: 86_400)
        }
    }

    @Test func sleepOfYearsIsCaughtUpAtOnce() {
        var b = Bench.at(1_000_000_000)
        b.wait(seconds: 234_567_890)
        #expect(b.time == [0x09, 0x02, 0x13, 0x06, 0x23, 0x31, 0x30])
        b = .at(946_684_800)
        b.wait(seconds: 5 * 36_525 * 86_400)
        #expect(b.time == [0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00].withWeekday(after: 5 * 36_525))
        #expect(b[0x32] == 0x25)
        b.now = .max
        #expect(b[0x0D] == 0x80)
    }

    // MARK: Values that are no times

    @Test func registersHoldWhatWasWrittenUntilACarryReachesThem() {
        var b = Bench.set(0x3F, 0x7F, 0x00, dow: 0xFF, date: 0xEE, month: 0xDD, year: 0xCC)
        b.wait(seconds: 59)
        #expect(b.time == [0xCC, 0xDD, 0xEE, 0xFF, 0x3F, 0x7F, 0x59])
        b.wait(seconds: 1)
        #expect(b.time == [0x00, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00], "each counted as its highest")
    }

    @Test func zeroDayAndMonthCountOn() {
        var b = Bench.set(0x23, 0x59, 0x59, dow: 0, date: 0, month: 0, year: 0x05)
        b.wait(seconds: 1)
        #expect(b.time == [0x05, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00])
        b.wait(seconds: 31 * 86_400)
        #expect(b.time == [0x05, 0x01, 0x01, 0x04, 0x00, 0x00, 0x00])
    }

    @Test func thirtyFirstOfFebruaryIsFollowedByMarch() {
        var b = Bench.set(0x23, 0x59, 0x59, date: 0x31, month: 0x02, year: 0x05)
        b.wait(seconds: 1)
        #expect(b[7] == 0x01 && b[8] == 0x03 && b[9] == 0x05)
    }

    @Test func invalidYearStaysUntilTheYearChanges() {
        var b = Bench.set(0x23, 0x59, 0x59, date: 0x31, month: 0x11, year: 0xAB)
        b.wait(seconds: 1)
        #expect(b[8] == 0x12 && b[9] == 0xAB)
        b.wait(seconds: 31 * 86_400)
        #expect(b[8] == 0x01 && b[9] == 0x00)
    }

    /// Whatever the registers hold, one leap over n seconds is the same as n steps of one second.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func oneLeapEqualsManySteps(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<40 {
            var leap = Bench.at(0)
            leap[0x0B] = 0x80 | UInt8(truncatingIfNeeded: random.next()) & 0x07
            for register in (0 as UInt8)...9 { leap[register] = sample(register, &random) }
            leap[0x0B] &= 0x7F
            _ = leap[0x0C]
            var steps = leap
            let seconds = random.next() % 8000
            for _ in 0..<seconds {
                steps.wait(seconds: 1)
                steps.chip.advance(to: steps.now)
            }
            leap.wait(seconds: seconds)
            leap.chip.advance(to: leap.now)
            #expect(leap.chip.state == steps.chip.state)
        }
    }

    /// Bytes near the edges more often than not.
    private func sample(_ register: UInt8, _ random: inout SplitMix64) -> UInt8 {
        let any = UInt8(truncatingIfNeeded: random.next())
        switch (random.next() % 4, register) {
        case (0, _): return any
        case (1, 0...3): return [0x59, 59, 0x00, 0x58][Int(any & 3)]
        case (1, 4...5): return [0x23, 23, 0x91, 0x8B][Int(any & 3)]
        case (1, 7): return [0x28, 28, 0x31, 31][Int(any & 3)]
        case (1, 8): return [0x02, 0x12, 12, 0x00][Int(any & 3)]
        case (2, 1), (2, 3), (2, 5): return 0xC0 | any
        default: return any % 10
        }
    }
}

extension [UInt8] {
    /// A time whose day of the week is Saturday plus `days`.
    fileprivate func withWeekday(after days: Int) -> [UInt8] {
        var copy = self
        copy[3] = UInt8((6 + days) % 7 + 1)
        return copy
    }
}
