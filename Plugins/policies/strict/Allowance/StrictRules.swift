public import PluginKit

/// What the `strict` policy stops for, without a host. `Strict.swift` connects it to the machine.
public struct StrictRules: Equatable, Sendable {
    /// Exits that the rules need to see.
    public struct Want: Equatable, Sendable {
        public let reason: Int
        public let range: ClosedRange<UInt64>
    }

    public var checksPorts = true
    public var checksMemory = true
    public var ports = Allowance.ports([])
    public var memory = Allowance.memory([])

    public init() {}

    public var wants: [Want] {
        var list: [Want] = []
        if checksPorts { list += ports.watched.map { Want(reason: BP_EXIT_IO, range: $0) } }
        if checksMemory { list += memory.watched.map { Want(reason: BP_EXIT_EPT_VIOLATION, range: $0) } }
        return list
    }

    /// An access to what nothing claims, and that may not float.
    public func forbids(_ exit: bp_exit) -> Bool {
        guard exit.isUnclaimed, !exit.asksPower else { return false }
        switch Int(exit.reason) {
        case BP_EXIT_IO: return checksPorts && !ports.allows(exit.address, width: exit.width)
        case BP_EXIT_EPT_VIOLATION: return checksMemory && !memory.allows(exit.address, width: exit.width)
        default: return false
        }
    }

    /// Why the machine stops. `nearest`: the claim nearest to the address, "com1 0x3f8-0x3ff"; nil: there is none.
    public func sentence(_ exit: bp_exit, nearest: String?) -> String {
        let kind = Int(exit.reason) == BP_EXIT_IO ? "port" : "memory"
        let neighbour = nearest.map { "the nearest claim is " + $0 } ?? "no instance claims any " + kind
        return exit.accessText + ": nothing claims it; " + neighbour
    }
}
