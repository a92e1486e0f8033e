// Everything that the guest can see of a CPU, out of it and into it. What follows from the state - TLB, links, mode - is made anew.

import CHost
public import Core

extension SoftCPU {
    public func snapshot() throws(EngineError) -> CPUSnapshot {
        try completePending()
        let cpu = s.cpu
        var all = CPUSnapshot()
        all.registers = currentRegisters(rip: s.rip)
        // Nothing reads it there but the MOV to CR0 that would enter long mode, and KVM knows no such state.
        if !isLongMode { all.registers.cs.attributes &= ~0x2000 }
        all.pageDirectoryPointers = cpu.pointee.pageDirectoryPointers
        all.floating = try floatingState()
        (all.instructionSelector, all.dataSelector) = (
            cpu.pointee.x87.instructionSelector, cpu.pointee.x87.dataSelector
        )
        all.xcr0 = cpu.pointee.xcr0
        for index in CPUSnapshot.alwaysSavedMSRs { all.msrs[index] = msr(index) }
        if model.hasLocalAPIC { all.msrs[MSR.apicBase] = cpu.pointee.msrs.apicBase }
        all.pending.activity = halt == .none || cpu.pointee.cpl != 0 ? .active : .halted
        all.pending.shadow = !cpu.pointee.inShadow ? .none : cpu.pointee.isStackShadow ? .movSS : .sti
        all.pending.isNMIBlocked = cpu.pointee.inNMI
        all.pending.isNMIPending = ch_load(vcpu.attention) & ch_attention_nmi != 0
        all.pending.debugTraps = cpu.pointee.pendingDebug
        all.pending.isBetweenRounds = cpu.pointee.didRound
        all.pending.event = system.event
        return all
    }

    public func restore(_ all: CPUSnapshot) throws(EngineError) {
        if s.run.pointee.isRunning { throw EngineError("an exit of this vCPU is being handled") }
        if let rule = brokenRule(all) { throw EngineError(rule) }
        // A trap that waits is delivered before the first look at it.
        takeMail()
        let cpu = s.cpu
        system = SystemState()
        // Behind the rules: it refuses nothing more.
        try setFloatingState(all.floating)
        (cpu.pointee.x87.instructionSelector, cpu.pointee.x87.dataSelector) = (
            all.instructionSelector, all.dataSelector
        )
        cpu.pointee.xcr0 = all.xcr0
        cpu.pointee.pageDirectoryPointers = all.isPAE ? all.pageDirectoryPointers : (0, 0, 0, 0)
        cpu.pointee.msrs = ModelSpecificRegisters()
        place(all.registers)
        // Behind EFER, by which some are judged.
        for (index, value) in all.msrs { place(msr: index, value) }
        (s.run.pointee.stop, s.run.pointee.fault) = (.none, Fault())
        (stepsNext, loadedResumeFlag, didDeliver) = (false, false, false)
        place(all.pending)
    }

    private func place(_ pending: CPUSnapshot.Pending) {
        let cpu = s.cpu
        halt = pending.activity == .halted ? .loaded : .none
        cpu.pointee.inShadow = pending.shadow != .none
        cpu.pointee.isStackShadow = pending.shadow == .movSS
        cpu.pointee.inNMI = pending.isNMIBlocked
        cpu.pointee.pendingDebug = pending.debugTraps
        cpu.pointee.didRound = pending.isBetweenRounds
        if pending.isNMIPending {
            _ = ch_set_bits(vcpu.attention, ch_attention_nmi)
        } else {
            _ = ch_clear_bits(vcpu.attention, ch_attention_nmi)
        }
        system.event = pending.event
        if pending.event != nil { _ = ch_set_bits(vcpu.attention, ch_attention_engine) }
    }

    // MARK: What this CPU refuses

    private func brokenRule(_ all: CPUSnapshot) -> String? {
        if let rule = brokenRule(all.registers) { return rule }
        if all.floating.registers.count != 128 || all.floating.vectors.count != 256 { return "xmm is too short" }
        if all.isPAE, !SoftCPU.isValid(all.pageDirectoryPointers) { return "pdpte0 to pdpte3 have reserved bits" }
        if all.xcr0 & ~SoftCPU.xcr0Bits != 0 { return "xcr0 has bits that this CPU does not have" }
        if all.extendedComponents != 0 { return "xstate.components has components that this CPU does not have" }
        // NX cannot be in use where it is taken away.
        let miscEnable = all.msrs[MSR.miscEnable] ?? 0
        if miscEnable & MiscEnable.xdDisable != 0, all.registers.efer & EFER.nxe != 0 {
            return "misc_enable has XD disabled with EFER.NXE set"
        }
        return all.msrs.keys.sorted().lazy.compactMap { self.brokenRule(msr: $0, all.msrs[$0] ?? 0) }.first
    }

    private func brokenRule(msr index: UInt32, _ value: UInt64) -> String? {
        let isLegal: Bool
        switch index {
        case MSR.tsc, MSR.star: isLegal = true
        case MSR.apicBase: isLegal = model.hasLocalAPIC && value & ~(PageWalk.physicalMask & ~0x6ff) == 0
        case MSR.sysenterCS, MSR.syscallMask, MSR.tscAux: isLegal = value >> 32 == 0
        case MSR.sysenterESP, MSR.sysenterEIP, MSR.lstar, MSR.cstar, MSR.kernelGSBase:
            isLegal = SoftMemory.isCanonical(value)
        case MSR.miscEnable: isLegal = value & ~(MiscEnable.writable | MiscEnable.readOnly) == 0
        case MSR.pat: isLegal = isValidPAT(value)
        // It holds nothing.
        case MSR.debugControl, MSR.tscAdjust: isLegal = value == 0
        default: isLegal = false
        }
        return isLegal
            ? nil : "\(CPUSnapshot.name(ofMSR: index)) 0x\(String(value, radix: 16)) is nothing that this CPU can hold"
    }

    /// Of a legal value.
    private func place(msr index: UInt32, _ value: UInt64) {
        switch index {
        case MSR.apicBase: s.cpu.pointee.msrs.apicBase = value
        default: _ = setMSR(index, value)
        }
    }
}
