// From a description to connected instances, and back.

import CBackplane
import CHost

extension Machine {
    /// With the lock held. Where it throws, `dismantle` undoes what was done.
    func assemble() throws(MachineError) {
        if description.memory > 0 {
            let ram = try GuestRAM(length: description.memory)
            self.ram = ram
            guard memory.addRAM(ram, newID: newID) else {
                throw MachineError("guest RAM of \(ram.length) bytes: more than the table of pages holds")
            }
        }
        for index in 0..<max(1, description.cpuCount) {
            vcpus.append(VCPU(index: UInt32(index), exits: exits, retired: index == 0 ? clock.retired : nil))
            _ = addDebt(.access(vcpu: index), of: memoryNode)
        }
        for instance in description.instances {
            let library: PluginLibrary
            do throws(LibraryError) {
                library = try options.loadLibrary(instance)
            } catch {
                throw MachineError("\(instance.libraryPath): \(error)", location: instance.location)
            }
            instances.append(try PluginInstance(instance, library: library, machine: self))
        }
        if options.rehearsal == nil { for instance in instances { try instance.create() } } else { rehearseCreation() }
        // First: an input that knows one client only knows the machine file's.
        for instance in instances { try attempt { () throws(MachineError) in try reachInputs(of: instance) } }
        for instance in instances { try attempt { () throws(MachineError) in try wire(instance) } }
        try attempt(wireController)
        for instance in instances { watchScreens(of: instance) }
        policies.chain = instances.filter { $0.description.type.kind == .policy }
        rebuildTables()
        // Whoever is asked for something in another's connect (the size of a medium) is connected before it.
        for kind in [ClassKind.backend, .device, .policy, .loader] {
            for instance in instances where instance.description.type.kind == kind {
                try attempt(
                    { () throws(MachineError) in
                        try instance.connect()
                        try checkFirmwareNodes(of: instance)
                    }, of: instance)
                drain()
            }
        }
        isLoading = false
        rebuildTables()
        rebuildPolicies()
        if let fault = state.pendingEnd { throw MachineError(fault.reason, status: fault.status) }
        try makeEngine()
    }

    /// What a class says of its instances' claims is known to be true or false only now.
    private func checkFirmwareNodes(of instance: PluginInstance) throws(MachineError) {
        for node in instance.description.type.firmware where Int(node.flags) & BP_NODE_OPTIONAL == 0 {
            for name in node.claims ?? [] where !claimNames(of: instance).contains(name) {
                throw MachineError(
                    "'\(instance.id)': its class declares the firmware node \(node.hid ?? "without an ID") with the claim '\(name)', "
                        + "and it has claimed nothing of that name", status: 4,
                    location: instance.description.location)
            }
        }
    }

    private func claimNames(of instance: PluginInstance) -> [String] {
        (1..<max(1, exits.claims.count)).filter {
            let record = exits.claimRecords + $0
            return record.pointee.isLive && record.pointee.node == instance.node
        }.map { claimNames[$0] ?? "" }
    }

    private func makeEngine() throws(MachineError) {
        guard let make = options.makeEngine else { return }
        let engine = try make(requirements)
        self.engine = engine
        do throws(EngineError) {
            try engine.setMemory(exits.map.mappedMemory(AddressMap.everything, watched: policies.watchedPages))
            try engine.setIntercepts(intercepts)
            for vcpu in vcpus { cpus.append(try engine.makeCPU(vcpu)) }
            if clock.source == .counted { counted.cpu = try countedCPU(engine) }
        } catch {
            throw MachineError("engine '\(engine.name)': \(error)", status: 6)
        }
    }

    private func countedCPU(_ engine: any Engine) throws(EngineError) -> any CountedCPU {
        guard engine.abilities.countedClock, cpus.count == 1, let cpu = cpus[0] as? any CountedCPU else {
            throw EngineError("a counted clock needs the engine 'soft' and one CPU")
        }
        return cpu
    }

    // MARK: Wiring

    private func wire(_ instance: PluginInstance) throws(MachineError) {
        for wire in instance.description.wires {
            guard let provider = self.instance(named: wire.target.instance) else {
                if options.allowsMissingTargets { continue }
                throw MachineError("there is no instance '\(wire.target.instance)'", location: wire.location)
            }
            let slot = instance.description.type.slots[wire.slot]
            let descriptor = try descriptor(of: slot.interface, from: provider, at: wire.location)
            let clientTable = instance.type.pointee.slots?[wire.slot]?.pointee.client
            let client = try clientPeer(instance, wire, clientTable, of: provider, descriptor)
            var target = try provider.query(slot.interface, wire.target.index, client: client)
            guard let functions = wireTable.completed(target.functions, descriptor.provider) else {
                throw MachineError(
                    "'\(provider.id)' gives an incomplete function table for '\(slot.interface)'", status: 4,
                    location: wire.location)
            }
            target.functions = functions
            var end = WireEnd(peer: bp_peer(), line: nil, driver: 0)
            if slot.interface == "irq-line/1" {
                let place = lines.attach(wire.target, provider: provider, target: target, driver: instance)
                (end.line, end.driver) = (place.line, place.driver)
            }
            end.peer = wireTable.forward(
                to: target, of: provider, for: instance, slot.interface, descriptor.provider)
            if slot.interface == "block/1", let client { watchBlockWire(provider, instance, (end.peer, client)) }
            if slot.interface == "irq-controller/1", let client { controllerClients.append((provider, client)) }
            if slot.interface == "pci/1", let client {
                pciFunctions.append(PCIFunctionWire(bus: wire.target, instance: instance, client: client))
            }
            instance.wires[wire.slot].append(end)
        }
    }

    private func clientPeer(
        _ instance: PluginInstance, _ wire: InstanceDescription.Wire, _ table: UnsafeRawPointer?,
        of provider: PluginInstance, _ descriptor: InterfaceDescriptor
    ) throws(MachineError) -> bp_peer? {
        guard !descriptor.client.isEmpty else { return nil }
        guard let functions = wireTable.completed(table, descriptor.client) else {
            throw MachineError(
                "'\(instance.id)' gives no complete client table for '\(descriptor.name)'", status: 4,
                location: wire.location)
        }
        let raw = bp_peer(
            size: UInt32(MemoryLayout<bp_peer>.size), index: UInt32(wire.slot) << 16 | UInt32(wire.position),
            self: instance.raw, functions: functions)
        return wireTable.forward(to: raw, of: instance, for: provider, descriptor.name, descriptor.client)
    }

    private func descriptor(
        of interface: String, from provider: PluginInstance, at location: SourceLocation
    ) throws(MachineError) -> InterfaceDescriptor {
        if let standard = InterfaceDescriptor.standard[interface] { return standard }
        for index in 0..<Int(provider.type.pointee.provided_count) {
            guard let provided = provider.type.pointee.provided?[index], let name = provided.pointee.name,
                String(cString: name) == interface, let raw = provided.pointee.descriptor,
                let descriptor = try? InterfaceDescriptor(raw)
            else { continue }
            return descriptor
        }
        throw MachineError("'\(provider.id)' does not provide '\(interface)'", location: location)
    }

    private func wireController() throws(MachineError) {
        guard let endpoint = description.interrupts else { return }
        guard let provider = instance(named: endpoint.instance) else {
            if options.allowsMissingTargets { return }
            throw MachineError("there is no instance '\(endpoint.instance)' for 'cpu: interrupts:'")
        }
        var peer = try provider.query("irq-controller/1", endpoint.index, client: nil)
        let known = InterfaceDescriptor.standard["irq-controller/1"]?.provider ?? []
        guard let functions = wireTable.completed(peer.functions, known) else {
            throw MachineError("'\(provider.id)' gives an incomplete function table for 'irq-controller/1'", status: 4)
        }
        peer.functions = functions
        controller = (provider, peer)
    }

    // MARK: The end

    /// Disconnects and destroys everything, last made first. With the lock held.
    func dismantle() {
        isLoading = false
        // The reverse of connect: no backend is entered after its own disconnect.
        for kind in [ClassKind.loader, .policy, .device, .backend] {
            for instance in instances.reversed() where instance.description.type.kind == kind {
                loop.refusePosts(of: instance)
                instance.disconnect()
                wireTable.cut(instance)
                forget(instance)
            }
        }
        for instance in instances.reversed() { instance.destroy() }
        queuedCalls.forEach { $0.free() }
        queuedCalls = []
        policies.setChain([])
        rebuildPolicies()
        state.quietWork = []
        controller = nil
        loop.stop()
    }

    /// Releases everything that the instance holds of the machine.
    func forget(_ instance: PluginInstance) {
        loop.removeAll(of: instance)
        deferred.cancel(of: instance.node)
        forgetRunMode(of: instance)
        timers.removeAll(of: instance)
        messages.removeAll(of: instance)
        alarms.removeAll { $0.owner === instance }
        powerButtons.removeAll { $0.instance === instance }
        if let console = instance.consoleClient { options.console?.close(console) }
        instance.consoleClient = nil
        removeClaims(of: instance)
        policies.forget(instance)
        if lines.dropAll(of: instance) { host.pointee.has_pending = 1 }
    }

    /// Mappings are claims too. Tables are built anew only where something has gone: a policy seldom claims anything.
    func removeClaims(of instance: PluginInstance) {
        var hasGone = !memory.unmapAll(of: instance).isEmpty
        for number in 1..<max(1, exits.claims.count) where exits.claimRecords[number].node == instance.node {
            exits.claims.remove(number)
            hasGone = true
        }
        if hasGone { rebuildTables() }
    }
}
