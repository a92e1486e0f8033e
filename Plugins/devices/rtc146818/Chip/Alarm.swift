/// The alarm: when the three alarm bytes next match, found in O(1).
///
/// The chip compares bytes as they are, so an alarm byte in the wrong code never matches, except a time byte in the
/// same wrong code that no carry has reached yet.
extension RTC146818 {
    /// What an alarm byte asks of its counter.
    private enum Condition {
        case any  // 0xC0...0xFF, "don't care"
        case value(UInt64)
        case never

        /// The first match in `from..<limit`.
        func firstMatch(from: UInt64, below limit: UInt64) -> UInt64? {
            switch self {
            case .any: from < limit ? from : nil
            case .value(let value): value >= from && value < limit ? value : nil
            case .never: nil
            }
        }
    }

    /// How many updates from now the first alarm is (1 is the next update); nil for never.
    func updatesUntilAlarm() -> UInt64? {
        let second = sixtieth(self[.seconds]), minute = sixtieth(self[.minutes]), hour = hour(self[.hours])
        let seconds = sixtiethCondition(self[.secondsAlarm]), minutes = sixtiethCondition(self[.minutesAlarm])
        let hourMatches = Self.matches(self[.hoursAlarm], self[.hours])

        // In the rest of this minute minutes and hours stay as they are.
        if hourMatches, Self.matches(self[.minutesAlarm], self[.minutes]),
            let match = seconds.firstMatch(from: second &+ 1, below: 60)
        {
            return match &- second
        }
        guard let firstSecond = seconds.firstMatch(from: 0, below: 60) else { return nil }

        // In the rest of this hour hours stay as they are.
        let untilMinute = 60 &- second
        if hourMatches, let match = minutes.firstMatch(from: minute &+ 1, below: 60) {
            return untilMinute &+ (match &- minute &- 1) &* 60 &+ firstSecond
        }
        guard let firstMinute = minutes.firstMatch(from: 0, below: 60) else { return nil }

        let hours = hourCondition(self[.hoursAlarm])
        guard let match = hours.firstMatch(from: hour &+ 1, below: 24) ?? hours.firstMatch(from: 0, below: 24)
        else { return nil }
        let hoursAhead = (match &+ 23 &- hour) % 24
        return untilMinute &+ (59 &- minute) &* 60 &+ hoursAhead &* 3600 &+ firstMinute &* 60 &+ firstSecond
    }

    private static func matches(_ alarm: UInt8, _ time: UInt8) -> Bool { alarm >= 0xC0 || alarm == time }

    private func sixtiethCondition(_ alarm: UInt8) -> Condition {
        if alarm >= 0xC0 { return .any }
        guard let value = decode(alarm), value < 60 else { return .never }
        return .value(value)
    }

    private func hourCondition(_ alarm: UInt8) -> Condition {
        if alarm >= 0xC0 { return .any }
        let value = hour(alarm)
        return encodeHour(value) == alarm ? .value(value) : .never
    }
}
