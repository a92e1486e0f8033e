/// A Gregorian date and time from seconds since 1970, in O(1).
struct CivilTime {
    let year: UInt64, month: UInt64, day: UInt64  // 0...9999, 1...12, 1...31
    let hour: UInt64, minute: UInt64, second: UInt64
    let dayOfWeek: UInt64  // 1 is Sunday

    /// Seconds from 0000-01-01 to 1970-01-01, and from 0000-01-01 to 10000-01-01.
    private static let epoch: Int64 = 62_167_219_200
    private static let end: Int64 = 315_569_520_000

    /// - Parameter seconds: held to the years 0...9999.
    init(secondsSince1970 seconds: Int64) {
        let held = min(max(seconds, -Self.epoch), Self.end &- Self.epoch &- 1)
        let total = UInt64(held &+ Self.epoch)
        second = total % 60
        minute = total / 60 % 60
        hour = total / 3600 % 24
        let days = total / 86_400
        dayOfWeek = (days &+ 6) % 7 &+ 1  // 0000-01-01 was a Saturday
        (year, month, day) = Self.date(days)
    }

    /// The date `days` after 0000-01-01. Years are counted from March, so that the leap day is the last of a year, and
    /// 400 years are 146097 days.
    private static func date(_ days: UInt64) -> (UInt64, UInt64, UInt64) {
        let fromMarch = days &+ 146_037  // since 1 March of the year -400
        let era = fromMarch / 146_097, inEra = fromMarch % 146_097
        let yearInEra = (inEra &- inEra / 1460 &+ inEra / 36_524 &- inEra / 146_096) / 365
        let dayOfYear = inEra &- (365 &* yearInEra &+ yearInEra / 4 &- yearInEra / 100)
        let monthFromMarch = (5 &* dayOfYear &+ 2) / 153
        let day = dayOfYear &- (153 &* monthFromMarch &+ 2) / 5 &+ 1
        let month = monthFromMarch < 10 ? monthFromMarch &+ 3 : monthFromMarch &- 9
        return (era &* 400 &+ yearInEra &+ (month <= 2 ? 1 : 0) &- 400, month, day)
    }
}
