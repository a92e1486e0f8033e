/// The counters behind the time and calendar bytes, advanced by any number of seconds in O(1).
///
/// A byte changes only when a carry reaches it, so what the guest wrote stays until then. A byte that holds no valid
/// value counts as its highest (an invalid hour of the 12-hour clock as 11 of its half of the day; a day and a month
/// of 0 count as 0): the next carry brings it to its lowest and carries on.
extension RTC146818 {
    /// Counts `seconds` updates.
    mutating func count(seconds: UInt64) {
        let minutes = carry(seconds, into: .seconds)
        let hours = carry(minutes, into: .minutes)
        countDays(carryIntoHours(hours))
    }

    /// Adds to a counter of 0...59 and returns its carry.
    private mutating func carry(_ count: UInt64, into register: TimeRegister) -> UInt64 {
        guard count > 0 else { return 0 }
        let total = sixtieth(self[register]) &+ count
        self[register] = encode(total % 60)
        return total / 60
    }

    private mutating func carryIntoHours(_ count: UInt64) -> UInt64 {
        guard count > 0 else { return 0 }
        let total = hour(self[.hours]) &+ count
        self[.hours] = encodeHour(total % 24)
        return total / 24
    }

    /// Adds days to day of the week, date, month, year and century. The chip's leap years are the years divisible by
    /// 4, with 00 among them, so that 100 years are always 36525 days.
    private mutating func countDays(_ count: UInt64) {
        guard count > 0 else { return }
        self[.dayOfWeek] = encode((min(decode(self[.dayOfWeek]) ?? 7, 7) &+ count &- 1) % 7 &+ 1)

        // To the first of the next month byte by byte, which ends all invalid values but the year's.
        let year = min(decode(self[.year]) ?? 99, 99)
        let month = min(decode(self[.month]) ?? 13, 13)
        let length = Self.monthLength(month, year: year)
        let day = min(decode(self[.dayOfMonth]) ?? 31, length)
        guard day &+ count > length else {
            self[.dayOfMonth] = encode(day &+ count)
            return
        }
        let rest = count &- (length &- day &+ 1)
        let next = month >= 12 ? 1 : month &+ 1
        setDate(Self.dayNumber(year: year &+ (month >= 12 ? 1 : 0), month: next) &+ rest, from: year)
    }

    /// Sets date, month, and where it is not `oldYear` the year, from the days since year 00 of this century.
    private mutating func setDate(_ dayNumber: UInt64, from oldYear: UInt64) {
        let centuries = dayNumber / 36_525
        let (year, month, day) = Self.date(dayNumber % 36_525)
        self[.dayOfMonth] = encode(day)
        self[.month] = encode(month)
        guard centuries > 0 || year != oldYear else { return }
        self[.year] = encode(year)
        if centuries > 0, let centuryRegister {
            let century = min(decode(memory(centuryRegister)) ?? 99, 99)
            setMemory(centuryRegister, to: encode((century &+ centuries) % 100))
        }
    }

    // MARK: Codes

    /// The value of a byte in the data mode (DM); nil for a BCD digit above 9.
    func decode(_ byte: UInt8) -> UInt64? {
        if state.registerB.contains(.binary) { return UInt64(byte) }
        let tens = byte >> 4, ones = byte & 0xF
        return tens > 9 || ones > 9 ? nil : UInt64(tens &* 10 &+ ones)
    }

    /// The byte for a value of 0...99 in the data mode.
    func encode(_ value: UInt64) -> UInt8 {
        let small = UInt8(truncatingIfNeeded: value)
        return state.registerB.contains(.binary) ? small : (small / 10) &<< 4 | small % 10
    }

    /// A byte of seconds or minutes as 0...59.
    func sixtieth(_ byte: UInt8) -> UInt64 { min(decode(byte) ?? 59, 59) }

    /// An hours byte as 0...23. In 12-hour mode bit 7 is PM.
    func hour(_ byte: UInt8) -> UInt64 {
        if state.registerB.contains(.hours24) { return min(decode(byte) ?? 23, 23) }
        let clock = decode(byte & 0x7F) ?? 13
        let half = clock == 12 ? 0 : min(clock, 11)
        return byte & 0x80 != 0 ? half &+ 12 : half
    }

    /// The hours byte for 0...23.
    func encodeHour(_ hour: UInt64) -> UInt8 {
        if state.registerB.contains(.hours24) { return encode(hour) }
        let clock = hour % 12 == 0 ? 12 : hour % 12
        return encode(clock) | (hour >= 12 ? 0x80 : 0)
    }

    // MARK: The chip's calendar

    /// 31 for a month that is none.
    private static func monthLength(_ month: UInt64, year: UInt64) -> UInt64 {
        switch month {
        case 2: year % 4 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days from 1 January 00 to the first of a month (1...12) of a year (0...100).
    private static func dayNumber(year: UInt64, month: UInt64) -> UInt64 {
        var days = year &* 365 &+ (year &+ 3) / 4
        for earlier in 1..<month { days &+= monthLength(earlier, year: year) }
        return days
    }

    /// The date that lies 0...36524 days after 1 January 00.
    private static func date(_ dayNumber: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
        let inCycle = dayNumber % 1461
        let yearInCycle = inCycle < 366 ? 0 : 1 &+ (inCycle &- 366) / 365
        let year = dayNumber / 1461 &* 4 &+ yearInCycle
        var day = inCycle &- (yearInCycle == 0 ? 0 : yearInCycle &* 365 &+ 1)
        var month: UInt64 = 1
        while month < 12, day >= monthLength(month, year: year) {
            day &-= monthLength(month, year: year)
            month &+= 1
        }
        return (year, month, day &+ 1)
    }
}
