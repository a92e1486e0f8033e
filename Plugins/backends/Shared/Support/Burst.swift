/// Work that is done with the machine's lock held, one piece after the other, for so long and no longer: what a guest asks for in one go has
/// no end, and others want their turn too. Somebody has had it when there is a pause.
public struct Burst: Sendable {
    /// Nanoseconds of the host's clock.
    static let longest: UInt64 = 500_000
    static let pause: UInt64 = 50_000

    private var begin: UInt64 = 0
    /// When the last piece was done.
    public var end: UInt64 = 0

    public init() {}

    /// Whether another piece may be done; false until there was a pause.
    public mutating func admits(_ now: UInt64) -> Bool {
        if now &- end >= Burst.pause { begin = now }
        return now &- begin < Burst.longest
    }
}
