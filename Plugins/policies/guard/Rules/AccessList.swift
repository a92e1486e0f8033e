/// Which numbers of a space (ports, addresses, MSRs, CPUID leaves, hypercalls) a guest may touch: a list of those denied, and a
/// list of those allowed, which denies all others where it is not empty. What is on both is denied.
public struct AccessList: Equatable, Sendable {
    public var deny: [ClosedRange<UInt64>]
    public var allow: [ClosedRange<UInt64>]
    /// The last number of the space.
    let last: UInt64
    /// How many numbers one access can touch, from its first on.
    let widest: UInt64

    /// `last`: of the space; `widest`: the most numbers that one access touches.
    public init(
        deny: [ClosedRange<UInt64>] = [], allow: [ClosedRange<UInt64>] = [], last: UInt64, widest: UInt64 = 1
    ) {
        self.deny = deny
        self.allow = allow
        self.last = last
        self.widest = widest
    }

    /// Whether an access that touches `count` numbers from `first` on touches one that is denied.
    public func denies(_ first: UInt64, count: UInt64 = 1) -> Bool {
        let (sum, overflow) = first.addingReportingOverflow(max(1, count) &- 1)
        let end = overflow ? last : max(first, min(sum, last))
        if deny.contains(where: { $0.overlaps(first...end) }) { return true }
        if allow.isEmpty { return false }
        return !AccessList.joined(allow).contains { $0.contains(first) && $0.contains(end) }
    }

    /// First numbers of accesses that may touch one that is denied: what the policy must see. All else costs nothing.
    public var watched: [ClosedRange<UInt64>] {
        var denied = deny.filter { $0.lowerBound <= last }.map { $0.lowerBound...min($0.upperBound, last) }
        if !allow.isEmpty { denied += gaps }
        return AccessList.joined(
            denied.map { range in
                let reach = min(widest &- 1, range.lowerBound)
                return (range.lowerBound &- reach)...range.upperBound
            })
    }

    /// What is between the ranges that are allowed.
    private var gaps: [ClosedRange<UInt64>] {
        var gaps: [ClosedRange<UInt64>] = []
        var next: UInt64 = 0
        for range in AccessList.joined(allow) {
            if range.lowerBound > last { break }
            if next < range.lowerBound { gaps.append(next...(range.lowerBound &- 1)) }
            guard range.upperBound < last else { return gaps }
            next = range.upperBound &+ 1
        }
        gaps.append(next...last)
        return gaps
    }

    /// Ascending; neither overlapping nor adjacent.
    private static func joined(_ ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let end = result.last, end.upperBound == .max || range.lowerBound <= end.upperBound &+ 1 {
                result[result.count - 1] = end.lowerBound...max(end.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }
}
