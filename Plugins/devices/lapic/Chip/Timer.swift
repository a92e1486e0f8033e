// The timer: SDM, "APIC Timer". Counts stand for what they were at `since`; everything later follows by arithmetic.

extension LocalAPIC {
    /// Ticks of the bus clock in one of the counter: bits 3, 1 and 0 are a code, the last of which is 1.
    private var divideShift: UInt64 {
        let code = UInt64(state.divide & 3) | UInt64(state.divide & 8) &>> 1
        return code == 7 ? 0 : code &+ 1
    }

    /// When the timer next interrupts, in nanoseconds: the owner calls `advance` then. Nil: not while nothing changes.
    public var nextDeadline: UInt64? {
        guard isEnabled, !state.timer.isMasked else { return nil }
        return expiry
    }

    private var expiry: UInt64? {
        if state.timer.timerMode == .deadline { return state.deadlineTime }
        guard state.timer.timerMode != nil, state.count > 0 else { return nil }
        let (time, overflow) = state.since.addingReportingOverflow(UInt64(state.count) &<< divideShift)
        return overflow ? nil : time
    }

    /// Brings the chip to `now`; an earlier time than it knows changes nothing.
    public mutating func advance(to now: UInt64) {
        if state.timer.timerMode == .deadline {
            guard let time = state.deadlineTime, time <= now else { return }
            (state.deadline, state.deadlineTime) = (0, nil)
            return raise(.timer)
        }
        guard state.timer.timerMode != nil, state.count > 0, now > state.since else { return }
        let ticks = (now &- state.since) &>> divideShift
        state.since = state.since &+ ticks &<< divideShift
        guard ticks >= UInt64(state.count) else { return state.count &-= UInt32(truncatingIfNeeded: ticks) }
        let late = ticks &- UInt64(state.count)
        let isPeriodic = state.timer.timerMode == .periodic && state.initialCount > 0
        state.count =
            isPeriodic ? state.initialCount &- UInt32(truncatingIfNeeded: late % UInt64(state.initialCount)) : 0
        raise(.timer)
    }

    mutating func startTimer(_ count: UInt32, at now: UInt64) {
        guard state.timer.timerMode != .deadline else { return }
        (state.initialCount, state.count, state.since) = (count, count, now)
    }

    /// The count goes on at the new rate.
    mutating func writeDivide(_ value: UInt32, at now: UInt64) {
        state.divide = UInt8(value & 0b1011)
        if now > state.since { state.since = now }
    }

    /// A change to or from deadline mode disarms.
    mutating func writeTimer(_ value: UInt32) {
        let before = state.timer.timerMode
        state.timer = localVector(.timer, value)
        let after = state.timer.timerMode
        guard before != after, before == .deadline || after == .deadline || after == nil else { return }
        (state.initialCount, state.count, state.deadline, state.deadlineTime) = (0, 0, 0, nil)
    }

    /// IA32_TSC_DEADLINE (0x6E0): what it holds, 0 once it has come.
    public mutating func readDeadline(at now: UInt64) -> UInt64 {
        advance(to: now)
        return state.deadline
    }

    /// Arms at `value` of the TSC, which shows `tsc` now; 0 disarms. Ignored outside of deadline mode.
    public mutating func writeDeadline(_ value: UInt64, tsc: UInt64, at now: UInt64) {
        advance(to: now)
        guard state.timer.timerMode == .deadline else { return }
        arm(value, tsc: tsc, at: now)
        advance(to: now)
    }

    /// The TSC was written: a deadline comes sooner or later.
    public mutating func tscChanged(to tsc: UInt64, at now: UInt64) {
        advance(to: now)
        guard state.timer.timerMode == .deadline, state.deadline != 0 else { return }
        arm(state.deadline, tsc: tsc, at: now)
        advance(to: now)
    }

    private mutating func arm(_ value: UInt64, tsc: UInt64, at now: UInt64) {
        state.deadline = value
        state.deadlineTime = value == 0 ? nil : value <= tsc ? now : time(after: value &- tsc, from: now)
    }

    /// The first nanosecond at which `ticks` of the TSC have passed; nil: after the end of time.
    private func time(after ticks: UInt64, from now: UInt64) -> UInt64? {
        let product = ticks.multipliedFullWidth(by: 1_000_000_000)
        guard product.high < tscHertz else { return nil }
        let (quotient, rest) = tscHertz.dividingFullWidth(product)
        let (time, overflow) = now.addingReportingOverflow(quotient)
        return overflow || time == .max ? nil : time &+ (rest > 0 ? 1 : 0)
    }
}
