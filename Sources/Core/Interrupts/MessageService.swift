// msi/1: message signalled interrupts of devices, on their way to the controller that `cpu: interrupts:` names.
// SAFETY for this file: tables of peers hold all functions of their interface (`WireTable.completed`).

import CBackplane
import CHost

/// The vectors of all instances. Guarded by the machine's lock.
struct MessageVectors {
    struct Vector {
        let owner: PluginInstance
        var address: UInt64 = 0
        var data: UInt64 = 0
        var isMasked = true
        var isPending = false
    }

    /// Of one instance: MSI-X has no more.
    static let limit = 2048

    var all: [bp_id: Vector] = [:]
    /// The controller as each owner calls it, made at its first vector.
    var wires: [ObjectIdentifier: bp_peer] = [:]

    func count(of owner: PluginInstance) -> Int { all.values.count { $0.owner === owner } }

    mutating func removeAll(of owner: PluginInstance) {
        wires[ObjectIdentifier(owner)] = nil
        all = all.filter { $0.value.owner !== owner }
    }
}

extension ServiceTables {
    nonisolated(unsafe) static let messages = HostFunctions.constant(
        bp_msi_1(
            size: HostFunctions.size(bp_msi_1.self), reserved: 0,
            vector: { host, out in
                PluginInstance.serve(host, "msi/1 vector") { owner in
                    guard let out else { return owner.refuse("msi/1 vector", "out", "is NULL") }
                    guard let id = owner.machine.addMessageVector(of: owner) else { return status(BP_NO_MEMORY) }
                    out.pointee = id
                    return status(BP_OK)
                }
            },
            program: { host, id, address, data, masked in
                PluginInstance.serve(host, "msi/1 program") { owner in
                    owner.changeVector("msi/1 program", id) { vector in
                        (vector.address, vector.data, vector.isMasked) = (address, data, masked != 0)
                    }
                }
            },
            raise: { host, id in
                guard let owner = PluginInstance.of(host) else { return status(BP_INVALID) }
                guard !ch_may_call(owner.running, owner.node) else { return owner.raiseVector(id) }
                return status(owner.machine.loop.post(owner) { _ = owner.raiseVector(id) } ? BP_OK : BP_REFUSED)
            },
            pending: { host, id, out in
                PluginInstance.serve(host, "msi/1 pending") { owner in
                    guard let out else { return owner.refuse("msi/1 pending", "out", "is NULL") }
                    guard let vector = owner.machine.messages.all[id], vector.owner === owner else {
                        return owner.refuse("msi/1 pending", id: id, "vector")
                    }
                    out.pointee = vector.isPending ? 1 : 0
                    return status(BP_OK)
                }
            },
            forget: { host, id in
                PluginInstance.serve(host, "msi/1 forget") { owner in
                    owner.changeVector("msi/1 forget", id) { $0.isPending = false }
                }
            }))
}

extension PluginInstance {
    /// What was pending goes out where it may.
    fileprivate func changeVector(
        _ service: StaticString, _ id: bp_id, _ change: (inout MessageVectors.Vector) -> Void
    ) -> bp_status {
        guard var vector = machine.messages.all[id], vector.owner === self else {
            return refuse(service, id: id, "vector")
        }
        change(&vector)
        let goes = vector.isPending && !vector.isMasked
        if goes { vector.isPending = false }
        machine.messages.all[id] = vector
        if goes { machine.send(vector) }
        return status(BP_OK)
    }

    fileprivate func raiseVector(_ id: bp_id) -> bp_status {
        changeVector("msi/1 raise", id) { $0.isPending = true }
    }
}

extension Machine {
    /// nil: the owner has enough.
    fileprivate func addMessageVector(of owner: PluginInstance) -> bp_id? {
        guard messages.count(of: owner) < MessageVectors.limit else { return nil }
        if messages.wires[ObjectIdentifier(owner)] == nil, let controller {
            let functions = InterfaceDescriptor.standard["irq-controller/1"]?.provider ?? []
            messages.wires[ObjectIdentifier(owner)] = wireTable.forward(
                to: controller.peer, of: controller.instance, for: owner, "irq-controller/1", functions)
        }
        let id = newID()
        messages.all[id] = .init(owner: owner)
        return id
    }

    /// Where no controller is named, a message is a write to where nothing is.
    fileprivate func send(_ vector: MessageVectors.Vector) {
        guard let wire = messages.wires[ObjectIdentifier(vector.owner)] else { return }
        wire.functions?.assumingMemoryBound(to: bp_irq_controller.self).pointee
            .message(wire.`self`, wire.index, vector.address, vector.data, 0)
    }
}
