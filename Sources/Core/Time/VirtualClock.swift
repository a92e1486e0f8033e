import CHost

/// The only time that a guest sees: nanoseconds from 0 at power-on. Guarded by the machine's lock, but for `now`.
final class VirtualClock {
    enum Source {
        /// The host's monotonic time; stands still while the machine is paused.
        case real
        /// Whatever `advance` says: the bench.
        case manual
        /// A nanosecond for each instruction that vCPU 0 has retired, and what `advance` has skipped while it was idle.
        case counted
    }

    let source: Source
    /// SAFETY: one word, written under the machine's lock, read by anyone. Real: the host's time at 0; counted: what was skipped.
    private let offset: UnsafeMutablePointer<UInt64>
    /// Instructions that vCPU 0 has retired, as its engine publishes them: exact in an exit and between runs.
    /// SAFETY: one word, written by the vCPU's thread, read by anyone; the vCPU holds the clock's machine.
    let retired: UnsafeMutablePointer<UInt64>
    private var pausedAt: UInt64?

    init(_ source: Source) {
        self.source = source
        offset = .allocate(capacity: 1)
        offset.initialize(to: 0)
        retired = .allocate(capacity: 1)
        retired.initialize(to: 0)
        // A machine is made paused, at 0.
        pausedAt = 0
    }

    deinit {
        offset.deallocate()
        retired.deallocate()
    }

    var now: UInt64 {
        switch source {
        case .real: pausedAt ?? ch_monotonic() &- ch_load64(offset)
        case .manual: ch_load64(offset)
        case .counted: ch_load64(retired) &+ ch_load64(offset)
        }
    }

    /// How long the pause lasted.
    @discardableResult
    func resume() -> UInt64 {
        guard source == .real, let paused = pausedAt else { return 0 }
        let before = ch_load64(offset)
        ch_store64(offset, ch_monotonic() &- paused)
        pausedAt = nil
        return ch_load64(offset) &- before
    }

    func pause() {
        guard source == .real, pausedAt == nil else { return }
        pausedAt = now
    }

    /// Not real clocks; never back.
    func advance(to time: UInt64) {
        switch source {
        case .real: break
        case .manual: ch_store64(offset, max(time, ch_load64(offset)))
        case .counted:
            let now = now
            if time > now { ch_store64(offset, ch_load64(offset) &+ (time &- now)) }
        }
    }

    /// Host monotonic time of a virtual deadline; nil while the clock stands still.
    func hostTime(of deadline: UInt64) -> UInt64? {
        guard source == .real, pausedAt == nil else { return nil }
        let (sum, overflow) = ch_load64(offset).addingReportingOverflow(deadline)
        return overflow ? .max : sum
    }

    /// Counted clocks: how many instructions will have retired at a virtual time, if none of it is skipped.
    func instructions(at time: UInt64) -> UInt64 { time &- min(time, ch_load64(offset)) }
}
