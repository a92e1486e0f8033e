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
        default:
            if let policy { fault(policy, status: Int32(BP_FAULT)) }
        }
        answerer?.failure = ""
    }

    /// A callback answered something that it must not, or BP_FAULT.
    func fault(_ node: UnsafeMutablePointer<ch_node>, status: bp_status) {
        guard let instance = instance(of: node), !instance.isOffline else { return }
        let said = instance.failure.isEmpty ? statusText(status) : instance.failure
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
