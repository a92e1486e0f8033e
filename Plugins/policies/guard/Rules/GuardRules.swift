public import PluginKit

/// What the `guard` policy denies, without a host. `Guard.swift` connects it to the machine.
public struct GuardRules: Equatable, Sendable {
    public enum Space: Int, CaseIterable, Sendable { case ports, memory, msrs, cpuid, hypercalls }
    public enum Action: Int, Sendable { case drop, inject, stop }

    /// Exits that the rules need to see.
    public struct Want: Equatable, Sendable {
        public let reason: Int
        public let range: ClosedRange<UInt64>
        /// Injecting needs an engine that is precise. KVM answers an MSR with #GP by itself.
        public let isPrecise: Bool
    }

    public var action = Action.drop
    private var lists: [AccessList] = [
        AccessList(last: 0xffff, widest: 4), AccessList(last: .max, widest: 8), AccessList(last: 0xffff_ffff),
        AccessList(last: 0xffff_ffff), AccessList(last: .max),
    ]

    public init() {}

    public subscript(space: Space) -> AccessList {
        get { lists[space.rawValue] }
        set { lists[space.rawValue] = newValue }
    }

    private static let reasons: [(space: Space, reasons: [Int])] = [
        (.ports, [BP_EXIT_IO]), (.memory, [BP_EXIT_EPT_VIOLATION]), (.msrs, [BP_EXIT_RDMSR, BP_EXIT_WRMSR]),
        (.cpuid, [BP_EXIT_CPUID]), (.hypercalls, [BP_EXIT_VMCALL]),
    ]

    public var wants: [Want] {
        var wants: [Want] = []
        for (space, reasons) in GuardRules.reasons {
            var watched = self[space].watched
            // A hypercall's number is in RAX, and not what the exit is selected by.
            if space == .hypercalls, !watched.isEmpty { watched = [0...UInt64.max] }
            for reason in reasons {
                wants += watched.map { Want(reason: reason, range: $0, isPrecise: action == .inject && space != .msrs) }
            }
        }
        return wants
    }

    /// nil: not denied. `hypercall`: RAX, asked for where it is needed.
    public func denies(_ exit: bp_exit, hypercall: () -> UInt64) -> Space? {
        guard !exit.asksPower else { return nil }
        for (space, reasons) in GuardRules.reasons where reasons.contains(Int(exit.reason)) {
            let isAccess = space == .ports || space == .memory
            let number = space == .hypercalls ? hypercall() : exit.address
            return self[space].denies(number, count: isAccess ? UInt64(max(exit.width, 1)) : 1) ? space : nil
        }
        return nil
    }

    /// What the guest gets of an access that is dropped: all ones from ports and memory as from an empty bus, zero otherwise.
    public static func drop(_ exit: inout bp_exit, _ space: Space) {
        guard !exit.isWrite else { return }
        exit.value = space == .ports || space == .memory ? .max : 0
        if space == .cpuid { (exit.extra.1, exit.extra.2, exit.extra.3) = (0, 0, 0) }
    }

    /// "denied: guest read 1 byte from port 0x71 at rip 0xfff3"
    public static func sentence(_ exit: bp_exit, _ space: Space, hypercall: UInt64) -> String {
        let verb = exit.isWrite ? "guest wrote " + hexText(exit.value) + " to " : "guest read "
        switch space {
        case .ports, .memory: return "denied: " + exit.accessText
        case .msrs: return "denied: " + verb + "MSR " + hexText(exit.address) + " " + exit.placeText
        case .cpuid: return "denied: guest asked for CPUID leaf " + hexText(exit.address) + " " + exit.placeText
        case .hypercalls: return "denied: guest made hypercall " + hexText(hypercall) + " " + exit.placeText
        }
    }
}
