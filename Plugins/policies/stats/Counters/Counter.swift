/// Exits of one kind or at one address, and the time that they took in the VMM, in nanoseconds.
struct Counter: Equatable, Sendable {
    private(set) var count: UInt64 = 0
    private(set) var total: UInt64 = 0
    /// Zero where `count` is zero.
    private(set) var shortest: UInt64 = 0
    private(set) var longest: UInt64 = 0

    var mean: UInt64 { count == 0 ? 0 : total / count }

    @inline(__always)
    mutating func note(_ nanoseconds: UInt64) {
        shortest = count == 0 ? nanoseconds : min(shortest, nanoseconds)
        longest = max(longest, nanoseconds)
        count &+= 1
        total &+= nanoseconds
    }

    /// Both together.
    mutating func add(_ other: Counter) {
        guard other.count != 0 else { return }
        shortest = count == 0 ? other.shortest : min(shortest, other.shortest)
        longest = max(longest, other.longest)
        count &+= other.count
        total &+= other.total
    }
}
