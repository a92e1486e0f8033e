/// `clock: { wall-clock: }`: seconds since 1970, or ISO 8601 in UTC (`2024-02-29T12:00:00Z`; the time may be left out).
enum WallClock {
    static func seconds(_ text: String) throws(ValueError) -> Int64 {
        if let number = try? NumberText.signed(text) { return number }
        let pattern = /([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})Z?|Z)?/
        guard let match = text.wholeMatch(of: pattern) else {
            throw ValueError(
                "\(Printable.quoted(text)) is neither a time in UTC (2024-02-29T12:00:00Z) nor seconds since 1970")
        }
        func number(_ digits: Substring?) -> Int64 { digits.flatMap { Int64($0) } ?? 0 }
        let (year, month, day) = (number(match.1), number(match.2), number(match.3))
        let (hour, minute, second) = (number(match.4), number(match.5), number(match.6))
        guard (1...12).contains(month), (1...length(month, year)).contains(day), hour < 24, minute < 60, second < 60
        else {
            throw ValueError("\(Printable.quoted(text)) is a time that does not exist")
        }
        return days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    }

    private static func length(_ month: Int64, _ year: Int64) -> Int64 {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return switch month {
        case 2: isLeap ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days from 1970-01-01 in the proleptic Gregorian calendar. Years run from March, so that the leap day ends one.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month > 2 ? year : year - 1
        // 400 years before year 0 keep the divisions positive.
        let shifted = year + 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468 - 146_097
    }
}
