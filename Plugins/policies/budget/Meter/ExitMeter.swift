/// What the `budget` policy has left, without a host. Zero is no limit.
public struct ExitMeter: Equatable, Sendable {
    /// Exits that are granted at a time.
    public var limit: UInt64
    /// Since the last renewal.
    public private(set) var used: UInt64 = 0

    public init(limit: UInt64, used: UInt64 = 0) {
        self.limit = limit
        self.used = used
    }

    /// One exit more. True: it is the first beyond the limit.
    @inline(__always)
    public mutating func note() -> Bool {
        used &+= 1
        return limit != 0 && used > limit
    }

    /// Counts from zero again: the guest was allowed to go on.
    public mutating func renew() { used = 0 }

    public var left: UInt64 { limit == 0 ? .max : limit &- min(used, limit) }
}
