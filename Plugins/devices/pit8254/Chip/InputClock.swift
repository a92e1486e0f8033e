/// The three counters' CLK: a PC's 14.31818 MHz crystal divided by 12, exactly 715909 ticks in 600 ms.
/// Tick k is the k-th falling edge of CLK since time 0. Every conversion is one multiplication and one division of
/// 128 bits: nothing drifts, and no time overflows.
enum InputClock {
    private static let ticksPerCycle: UInt64 = 715_909
    private static let nanosecondsPerCycle: UInt64 = 600_000_000

    /// The last tick that a machine can reach.
    static let lastTick = tick(at: .max)

    /// Ticks until `now`, the one at `now` included.
    static func tick(at now: UInt64) -> UInt64 {
        // The quotient is less than `now`, so that the division cannot overflow.
        nanosecondsPerCycle.dividingFullWidth(now.multipliedFullWidth(by: ticksPerCycle)).quotient
    }

    /// The first nanosecond at which `tick` has happened; nil where that is beyond 64 bits.
    static func time(of tick: UInt64) -> UInt64? {
        guard tick <= lastTick else { return nil }
        let (time, rest) = ticksPerCycle.dividingFullWidth(tick.multipliedFullWidth(by: nanosecondsPerCycle))
        return rest == 0 ? time : time &+ 1
    }
}
