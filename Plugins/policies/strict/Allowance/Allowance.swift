/// Which addresses of a space may float although nothing claims them. Not modelled: an access that wraps around the end
/// of its space counts only up to the end.
public struct Allowance: Equatable, Sendable {
    /// Ascending; neither overlapping nor adjacent, so that an access lies in one of them or is not allowed.
    private let ranges: [ClosedRange<UInt64>]
    private let space: ClosedRange<UInt64>
    /// Bytes of the widest access.
    private let widest: UInt64

    public static func ports(_ allowed: [ClosedRange<UInt64>]) -> Allowance {
        Allowance(allowed, in: 0...0xffff, widest: 4)
    }

    public static func memory(_ allowed: [ClosedRange<UInt64>]) -> Allowance {
        Allowance(allowed, in: 0...UInt64.max, widest: 8)
    }

    init(_ allowed: [ClosedRange<UInt64>], in space: ClosedRange<UInt64>, widest: UInt64) {
        ranges = Allowance.joined(allowed.filter { $0.overlaps(space) }.map { $0.clamped(to: space) })
        self.space = space
        self.widest = widest
    }

    /// Every byte of the access may float.
    public func allows(_ address: UInt64, width: UInt32) -> Bool {
        let (end, overflow) = address.addingReportingOverflow(UInt64(max(width, 1)) &- 1)
        let last = overflow ? space.upperBound : max(address, min(end, space.upperBound))
        for range in ranges where range.contains(address) { return range.contains(last) }
        return false
    }

    /// First addresses of accesses that touch a byte which may not float: what the policy needs to see. Accesses that
    /// stay within the allowed ranges are not among them, and so cost nothing.
    public var watched: [ClosedRange<UInt64>] {
        Allowance.joined(
            gaps.map { gap in
                let reach = min(widest &- 1, gap.lowerBound &- space.lowerBound)
                return (gap.lowerBound &- reach)...gap.upperBound
            })
    }

    /// What is between the ranges.
    private var gaps: [ClosedRange<UInt64>] {
        var gaps: [ClosedRange<UInt64>] = []
        var next = space.lowerBound
        for range in ranges {
            if next < range.lowerBound { gaps.append(next...(range.lowerBound &- 1)) }
            guard range.upperBound < space.upperBound else { return gaps }
            next = range.upperBound &+ 1
        }
        gaps.append(next...space.upperBound)
        return gaps
    }

    private static func joined(_ ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = result.last, last.upperBound == .max || range.lowerBound <= last.upperBound &+ 1 {
                result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }
}
