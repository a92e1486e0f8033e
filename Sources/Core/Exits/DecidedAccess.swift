// A port access that policies decide on and that one claim answers as it is: what a machine with a policy on its ports does
// most. Nothing is looked up twice, and no clock is read.
// SAFETY: as in ExitHandler.swift; the machine's lock is held.

import CBackplane
import CHost

extension ExitHandler {
    /// `value` nil: a read.
    @inline(never)
    func decided(
        _ held: borrowing HeldLock, _ vcpu: UInt32, _ record: UnsafeMutablePointer<ClaimRecord>, _ port: UInt16,
        _ width: UInt8, _ value: UInt64?, _ rip: UInt64
    ) -> AccessResult {
        guard policies.observed >> UInt64(BP_EXIT_IO) & 1 == 0 else {
            return delivered(access(held, vcpu, BP_SPACE_PORT, UInt64(port), width, value, rip, flags: 0))
        }
        let sequence = sequences[Int(vcpu)] &+ 1
        sequences[Int(vcpu)] = sequence
        var exit = bp_exit(
            size: UInt32(MemoryLayout<bp_exit>.size), reason: UInt16(BP_EXIT_IO),
            flags: value == nil ? 0 : UInt16(BP_EXITF_WRITE), vcpu: vcpu, width: UInt32(width), rip: rip,
            address: UInt64(port), value: value ?? 0, extra: (0, 0, 0, 0), time: 0, sequence: sequence)
        var verdict = bp_verdict()
        let (action, answerer) = decide(held, &exit, &verdict)
        guard action == UInt32(BP_VERDICT_CONTINUE) else {
            return delivered(carryOut(action, verdict, answerer, exit))
        }
        // The claim may have been moved or released in what the policy called.
        let offset = UInt64(port) &- record.pointee.base
        guard takes(record, offset, width), claimRecords + Int(ports.entries[Int(port)] & 0xffff) == record else {
            return delivered(AccessResult(value: perform(held, vcpu, BP_SPACE_PORT, UInt64(port), width, value)))
        }
        var output: UInt64 = 0
        let status =
            if let value {
                callWriteFirst(record, vcpu, offset, UInt64(port), width, value)
            } else {
                callReadFirst(record, vcpu, offset, UInt64(port), width, &output)
            }
        if status == 0, host.pointee.has_pending == 0 {
            return AccessResult(value: output & allOnes(width))
        }
        return delivered(AccessResult(value: settle(held, status, record, output, vcpu, UInt64(port)) & allOnes(width)))
    }

    /// What an access gives that a policy has answered.
    @inline(never)
    func carryOut(
        _ action: UInt32, _ verdict: bp_verdict, _ answerer: UnsafeMutablePointer<ch_node>?, _ exit: bp_exit
    ) -> AccessResult {
        let ones = allOnes(UInt8(truncatingIfNeeded: exit.width))
        var result = AccessResult(value: 0)
        switch Int(action) {
        case BP_VERDICT_HANDLED: result.value = exit.value & ones
        case BP_VERDICT_INJECT:
            guard machine.canInject(verdict, at: exit, of: answerer) else {
                result.value = ones
                break
            }
            result.control = .inject
            result.vector = UInt8(truncatingIfNeeded: verdict.vector)
            result.hasErrorCode = verdict.has_error_code != 0
            result.errorCode = verdict.error_code
        default:
            machine.carryOut(action, verdict, of: answerer)
            result.value = ones
        }
        return result
    }

    /// Asks the policies that want to decide the exit, in chain order, until one answers.
    @inline(__always)
    func decide(
        _ held: borrowing HeldLock, _ exit: inout bp_exit, _ verdict: inout bp_verdict
    ) -> (UInt32, UnsafeMutablePointer<ch_node>?) {
        verdict.size = UInt32(MemoryLayout<bp_verdict>.size)
        var next = policies.deciders(of: exit.reason)
        var asked: Int32 = -1
        while next.start != next.end {
            let decider = next.start
            next.start += 1
            guard decider.pointee.policy != asked, decider.pointee.matches(exit.address, exit.flags) else { continue }
            asked = decider.pointee.policy
            let node = decider.pointee.node
            if node.pointee.is_offline != 0 { continue }
            ch_enter_first(host, node, ch_activity_decide, exit.address)
            let action = decider.pointee.decide(decider.pointee.instance, &exit, &verdict)
            ch_leave_first(host, node)
            if action == UInt32(BP_VERDICT_CONTINUE) { continue }
            // The exit is not the guest's loss: the chain goes on, after the delay, or before the machine stands
            // still or another comes to the foreground.
            switch Int(action) {
            case BP_VERDICT_DELAY: machine.holdBack(held, exit.vcpu, for: verdict.delay)
            case BP_VERDICT_PAUSE, BP_VERDICT_SWITCH: machine.carryOut(action, verdict, of: node)
            default: return (action, node)
            }
        }
        return (UInt32(BP_VERDICT_CONTINUE), nil)
    }
}
