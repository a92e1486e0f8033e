// Instances that are off line: taken there by a fault (`on-fault: offline`) or by an operator, and brought back by one.
// SAFETY: as in Machine.swift.

import CHost

extension Machine {
    // MARK: By an operator, from any thread but a callback's

    /// As a fault with `on-fault: offline`: claims float, pins drop, timers stop, calls to it are dropped, and the guest goes
    /// on. Throws where the machine has ended, has no such instance, or it is off line already.
    public func takeOffline(_ id: String) throws(MachineError) {
        try locked { () throws(MachineError) in
            let instance = try changeable(id)
            if instance.isOffline { throw MachineError("'\(id)' is off line already") }
            log(.warning, id, "it is taken off line")
            takeOffline(instance, because: "the operator")
        }
    }

    /// Back on line, with its state after power-on. Throws as `takeOffline`, where it is on line, and where it fails again.
    public func bringOnline(_ id: String) throws(MachineError) {
        try locked { () throws(MachineError) in
            let instance = try changeable(id)
            guard instance.isOffline else { throw MachineError("'\(id)' is on line") }
            try bringOnline(instance)
        }
    }

    /// To the state after power-on, alone. An access that it had deferred is answered with ones.
    public func resetInstance(_ id: String) throws(MachineError) {
        try locked { () throws(MachineError) in
            let instance = try changeable(id)
            if instance.isOffline { throw MachineError("'\(id)' is off line; bringing it on line resets it") }
            deferred.cancel(of: instance.node)
            forgetDebts(of: instance)
            try restart(instance)
        }
    }

    private func changeable(_ id: String) throws(MachineError) -> PluginInstance {
        guard state.end == nil, state.pendingEnd == nil else { throw Machine.hasEnded }
        guard let instance = instance(named: id) else { throw MachineError("there is no instance '\(id)'") }
        // It writes the guest's memory and the CPU's registers, under a guest that runs.
        if instance.description.type.kind == .loader {
            throw MachineError("'\(id)' is the boot loader, which acts only when the machine is reset")
        }
        return instance
    }

    // MARK: With the lock held

    func takeOffline(_ instance: PluginInstance, because reason: String) {
        instance.node.pointee.is_offline = 1
        applyRunMode()
        instance.offlineReason = reason
        timers.cancelAll(of: instance)
        for input in inputs where input.instance === instance { input.forget() }
        loop.mute(instance, true)
        deferred.cancel(of: instance.node)
        dropOutputs(of: instance)
        if lines.dropAll(of: instance) { host.pointee.has_pending = 1 }
        rebuildTables()
        tell(.offline(instance: instance.id, reason: reason))
    }

    /// Back with its reset state; its peers' levels are told again.
    func bringOnline(_ instance: PluginInstance) throws(MachineError) {
        guard instance.isOffline else { return }
        instance.node.pointee.is_offline = 0
        applyRunMode()
        instance.offlineReason = ""
        forgetDebts(of: instance)
        rebuildTables()
        loop.mute(instance, false)
        if lines.repeatLevels(of: instance) { host.pointee.has_pending = 1 }
        tell(.online(instance: instance.id))
        try restart(instance)
    }

    private func restart(_ instance: PluginInstance) throws(MachineError) {
        instance.reset(warm: false)
        drain()
        do throws(MachineError) {
            if state.isStarted { try instance.start() }
        } catch {
            if !instance.isOffline { takeOffline(instance, because: error.description) }
            throw error
        }
        drain()
        if instance.isOffline {
            throw MachineError("'\(instance.id)' failed again: \(instance.offlineReason)", status: 4)
        }
    }
}
