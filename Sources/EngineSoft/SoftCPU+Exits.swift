// Exits that policies asked for: instructions, exceptions and interrupts. Records are as plugin.h says.

import CBackplane
import CHost
import Core

extension SoftCPU {
    /// Called while the CPU is quiet.
    func setIntercepts(_ intercepts: Intercepts) {
        ranges = intercepts.ranges
        var mask: UInt64 = 0
        for range in ranges where range.reason < 64 { mask |= 1 << UInt64(range.reason) }
        s.run.pointee.intercepted = mask
        model.hasLocalAPIC = intercepts.hasLocalAPIC
    }

    /// Whether a policy wants to see this. `isUnclaimed`: an MSR that the CPU does not have.
    func intercepts(_ reason: Int, _ address: UInt64 = 0, isUnclaimed: Bool = false) -> Bool {
        guard s.run.pointee.intercepted >> UInt64(reason & 63) & 1 != 0 else { return false }
        return ranges.contains {
            Int($0.reason) == reason && $0.first <= address && address <= $0.last
                && (isUnclaimed || !$0.isUnclaimedOnly)
        }
    }

    func makeExit(_ reason: Int, rip: UInt64, length: UInt8) -> bp_exit {
        var exit = bp_exit()
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        exit.reason = UInt16(truncatingIfNeeded: reason)
        exit.vcpu = vcpu.index
        exit.width = UInt32(length)
        exit.rip = rip
        if s.cpu.pointee.systemFlags & RFLAGS.interrupt != 0 { exit.flags |= UInt16(BP_EXITF_INTERRUPTS_ENABLED) }
        return exit
    }

    /// Hands an exit over; while it is handled, the registers are those at its instruction.
    func send(_ exit: inout bp_exit) -> EventResult {
        s.run.pointee.exitRIP = exit.rip
        let result = vcpu.exits.event(&exit)
        memory.didExit(s)
        return result
    }

    /// What an intercepted instruction does next.
    enum Answer {
        /// What the CPU does.
        case proceed
        /// The record holds the result.
        case answered
        /// A fault is left.
        case raised
    }

    /// Asks about the instruction of `p`, if a policy wants to see it; `fill` completes the record.
    func ask(
        _ reason: Int, _ p: P, _ address: UInt64 = 0, _ exit: inout bp_exit, isUnclaimed: Bool = false,
        _ fill: (inout bp_exit) -> Void = { _ in }
    ) -> Answer {
        guard intercepts(reason, address, isUnclaimed: isUnclaimed) else { return .proceed }
        exit = makeExit(reason, rip: s.rip(at: p), length: p.op.pointee.length)
        if isUnclaimed { exit.flags |= UInt16(BP_EXITF_UNCLAIMED) }
        exit.address = address
        fill(&exit)
        switch send(&exit) {
        case .unhandled: return .proceed
        case .handled: return .answered
        case .inject(let vector, let code):
            if let code { s.setFault(vector, code: code) } else { s.setFault(vector) }
            return .raised
        }
    }

    /// The same where there is nothing to fill in and no result. nil: go on with what the CPU does.
    func ask(_ reason: Int, _ p: P, _ address: UInt64 = 0) -> P? {
        guard s.run.pointee.intercepted >> UInt64(reason & 63) & 1 != 0 else { return nil }
        var exit = bp_exit()
        switch ask(reason, p, address, &exit) {
        case .proceed: return nil
        case .answered: return .some(retire(s, p))
        case .raised: return .some(abort(s, p))
        }
    }

    /// Ends an instruction that may have exited: where the machine wants something, the block ends too.
    func go(_ p: P) -> P {
        ch_load(s.run.pointee.attention) & s.run.pointee.attentionMask != 0 ? retire(s, p) : following(p)
    }
}
