import CHost

/// The only time that a guest sees: nanoseconds from 0 at power-on. Guarded by the machine's lock, but for `now`.
final class VirtualClock {
    enum Source {
        /// The host's monotonic time; stands still while the machine is paused.
        case real
        /// Whatever `advance` says: the bench, and later retired instructions.
        case manual
    }

    let source: Source
    /// SAFETY: one word, written under the machine's lock, read by anyone.
    private let offset: UnsafeMutablePointer<UInt64>
    private var pausedAt: UInt64?

    init(_ source: Source) {
        self.source = source
        offset = .allocate(capacity: 1)
        offset.initialize(to: 0)
        // A machine is made paused, at 0.
        pausedAt = 0
    }

    deinit { offset.deallocate() }

    var now: UInt64 {
        if source == .manual { return ch_load64(offset) }
        return pausedAt ?? ch_monotonic() &- ch_load64(offset)
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

    /// Manual clocks only; never back.
    func advance(to time: UInt64) {
        if source == .manual { ch_store64(offset, max(time, ch_load64(offset))) }
    }

    /// Host monotonic time of a virtual deadline; nil while the clock stands still.
    func hostTime(of deadline: UInt64) -> UInt64? {
        guard source == .real, pausedAt == nil else { return nil }
        let (sum, overflow) = ch_load64(offset).addingReportingOverflow(deadline)
        return overflow ? .max : sum
    }
}
