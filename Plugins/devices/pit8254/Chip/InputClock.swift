/// The three counters' CLK: a PC's 14.31818 MHz crystal divided by 12, exactly 715909 ticks in 600 ms.
/// Tick k is the k-th falling edge of CLK since time 0. Every conversion splits off whole cycles of 600 ms first, so that
/// it is exact in 64 bits, nothing overflows, and the compiler divides by constants (a division of 128 bits cost 15 ns).
enum InputClock {
    private static let ticksPerCycle: UInt64 = 715_909
    private static let nanosecondsPerCycle: UInt64 = 600_000_000

    /// The last tick that a machine can reach.
    static let lastTick = tick(at: .max)

    /// Ticks until `now`, the one at `now` included.
    static func tick(at now: UInt64) -> UInt64 {
        let (cycles, rest) = now.quotientAndRemainder(dividingBy: nanosecondsPerCycle)
        return cycles &* ticksPerCycle &+ rest &* ticksPerCycle / nanosecondsPerCycle
    }

    /// The first nanosecond at which `tick` has happened; nil where that is beyond 64 bits.
    static func time(of tick: UInt64) -> UInt64? {
        guard tick <= lastTick else { return nil }
        let (cycles, rest) = tick.quotientAndRemainder(dividingBy: ticksPerCycle)
        return cycles &* nanosecondsPerCycle &+ (rest &* nanosecondsPerCycle &+ ticksPerCycle &- 1) / ticksPerCycle
    }
}
