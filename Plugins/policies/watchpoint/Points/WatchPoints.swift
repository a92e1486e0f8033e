public import PluginKit

/// What the `watchpoint` policy waits for, without a host. `Watchpoint.swift` connects it to the machine.
public struct WatchPoints: Equatable, Sendable {
    public enum Access: Int, Sendable { case any, read, write }

    /// Exits that must be seen.
    public struct Want: Equatable, Sendable {
        public let reason: Int
        public let range: ClosedRange<UInt64>
        /// What a read gives is known only once it is over.
        public let isObserved: Bool
    }

    public var ports: [ClosedRange<UInt64>] = []
    /// Guest-physical, where it is not RAM.
    public var memory: [ClosedRange<UInt64>] = []
    public var msrs: [ClosedRange<UInt64>] = []
    public var controlRegisters: [ClosedRange<UInt64>] = []
    public var access = Access.any
    /// nil: any value.
    public var value: UInt64?
    public var mask: UInt64 = .max

    public init() {}

    private var spaces: [(reasons: [Int], ranges: [ClosedRange<UInt64>], reach: UInt64)] {
        var msrReasons: [Int] = []
        if access != .write { msrReasons.append(BP_EXIT_RDMSR) }
        if access != .read { msrReasons.append(BP_EXIT_WRMSR) }
        return [
            ([BP_EXIT_IO], ports, 3), ([BP_EXIT_EPT_VIOLATION], memory, 7), (msrReasons, msrs, 0),
            ([BP_EXIT_CR], controlRegisters, 0),
        ]
    }

    public var wants: [Want] {
        spaces.flatMap { space in
            space.reasons.flatMap { reason in
                space.ranges.map { range in
                    // A wide access may begin before the range.
                    let first = range.lowerBound &- min(space.reach, range.lowerBound)
                    return Want(
                        reason: reason, range: first...range.upperBound, isObserved: value != nil && access != .write)
                }
            }
        }
    }

    /// Whether it is this access. `isOver`: it has been performed, so that what a read gave is known.
    public func matches(_ exit: bp_exit, isOver: Bool) -> Bool {
        guard !exit.asksPower else { return false }
        if access == .read, exit.isWrite { return false }
        if access == .write, !exit.isWrite { return false }
        // Each access once: a read for its value afterwards, everything else before.
        guard isOver == (value != nil && !exit.isWrite) else { return false }
        guard touches(exit) else { return false }
        guard let value else { return true }
        return exit.value & mask == value & mask
    }

    private func touches(_ exit: bp_exit) -> Bool {
        for space in spaces where space.reasons.contains(Int(exit.reason)) {
            let count = space.reach == 0 ? 1 : UInt64(max(exit.width, 1))
            let (sum, overflow) = exit.address.addingReportingOverflow(count &- 1)
            let touched = exit.address...(overflow ? UInt64.max : sum)
            if space.ranges.contains(where: { $0.overlaps(touched) }) { return true }
        }
        return false
    }

    public static func sentence(_ exit: bp_exit) -> String {
        let doing =
            exit.isWrite
            ? "guest wrote " + hexText(exit.value) + " to " : "guest read " + hexText(exit.value) + " from "
        switch Int(exit.reason) {
        case BP_EXIT_IO, BP_EXIT_EPT_VIOLATION: return exit.accessText
        case BP_EXIT_RDMSR, BP_EXIT_WRMSR: return doing + "MSR " + hexText(exit.address) + " " + exit.placeText
        default: return doing + "CR" + exit.address.description + " " + exit.placeText
        }
    }
}
