// From a controller's output to the CPU: the INTR and NMI pins of vCPUs, the INTA cycle, and controllers behind controllers. With the
// machine's lock held.
// SAFETY for this file: tables of peers hold all functions of their interface (`WireTable.completed`).

import CBackplane
import CHost

extension Machine {
    /// The INTA cycle of the controller that `cpu: interrupts:` names; nil where the pin has dropped meanwhile.
    func acknowledge(_ vcpu: UInt32) -> UInt8? {
        guard let controller, !controller.instance.isOffline, vcpus.indices.contains(Int(vcpu)),
            vcpus[Int(vcpu)].interruptRequested, let table = controller.peer.functions
        else { return nil }
        let functions = table.assumingMemoryBound(to: bp_irq_controller.self)
        let vector = controller.instance.call(ch_activity_acknowledge) {
            functions.pointee.acknowledge(controller.peer.`self`, controller.peer.index, vcpu)
        }
        return UInt8(truncatingIfNeeded: vector)
    }

    /// What a controller drives: the pin of the vCPU, and the instances that are wired to it. BP_REFUSED: nobody takes it.
    func setOutput(of provider: PluginInstance, _ vcpu: UInt32, _ level: Bool) -> bp_status {
        var isTaken = false
        if controller?.instance === provider {
            setInterruptPin(vcpu, level)
            isTaken = true
        }
        for (other, client) in controllerClients where other === provider {
            client.functions?.assumingMemoryBound(to: bp_irq_controller_client.self)
                .pointee.intr(client.`self`, client.index, vcpu, level ? 1 : 0)
            isTaken = true
        }
        return status(isTaken ? BP_OK : BP_REFUSED)
    }

    /// A controller that is off line drives nothing.
    func dropOutputs(of provider: PluginInstance) {
        for vcpu in vcpus { _ = setOutput(of: provider, vcpu.index, false) }
    }

    private func setInterruptPin(_ vcpu: UInt32, _ level: Bool) {
        guard vcpus.indices.contains(Int(vcpu)) else { return }
        let target = vcpus[Int(vcpu)]
        guard level else {
            _ = ch_clear_bits(target.attention, ch_attention_interrupt)
            return
        }
        signal(target, ch_attention_interrupt)
    }

    /// Latched until the vCPU takes it. BP_NOT_FOUND: there is no such vCPU.
    func raiseNMI(_ vcpu: UInt32) -> bp_status {
        guard vcpus.indices.contains(Int(vcpu)) else { return status(BP_NOT_FOUND) }
        signal(vcpus[Int(vcpu)], ch_attention_nmi)
        return status(BP_OK)
    }

    func signal(_ vcpu: VCPU, _ bit: UInt32) {
        guard ch_load(vcpu.attention) & bit == 0 else { return }
        vcpu.set(bit)
        // The vCPU's own thread looks at the word before it runs the guest again.
        if cpus.indices.contains(Int(vcpu.index)), exits.threads[Int(vcpu.index)] != lock.holder {
            cpus[Int(vcpu.index)].kick()
            if isCounted { loop.wake() }
        }
    }
}
