/// The power management timer's clock: 3.579545 MHz, exactly 715909 ticks in 200 ms (a 14.31818 MHz crystal divided by 4).
/// Whole cycles of 200 ms are split off first, so that every conversion is exact in 64 bits.
enum PMTimer {
    private static let ticksPerCycle: UInt64 = 715_909
    private static let nanosecondsPerCycle: UInt64 = 200_000_000
    /// TMROF_STS: bit 23 has changed.
    private static let halfPeriod: UInt64 = 1 << 23

    /// Ticks until `now`.
    static func ticks(at now: UInt64) -> UInt64 {
        let (cycles, rest) = now.quotientAndRemainder(dividingBy: nanosecondsPerCycle)
        return cycles &* ticksPerCycle &+ rest &* ticksPerCycle / nanosecondsPerCycle
    }

    /// How often bit 23 has changed until `now`.
    static func changes(at now: UInt64) -> UInt64 { ticks(at: now) / halfPeriod }

    /// When bit 23 next changes after `now`, ns; nil: beyond 64 bits.
    static func nextChange(after now: UInt64) -> UInt64? {
        let tick = (changes(at: now) &+ 1) &* halfPeriod
        guard tick <= ticks(at: .max) else { return nil }
        let (cycles, rest) = tick.quotientAndRemainder(dividingBy: ticksPerCycle)
        return cycles &* nanosecondsPerCycle &+ (rest &* nanosecondsPerCycle &+ ticksPerCycle &- 1) / ticksPerCycle
    }
}
