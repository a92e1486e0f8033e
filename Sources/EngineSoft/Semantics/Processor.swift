// Instructions about the processor itself: CPUID, time stamps, HLT, PAUSE, and those that this CPU does not have but a policy may answer.
// Source: SDM volume 2, at their names; volume 3, 17.17.

import CBackplane
import CHost
import Core

let identify: Handler = { s, p in call(s, p) { $0.identify(p) } }
let readTimeStamp: Handler = { s, p in call(s, p) { $0.readTimeStamp(p) } }
let readPerformanceCounter: Handler = { s, p in call(s, p) { $0.readPerformanceCounter(p) } }
let readProcessorID: Handler = { s, p in
    s[p.op.pointee.src] = s.cpu.pointee.msrs.tscAux
    return following(p)
}
let random: Handler = { s, p in call(s, p) { $0.random(p) } }
let guarded: Handler = { s, p in call(s, p) { $0.guarded(p) } }
let halt: Handler = { s, p in call(s, p) { $0.halt(p) } }

/// A hint, but for policies.
let pause: Handler = { s, p in
    if s.run.pointee.intercepted >> UInt64(BP_EXIT_PAUSE) & 1 == 0 { return following(p) }
    return call(s, p) { $0.ask(BP_EXIT_PAUSE, p) ?? following(p) }
}

extension SoftCPU {
    func identify(_ p: P) -> P {
        let leaf = s.get(Register.rax, as: UInt32.self)
        let subleaf = s.get(Register.rcx, as: UInt32.self)
        let own = model.cpuid(leaf: leaf, subleaf: subleaf, s)
        var exit = bp_exit()
        let answer = ask(BP_EXIT_CPUID, p, UInt64(leaf), &exit) {
            $0.value = UInt64(own.eax)
            $0.extra = (UInt64(subleaf), UInt64(own.ebx), UInt64(own.ecx), UInt64(own.edx))
        }
        switch answer {
        case .proceed: putIdentity(own)
        case .answered:
            putIdentity(
                (
                    UInt32(truncatingIfNeeded: exit.value), UInt32(truncatingIfNeeded: exit.extra.1),
                    UInt32(truncatingIfNeeded: exit.extra.2), UInt32(truncatingIfNeeded: exit.extra.3)
                ))
        case .raised: return abort(s, p)
        }
        return go(p)
    }

    private func putIdentity(_ values: (eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32)) {
        s.put(Register.rax, values.eax)
        s.put(Register.rbx, values.ebx)
        s.put(Register.rcx, values.ecx)
        s.put(Register.rdx, values.edx)
    }

    // MARK: Time

    /// The TSC: 1 GHz of virtual time.
    var timeStamp: UInt64 { vcpu.exits.virtualTime &+ s.cpu.pointee.msrs.tscOffset }

    /// RDTSC and RDTSCP.
    func readTimeStamp(_ p: P) -> P {
        let cpu = s.cpu
        let hasAux = p.op.pointee.which != 0
        if cpu.pointee.cr4 & CR4.tsd != 0, cpu.pointee.cpl != 0 { return raise(s, p, Vector.gp, code: 0) }
        var value = timeStamp
        var exit = bp_exit()
        switch ask(hasAux ? BP_EXIT_RDTSCP : BP_EXIT_RDTSC, p, 0, &exit, { $0.value = value }) {
        case .proceed: break
        case .answered: value = exit.value
        case .raised: return abort(s, p)
        }
        putPair(value)
        if hasAux { s[Register.rcx] = cpu.pointee.msrs.tscAux }
        return go(p)
    }

    /// There are no counters.
    func readPerformanceCounter(_ p: P) -> P {
        if s.cpu.pointee.cr4 & CR4.pce == 0, s.cpu.pointee.cpl != 0 { return raise(s, p, Vector.gp, code: 0) }
        var exit = bp_exit()
        let index = UInt64(s.get(Register.rcx, as: UInt32.self))
        switch ask(BP_EXIT_RDPMC, p, index, &exit) {
        case .proceed: return raise(s, p, Vector.gp, code: 0)
        case .answered: putPair(exit.value)
        case .raised: return abort(s, p)
        }
        return go(p)
    }

    // MARK: What is not there

    /// RDRAND and RDSEED: runs are to repeat exactly, so the CPU has none; a policy may give numbers.
    func random(_ p: P) -> P {
        var exit = bp_exit()
        switch ask(p.op.pointee.which, p, 0, &exit) {
        case .proceed: return undefined(p, isTooLong: false)
        case .answered:
            put(p.op.pointee.src, exit.value, size: p.operandSize)
            s.cpu.setStatusFlags(RFLAGS.cf)
        case .raised: return abort(s, p)
        }
        return go(p)
    }

    /// VMX, SVM, MONITOR and RSM. VMCALL, as in VMX non-root operation, exits at every privilege level.
    func guarded(_ p: P) -> P {
        let reason = p.op.pointee.which
        if reason != 0, let end = ask(reason, p) { return end }
        return undefined(p, isTooLong: false)
    }

    // MARK: HLT

    func halt(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        _ = retire(s, p)
        // STI's shadow ends with HLT itself.
        s.cpu.pointee.inShadow = false
        s.cpu.pointee.isStackShadow = false
        let isEnabled = s.cpu.pointee.systemFlags & RFLAGS.interrupt != 0
        runEnd = .halted(interruptsEnabled: isEnabled, rip: s.rip)
        s.run.pointee.stop = .end
        return toRunLoop
    }
}
