/// The divider chain's arithmetic: what falls where within a second. Every function is O(1) in any span of time.
///
/// The chain is a counter that the oscillator clocks; its last stage falls once a second, and UIP rises with it. Half a
/// second lies between the release from reset and the first of those. A tap sets PF when it rises, halfway between the
/// falls that it shares with the last stage: so the update starts tPI/2 + tBUC after a PF (data sheet, "Update-Ended
/// and Periodic Interrupt Relationships").
struct DividerChain {
    static let second: UInt64 = 1_000_000_000
    /// tBUC, the time from UIP's rise to the start of the update cycle.
    static let beforeUpdate: UInt64 = 244_000

    /// When UIP rises, ns within each second of the machine's clock.
    let phase: UInt64
    /// tUC in ns.
    let updateLength: UInt64

    /// From UIP's rise to its fall.
    private var window: UInt64 { Self.beforeUpdate &+ updateLength }
    /// When updates end, ns within each second of the machine's clock.
    private var endPhase: UInt64 { (phase &+ window) % Self.second }

    /// How far into the chain's second `now` is, in ns.
    private func position(_ now: UInt64) -> UInt64 {
        (now % Self.second &+ Self.second &- phase % Self.second) % Self.second
    }

    /// UIP is high, or would be if updates were allowed.
    func isUpdating(at now: UInt64) -> Bool { position(now) < window }

    /// How many updates end in (from, to].
    func updatesEnded(from: UInt64, to: UInt64) -> UInt64 { updatesEnded(by: to) &- updatesEnded(by: from) }

    private func updatesEnded(by time: UInt64) -> UInt64 {
        time / Self.second &+ (time % Self.second >= endPhase ? 1 : 0)
    }

    /// When the `count`-th update (1 is the first) after `from` ends; nil beyond the clock's end.
    func updateEnd(_ count: UInt64, after from: UInt64) -> UInt64? {
        let into = from % Self.second
        let first = endPhase > into ? endPhase &- into : endPhase &+ Self.second &- into
        let (later, tooFar) = (count &- 1).multipliedReportingOverflow(by: Self.second)
        guard !tooFar, let next = sum(from, first) else { return nil }
        return sum(next, later)
    }

    /// When a tap of `frequency` Hz (a power of two up to 32768) next sets PF after `from`; nil beyond the clock's end.
    func tapEdge(frequency: UInt64, after from: UInt64) -> UInt64? {
        let into = position(from)
        let period = into &* frequency / Self.second
        let here = edge(period, frequency)
        return sum(from, (here > into ? here : edge(period &+ 1, frequency)) &- into)
    }

    /// The level of a tap: low in the first half of its period.
    func tapLevel(frequency: UInt64, at now: UInt64) -> Bool {
        position(now) &* frequency % Self.second >= Self.second / 2
    }

    /// The rise of a tap in period number `period` of the chain's second, in ns from the second's start, rounded up.
    private func edge(_ period: UInt64, _ frequency: UInt64) -> UInt64 {
        ((2 &* period &+ 1) &* (Self.second / 2) &+ frequency &- 1) / frequency
    }

    private func sum(_ a: UInt64, _ b: UInt64) -> UInt64? {
        let (result, overflow) = a.addingReportingOverflow(b)
        return overflow ? nil : result
    }
}
