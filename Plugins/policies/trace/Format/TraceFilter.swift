public import PluginKit

/// Which exits are traced.
public struct TraceFilter: Equatable, Sendable {
    /// Exits that the filter needs to see.
    public struct Want: Equatable, Sendable {
        public let reason: Int
        public let range: ClosedRange<UInt64>
        public let options: Exits.Options
    }

    private static let delivered = [BP_EXIT_TRIPLE_FAULT, BP_EXIT_HLT, BP_EXIT_IO, BP_EXIT_EPT_VIOLATION]
    private static let allAddresses: ClosedRange<UInt64> = 0...UInt64.max
    /// Bytes of the widest access to a port.
    private static let widest: UInt64 = 4

    /// As the properties say it: reasons, none is all that the engine delivers anyway; ranges of ports, none is all.
    public var kinds: [UInt16] = []
    /// Only I/O exits that touch these. Without `kinds` it means that nothing but I/O is traced.
    public var ports: [ClosedRange<UInt64>] = []

    public init() {}

    /// A kind that is named is required, an engine that cannot deliver it is an error and not a trace without it; but
    /// for those that every engine delivers.
    public var wants: [Want] {
        let reasons = kinds.isEmpty && !ports.isEmpty ? [UInt16(BP_EXIT_IO)] : kinds
        if reasons.isEmpty {
            return [Want(reason: Int(BP_WANT_ALL), range: TraceFilter.allAddresses, options: .observe)]
        }
        return Set(reasons).sorted().flatMap { reason -> [Want] in
            let ranges = Int(reason) == BP_EXIT_IO && !ports.isEmpty ? reached : [TraceFilter.allAddresses]
            let options: Exits.Options = TraceFilter.delivered.contains(Int(reason)) ? .observe : [.observe, .required]
            return ranges.map { Want(reason: Int(reason), range: $0, options: options) }
        }
    }

    /// Of those that the wants let through. Neither allocates.
    @inline(__always)
    public func takes(_ exit: bp_exit) -> Bool {
        if exit.asksPower { return false }
        guard Int(exit.reason) == BP_EXIT_IO, !ports.isEmpty else { return true }
        let last = exit.address &+ UInt64(max(exit.width, 1)) &- 1
        for range in ports where exit.address <= range.upperBound && last >= range.lowerBound { return true }
        return false
    }

    /// First ports of accesses that touch one of `ports`, ascending and disjoint.
    private var reached: [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for range in ports.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            let first = range.lowerBound - min(range.lowerBound, TraceFilter.widest - 1)
            if let last = result.last, first <= last.upperBound {
                result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                result.append(first...range.upperBound)
            }
        }
        return result
    }
}
