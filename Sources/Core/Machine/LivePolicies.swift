// Policies inserted, removed, replaced and moved, and live properties set, while the machine runs. What is slow (loading a
// library, making the instance) happens before the vCPUs are called in; what changes the chain happens while they are quiet.

import CBackplane
import CHost

/// Where a policy goes in the chain.
public enum ChainPlace: Sendable, Equatable {
    case first, last
    /// Of a policy's id.
    case before(String), after(String)
    /// From 0.
    case at(Int)
}

/// All of these are called from a thread that is in no callback of this machine and holds no lock of it. Where one throws, the
/// chain is as it was.
extension Machine {
    /// A policy that is new to this machine. Its library is loaded by `MachineOptions.loadLibrary`.
    public func insertPolicy(_ description: InstanceDescription, at place: ChainPlace) throws(MachineError) {
        let new = try makePolicy(description, replacing: nil)
        try changeChain(dropping: new) { () throws(MachineError) in
            guard self.instance(named: description.id) == nil else { throw self.taken(description.id) }
            let order = try self.placed(new, in: self.policies.chain, place)
            try self.exchange(nil, new, order)
        }
        log(.debug, description.id, "inserted into the chain")
    }

    public func removePolicy(_ id: String) throws(MachineError) {
        try changeChain(dropping: nil) { () throws(MachineError) in
            let old = try self.policy(id)
            try self.checkMayGo(old)
            try self.exchange(old, nil, self.policies.chain.filter { $0 !== old })
        }
        log(.debug, id, "removed from the chain")
    }

    /// The new one takes the old one's place, and its wires, by slots of the same name and interface; both exist for a moment, and the old one
    /// goes once the new one is connected.
    public func replacePolicy(_ id: String, with description: InstanceDescription) throws(MachineError) {
        let new = try makePolicy(description, replacing: id)
        try changeChain(dropping: new) { () throws(MachineError) in
            let old = try self.policy(id)
            try self.checkMayGo(old)
            if description.id != id, self.instance(named: description.id) != nil { throw self.taken(description.id) }
            try self.exchange(old, new, self.policies.chain.map { $0 === old ? new : $0 })
        }
        log(.debug, description.id, "replaced '\(id)' in the chain")
    }

    public func movePolicy(_ id: String, to place: ChainPlace) throws(MachineError) {
        try changeChain(dropping: nil) { () throws(MachineError) in
            let policy = try self.policy(id)
            if case .before(id) = place { return }
            if case .after(id) = place { return }
            let order = try self.placed(policy, in: self.policies.chain.filter { $0 !== policy }, place)
            self.policies.setChain(order)
            self.rebuildPolicies()
            self.tell(.policiesChanged)
        }
    }

    /// A property that the class declares live, of any instance.
    public func setProperty(_ name: String, of id: String, to value: Value) throws(MachineError) {
        try changeChain(dropping: nil) { () throws(MachineError) in
            guard let instance = self.instance(named: id) else {
                throw MachineError("there is no instance '\(id)'")
            }
            try self.set(name, of: instance, to: value)
        }
    }

    // MARK: Before the quiet point

    private func makePolicy(_ description: InstanceDescription, replacing: String?) throws(MachineError)
        -> PluginInstance
    {
        guard description.type.kind == .policy else {
            throw MachineError("'\(description.type.name)' is a \(description.type.kind.name), not a policy")
        }
        guard description.wires.isEmpty else {
            throw MachineError(
                "'\(description.id)' has wires: what it is wired to has connected already, and cannot be asked now")
        }
        let library: PluginLibrary
        do throws(LibraryError) {
            library = try options.loadLibrary(description)
        } catch {
            throw MachineError("\(description.libraryPath): \(error)", location: description.location)
        }
        // Values are passed by position: those of another build of the class would be read beyond their end.
        guard library.description.classes.contains(description.type) else {
            throw MachineError(
                "\(description.libraryPath) has changed: its class '\(description.type.name)' is another one")
        }
        let new = try PluginInstance(description, library: library, machine: self)
        try locked { () throws(MachineError) in
            guard state.end == nil, state.pendingEnd == nil else { throw Machine.hasEnded }
            if description.id != replacing, instance(named: description.id) != nil { throw taken(description.id) }
            do throws(MachineError) {
                try new.create()
            } catch {
                release(new)
                throw error
            }
        }
        return new
    }

    private func taken(_ id: String) -> MachineError { MachineError("there is an instance '\(id)' already") }
    static let hasEnded = MachineError("the machine has ended")

    private func policy(_ id: String) throws(MachineError) -> PluginInstance {
        if let policy = policies.named(id) { return policy }
        let known = policies.chain.map { "'\($0.id)'" }.joined(separator: ", ")
        throw MachineError("there is no policy '\(id)' in the chain" + (known.isEmpty ? "" : "; there is \(known)"))
    }

    /// Interfaces of which the machine knows more than that calls go along their wires.
    private static let fixedInterfaces: Set = ["block/1", "display/1", "irq-controller/1", "irq-line/1", "pci/1"]

    /// What is wired to an end of its own has asked for it when it connected, and would have to ask anew.
    private func checkMayGo(_ policy: PluginInstance) throws(MachineError) {
        for other in instances where other.description.wires.contains(where: { $0.target.instance == policy.id }) {
            throw MachineError("'\(other.id)' is wired to '\(policy.id)': it stays as long as the machine")
        }
        // The host's own ends are wires too: a screen's.
        for (slot, ends) in zip(policy.description.type.slots, policy.wires)
        where !ends.isEmpty && Machine.fixedInterfaces.contains(slot.interface) {
            let what = "'\(slot.name)' (\(slot.interface))"
            throw MachineError("'\(policy.id)' is wired by \(what): it stays as long as the machine")
        }
    }

    /// The wires of `old` that `new` has slots for, and what those are called by.
    private func takeOver(_ old: PluginInstance, by new: PluginInstance) throws(MachineError) -> [SlotPair] {
        var pairs: [SlotPair] = []
        for (index, slot) in new.description.type.slots.enumerated() {
            // Of others each provider has a description of its own.
            let isStandard = InterfaceDescriptor.standard[slot.interface] != nil
            let wired = old.description.type.slots
                .firstIndex { isStandard && $0.name == slot.name && $0.interface == slot.interface }
                .flatMap { old.wires[$0].isEmpty ? nil : $0 }
            guard let wired, slot.isMany || old.wires[wired].count == 1 else {
                if slot.isOptional { continue }
                throw MachineError(
                    "'\(new.description.type.name)' needs the slot '\(slot.name)' wired to \(slot.interface), and '\(old.id)' has no such wire"
                )
            }
            pairs.append(
                SlotPair(old: wired, new: index, client: try client(new, slot.interface, index)))
        }
        return pairs
    }

    /// What a slot of `new` is called by, whole; nil: the interface has no such functions.
    private func client(
        _ new: PluginInstance, _ interface: String, _ index: Int
    ) throws(MachineError) -> UnsafeRawPointer? {
        let known = InterfaceDescriptor.standard[interface]?.client ?? []
        if known.isEmpty { return nil }
        if let table = wireTable.completed(new.type.pointee.slots?[index]?.pointee.client, known) { return table }
        throw MachineError("'\(new.id)' gives no complete client table for '\(interface)'", status: 4)
    }

    /// With the descriptions, by which wires are told. Answers what gives them back.
    private func hand(_ old: PluginInstance, to new: PluginInstance, _ pairs: [SlotPair]) -> [SlotPair] {
        for pair in pairs {
            for wire in old.description.wires where wire.slot == pair.old {
                var moved = wire
                moved.slot = pair.new
                new.description.wires.append(moved)
            }
            old.description.wires.removeAll { $0.slot == pair.old }
        }
        return wireTable.hand(old, to: new, pairs)
    }

    private func placed(
        _ policy: PluginInstance, in chain: [PluginInstance], _ place: ChainPlace
    ) throws(MachineError) -> [PluginInstance] {
        func position(_ id: String) throws(MachineError) -> Int {
            if let index = chain.firstIndex(where: { $0.id == id }) { return index }
            throw MachineError("there is no policy '\(id)' in the chain")
        }
        let index: Int
        switch place {
        case .first: index = 0
        case .last: index = chain.count
        case .before(let id): index = try position(id)
        case .after(let id): index = try position(id) + 1
        case .at(let wanted):
            guard (0...chain.count).contains(wanted) else {
                throw MachineError("position \(wanted) is not in the chain: it is from 0 to \(chain.count)")
            }
            index = wanted
        }
        var order = chain
        order.insert(policy, at: index)
        return order
    }

    // MARK: At the quiet point

    /// Runs `change` while the vCPUs are quiet. Where it throws, `new` is destroyed.
    private func changeChain(
        dropping new: PluginInstance?, _ change: @escaping () throws(MachineError) -> Void
    ) throws(MachineError) {
        var result = Result<Void, MachineError>.success(())
        let outcome = runQuiet(timeout: Machine.quietLimit) { [self] in
            policies.isChanging = true
            defer { policies.isChanging = false }
            do throws(MachineError) {
                guard state.pendingEnd == nil else { throw Machine.hasEnded }
                try change()
            } catch {
                result = .failure(error)
            }
        }
        switch outcome {
        case .done: break
        case .ended: result = .failure(Machine.hasEnded)
        case .timedOut:
            result = .failure(MachineError("the vCPUs did not come to rest within 10 s: nothing was changed"))
        }
        do throws(MachineError) {
            try result.get()
        } catch {
            if let new { _ = try? locked { () throws(MachineError) in release(new) } }
            throw error
        }
    }

    static let quietLimit: UInt64 = 10_000_000_000

    /// Takes `old` out and puts `new` in, in the chain `order`. Either may be nil.
    private func exchange(_ old: PluginInstance?, _ new: PluginInstance?, _ order: [PluginInstance])
        throws(MachineError)
    {
        let before = (policies: policies, instances: instances)
        var handed: [SlotPair] = []
        do throws(MachineError) {
            if let new {
                // At the end until it is connected: the others' places stay.
                policies.chain.append(new)
                instances.insert(new, at: instances.firstIndex { $0 === old } ?? before.policies.chain.count)
                if let old { handed = hand(old, to: new, try takeOver(old, by: new)) }
                try new.connect()
                drain()
                new.reset(warm: false)
                if state.isStarted { try new.start() }
                drain()
            }
            policies.setChain(order)
            if let old { policies.demands.removeAll { $0.policy == old.id && new?.id != old.id } }
            try setIntercepts()
        } catch {
            if let new {
                // What was on its way to it is not for the old one.
                dropCalls(to: new)
                if let old { _ = hand(new, to: old, handed) }
                release(new)
            }
            (policies, instances) = before
            throw error
        }
        rebuildPolicies()
        if let old {
            instances.removeAll { $0 === old }
            release(old)
        }
        tell(.policiesChanged)
    }

    private func setIntercepts() throws(MachineError) {
        do throws(EngineError) {
            try engine?.setIntercepts(intercepts)
        } catch {
            throw MachineError("engine '\(engine?.name ?? "none")': \(error)", status: 6)
        }
    }

    /// Out of the machine, with all that it holds of it. Not in the chain any more, or never in the dispatch's tables.
    private func release(_ policy: PluginInstance) {
        loop.refusePosts(of: policy)
        policy.disconnect()
        wireTable.cut(policy)
        forget(policy)
        memory.free(of: policy) { didWrite($0, $1) }
        policy.destroy()
        wireTable.forget(policy, memoryNode)
        loop.allowPosts(of: policy)
        drain()
    }

    private func set(_ name: String, of instance: PluginInstance, to value: Value) throws(MachineError) {
        let properties = instance.description.type.properties
        guard let index = properties.firstIndex(where: { $0.name == name }) else {
            let known = properties.filter(\.isLive).map(\.name).joined(separator: ", ")
            throw MachineError(
                "'\(instance.id)' has no property '\(name)'"
                    + (known.isEmpty ? "" : "; those that can be set while it runs: \(known)"))
        }
        guard properties[index].isLive, let setter = instance.type.pointee.set_property else {
            throw MachineError("property '\(name)' of '\(instance.id)' cannot be set while the machine runs")
        }
        guard !instance.isOffline, instance.phase == .connected else {
            throw MachineError("'\(instance.id)' is off line")
        }
        let before = policies
        instance.failure = ""
        instance.conflict = ""
        let values = CValues([value], given: [true], types: [properties[index]])
        let status = instance.call(ch_activity_set_property) { setter(instance.raw, UInt32(index), values.base) }
        do throws(MachineError) {
            if status != 0 { throw instance.error("does not take '\(name)'", status) }
            if policies.wants != before.wants { try setIntercepts() }
        } catch {
            policies = before
            throw error
        }
        instance.values[index] = value
        if policies.wants != before.wants { rebuildPolicies() }
        drain()
        tell(.propertySet(instance: instance.id, name: name))
    }
}
