public import PluginKit
import SplitMix

/// When the `fault-inject` policy makes something go wrong, and what, without a host. The same seed gives the same faults at the
/// same exits.
public struct FaultPlan: Equatable, Sendable {
    public enum Effect: Int, Sendable { case allOnes, zero, random, drop, exception, delay, value }
    public enum Access: Int, Sendable { case any, read, write }

    /// Exits that must be seen.
    public struct Want: Equatable, Sendable {
        public let reason: Int
        public let range: ClosedRange<UInt64>
    }

    /// Basic exit reasons.
    public var reasons: [Int] = []
    /// Ports, addresses, MSRs, vectors... of those reasons. Empty: all.
    public var addresses: [ClosedRange<UInt64>] = []
    public var access = Access.any
    public var effect = Effect.allOnes
    /// What a read gives, of the effect `value`.
    public var value: UInt64 = 0
    /// Of each exit that matches, 0...1.
    public var probability = 1.0
    /// Matching exits that are let by first.
    public var skip: UInt64 = 0
    /// Faults in all; 0: no limit.
    public var limit: UInt64 = 0
    public private(set) var injected: UInt64 = 0
    private var numbers: SplitMix64

    public init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    public var wants: [Want] {
        reasons.flatMap { reason in
            (addresses.isEmpty ? [0...UInt64.max] : addresses).map { Want(reason: reason, range: $0) }
        }
    }

    /// Starts the sequence of a seed anew.
    public mutating func reseed(_ seed: UInt64) { numbers = SplitMix64(seed: seed) }
    public mutating func clear() { injected = 0 }

    /// Whether this exit goes wrong. Draws a number for each exit that matches.
    public mutating func strikes(_ exit: bp_exit) -> Bool {
        guard !exit.asksPower, reasons.contains(Int(exit.reason)) else { return false }
        if access == .read, exit.isWrite { return false }
        if access == .write, !exit.isWrite { return false }
        guard addresses.isEmpty || addresses.contains(where: { $0.contains(exit.address) }) else { return false }
        if skip > 0 {
            skip -= 1
            return false
        }
        if limit != 0, injected >= limit { return false }
        // 53 bits are what a Double holds.
        guard Double(numbers.next() >> 11) * 0x1p-53 < probability else { return false }
        injected &+= 1
        return true
    }

    /// What the guest gets in place of what it should have.
    public mutating func spoil(_ exit: inout bp_exit) {
        guard !exit.isWrite else { return }
        switch effect {
        case .allOnes: exit.value = .max
        case .zero, .drop, .exception, .delay: exit.value = 0
        case .random: exit.value = numbers.next()
        case .value: exit.value = value
        }
    }
}
