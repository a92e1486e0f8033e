/// When the machine was reset, to tell a reset loop from resets. Times are virtual nanoseconds.
struct ResetHistory: Sendable {
    private var times: [UInt64] = []

    /// Notes a reset; the number of resets less than `window` ago, this one included. Counts no further than `limit` +
    /// 1.
    mutating func note(at now: UInt64, window: UInt64, limit: Int) -> Int {
        // A time in the future is from before a snapshot was loaded.
        times.removeAll { $0 > now || now &- $0 >= window }
        times.append(now)
        if times.count > limit &+ 1 { times.removeFirst(times.count &- limit &- 1) }
        return times.count
    }
}
