// What becomes of verdicts, and of plugins that fail.

import CBackplane
import CHost

extension Machine {
    /// A verdict that is about the whole machine. With the lock held.
    func carryOut(_ action: UInt32, _ verdict: bp_verdict, of policy: UnsafeMutablePointer<ch_node>?) {
        let answerer = instance(of: policy)
        switch Int(action) {
        case BP_VERDICT_STOP:
            let said = answerer?.failure ?? ""
            let status = exitStatus(verdict.status)
            let name = answerer?.id ?? "policy"
            let reason = said.isEmpty ? (status == 0 ? "" : "stopped by policy '\(name)'") : "\(name): \(said)"
            requestEnd(status, reason)
        case BP_VERDICT_RESET: requestReset()
        case BP_VERDICT_PAUSE: pauseByPolicy()
        case BP_VERDICT_SWITCH:
            do throws(MachineError) {
                try bring(verdict.status)
            } catch {
                log(.error, answerer?.id, "\(error)")
            }
        case BP_VERDICT_HANDLED, BP_VERDICT_INJECT, BP_VERDICT_DELAY, BP_VERDICT_CONTINUE:
            if let policy { fault(policy, "the verdict \(action) is no answer to this") }
        default:
            if let policy { fault(policy, "it answers the unknown verdict \(action)") }
        }
        answerer?.failure = ""
    }

    /// Whether a policy's exception can be raised at this exit. Where it cannot, that is the policy's fault.
    func canInject(_ verdict: bp_verdict, at exit: bp_exit, of policy: UnsafeMutablePointer<ch_node>?) -> Bool {
        let reason = Int(exit.reason)
        var problem: String?
        if verdict.vector >= Machine.exceptions {
            problem = "it injects vector \(verdict.vector): exceptions are 0 to \(Machine.exceptions - 1)"
        } else if let engine, !engine.abilities.preciseInject {
            let isMSR = reason == BP_EXIT_RDMSR || reason == BP_EXIT_WRMSR
            if !isMSR || verdict.vector != Machine.generalProtection {
                problem =
                    "the engine '\(engine.name)' cannot inject it: a want with BP_WANT_PRECISE asks for one that can"
            }
        }
        guard let problem else { return true }
        if let policy { fault(policy, problem) }
        return false
    }

    /// SDM volume 3, 6.3.1: vectors of exceptions, and #GP.
    private static let exceptions: UInt32 = 32
    private static let generalProtection: UInt32 = 13

    /// A callback answered something that it must not, or BP_FAULT.
    func fault(_ node: UnsafeMutablePointer<ch_node>, status: bp_status) {
        let isFault = Int(status) == BP_FAULT
        fault(
            node, isFault ? "it gives no reason" : "it answers '\(statusText(status))', which is no answer of a handler"
        )
    }

    /// `what` is said where the instance has said nothing.
    private func fault(_ node: UnsafeMutablePointer<ch_node>, _ what: String) {
        guard let instance = instance(of: node), !instance.isOffline else { return }
        let said = instance.failure.isEmpty ? what : instance.failure
        instance.failure = ""
        let sentence = "plugin fault: '\(instance.id)' (\(instance.description.type.name)): \(said)"
        switch instance.description.onFault {
        case .stop: requestEnd(4, sentence)
        case .reset:
            log(.error, instance.id, "\(sentence); the machine is reset")
            requestReset()
        case .offline:
            log(.error, instance.id, "\(sentence); it is taken off line")
            takeOffline(instance, because: said)
        }
    }

    // MARK: Interrupts

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

    /// The controller's INTR output.
    func setInterruptPin(_ vcpu: UInt32, _ level: Bool) {
        guard vcpus.indices.contains(Int(vcpu)) else { return }
        let target = vcpus[Int(vcpu)]
        guard level else {
            _ = ch_clear_bits(target.attention, ch_attention_interrupt)
            return
        }
        signal(target, ch_attention_interrupt)
    }

    func signal(_ vcpu: VCPU, _ bit: UInt32) {
        guard ch_load(vcpu.attention) & bit == 0 else { return }
        vcpu.set(bit)
        // The vCPU's own thread looks at the word before it runs the guest again.
        if cpus.indices.contains(Int(vcpu.index)), exits.threads[Int(vcpu.index)] != host.pointee.holder {
            cpus[Int(vcpu.index)].kick()
            if isCounted { loop.wake() }
        }
    }
}

/// A status that a process can end with; what does not fit stays a failure.
func exitStatus(_ status: UInt32) -> Int32 { Int32(status > 255 ? (status & 0xff) | 1 : status) }

extension ExitHandler {
    /// An operator asks the guest to power off, and no instance has a power button: the chain decides, whatever it wants.
    func askPower() {
        var exit = bp_exit()
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        exit.flags = UInt16(BP_EXITF_ASK_POWER)
        for policy in policies.policies where policy.node.pointee.is_offline == 0 {
            guard let decide = policy.decide else { continue }
            var verdict = bp_verdict()
            verdict.size = UInt32(MemoryLayout<bp_verdict>.size)
            let frame = ch_enter(host, policy.node, ch_activity_decide, 0)
            let action = decide(policy.instance, &exit, &verdict)
            ch_leave(host, policy.node, frame)
            if action == UInt32(BP_VERDICT_HANDLED) { return }
            // There is no exit that could be late.
            if action == UInt32(BP_VERDICT_DELAY) { continue }
            if action != UInt32(BP_VERDICT_CONTINUE) { return machine.carryOut(action, verdict, of: policy.node) }
        }
        machine.requestEnd(0, "asked to power off; no instance has a power button")
    }
}
