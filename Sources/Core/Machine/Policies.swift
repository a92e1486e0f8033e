// The policies of a machine.

import CBackplane
import CHost

/// Their order, what they want to see, and what that takes of the engine. Guarded by the machine's lock.
struct Policies {
    /// The first one is asked first.
    var chain: [PluginInstance] = []
    var wants: [PolicyWant] = []
    var demands: [EngineRequirements.Demand] = []
    /// Of guest-physical space, whose writes the engine brings out: what `pagesToWatch` was when the tables were built.
    var watchedPages: [ClosedRange<UInt64>] = []
    /// The tables are built once at the end of a change, whatever it asks for.
    var isChanging = false

    func named(_ id: String) -> PluginInstance? { chain.first { $0.id == id } }
    func place(of policy: PluginInstance) -> Int? { chain.firstIndex { $0 === policy } }
    func wants(of policy: PluginInstance) -> [PolicyWant] { wants.filter { $0.owner == ObjectIdentifier(policy) } }

    /// What it wants goes with it.
    mutating func forget(_ policy: PluginInstance) { wants.removeAll { $0.owner == ObjectIdentifier(policy) } }

    /// The wants of a policy that is no longer there go.
    mutating func setChain(_ order: [PluginInstance]) {
        wants.removeAll { want in !order.contains { ObjectIdentifier($0) == want.owner } }
        chain = order
    }

    /// To be deallocated by the caller.
    func tables() -> PolicyTables {
        let records = chain.map { policy in
            PolicyRecord(
                owner: ObjectIdentifier(policy), instance: policy.raw, node: policy.node,
                decide: policy.type.pointee.policy?.pointee.decide, observe: policy.type.pointee.policy?.pointee.observe
            )
        }
        return PolicyTables(policies: records, wants: wants)
    }

    /// The pages of all wants that have BP_WANT_RAM_WRITES: ascending, disjoint.
    var pagesToWatch: [ClosedRange<UInt64>] {
        let ranges = wants.filter(\.watchesRAM).map { ($0.first & ~4095)...($0.last | 4095) }
            .sorted { $0.lowerBound < $1.lowerBound }
        var merged: [ClosedRange<UInt64>] = []
        for range in ranges {
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        return merged
    }

    /// What the engine must bring out for them beyond what exits anyway.
    var intercepts: [Intercepts.Range] {
        let alwaysThere: [Int] = [
            BP_EXIT_IO, BP_EXIT_EPT_VIOLATION, BP_EXIT_HLT, BP_EXIT_TRIPLE_FAULT, Int(BP_WANT_ALL),
        ]
        return wants.filter { !alwaysThere.contains(Int($0.reason)) }.map {
            Intercepts.Range(
                reason: $0.reason, first: $0.first, last: $0.last, isUnclaimedOnly: $0.isUnclaimedOnly)
        }
    }
}
