/// How long a machine stood still, as a histogram of fixed size: eight steps to each power of two, so that a percentile is at
/// most an eighth too large. Nanoseconds.
public struct PauseTimes: Sendable, Equatable {
    public private(set) var count: UInt64 = 0
    public private(set) var longest: UInt64 = 0
    private var steps = [UInt64](repeating: 0, count: 64 * 8)

    public init() {}

    mutating func note(_ nanoseconds: UInt64) {
        count &+= 1
        longest = max(longest, nanoseconds)
        steps[PauseTimes.step(of: nanoseconds)] &+= 1
    }

    /// An upper bound of the shortest time that `percent` of all pauses do not exceed; 0 where there was none.
    public func percentile(_ percent: UInt64) -> UInt64 {
        let wanted = (count &* min(percent, 100) &+ 99) / 100
        var seen: UInt64 = 0
        for (step, number) in steps.enumerated() {
            seen &+= number
            if number > 0, seen >= wanted { return min(longest, PauseTimes.last(of: step)) }
        }
        return longest
    }

    private static func step(of value: UInt64) -> Int {
        guard value >= 8 else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        return (exponent - 2) * 8 + Int(value >> UInt64(exponent - 3) & 7)
    }

    private static func last(of step: Int) -> UInt64 {
        guard step >= 8 else { return UInt64(step) }
        let shift = UInt64(step / 8 - 1)
        return (UInt64(8 + step % 8) &<< shift) &+ ((1 &<< shift) &- 1)
    }
}
