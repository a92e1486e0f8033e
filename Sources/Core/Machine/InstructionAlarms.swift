// Callbacks at instruction counts ("vcpu/1" at_retired), for engines that count instructions.

import CBackplane
import CHost

/// What an instance asked for. Guarded by the machine's lock.
struct InstructionAlarm {
    var owner: PluginInstance
    var vcpu: UInt32
    var count: UInt64
    var handler: bp_posted
    var argument: UnsafeMutableRawPointer?
}

extension Machine {
    /// nil: there is no such vCPU, or its engine does not count.
    func retired(_ vcpu: UInt32) -> UInt64? {
        guard cpus.indices.contains(Int(vcpu)), cpus[Int(vcpu)] is any CountedCPU else { return nil }
        return ch_load64(vcpus[Int(vcpu)].retired)
    }

    /// Where the engine's CPU must come back for an alarm: at least one instruction on, or one that is always due would stop the
    /// guest.
    func nextInstructionAlarm(_ vcpu: UInt32) -> UInt64 {
        let counts = alarms.lazy.filter { $0.vcpu == vcpu && !$0.owner.isOffline }.map(\.count)
        return max(counts.min() ?? .max, ch_load64(vcpus[Int(vcpu)].retired) &+ 1)
    }

    /// On the vCPU's own thread, between instructions, with the lock held: calls what is due, and sets the next deadline. A machine
    /// with a counted clock sets it by itself.
    func serveInstructionAlarms(_ vcpu: VCPU, _ cpu: any CPU) {
        guard let cpu = cpu as? any CountedCPU else { return }
        let now = ch_load64(vcpu.retired)
        // What a handler asks for is for the next time.
        let due = alarms.filter { $0.vcpu == vcpu.index && $0.count <= now && !$0.owner.isOffline }
        alarms.removeAll { alarm in
            due.contains { $0.owner === alarm.owner && $0.vcpu == alarm.vcpu && $0.count == alarm.count }
        }
        for alarm in due {
            alarm.owner.call(ch_activity_timer) { alarm.handler(alarm.owner.raw, alarm.argument) }
        }
        if !due.isEmpty { drain() }
        if isCounted { updateDeadline() } else { cpu.setDeadline(nextInstructionAlarm(vcpu.index)) }
    }
}

extension PluginInstance {
    func setInstructionAlarm(
        _ vcpu: UInt32, _ count: UInt64, _ handler: bp_posted?, _ argument: UnsafeMutableRawPointer?
    ) -> bp_status {
        guard machine.retired(vcpu) != nil else { return status(BP_UNSUPPORTED) }
        machine.alarms.removeAll { $0.owner === self && $0.vcpu == vcpu }
        if let handler {
            machine.alarms.append(
                InstructionAlarm(owner: self, vcpu: vcpu, count: count, handler: handler, argument: argument))
        }
        machine.hasAlarms = true
        // The vCPU's thread sets the deadline before it runs the guest again.
        machine.callIn()
        return status(BP_OK)
    }
}
