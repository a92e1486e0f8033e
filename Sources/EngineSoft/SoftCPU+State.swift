// Registers, reset and what goes with a pause: everything of a CPU outside of the loop.

public import CBackplane
import CHost
public import Core

extension SoftCPU {
    // MARK: Reset

    /// As after RESET.
    func resetState() {
        let old = s.run.pointee
        s.initializeMemory(as: UInt8.self, repeating: 0, count: Layout.run)
        s.cpu.pointee = CPUState()
        (s + Layout.vectors).initializeMemory(as: UInt8.self, repeating: 0, count: Layout.tlb - Layout.vectors)
        s.run.pointee = RunState(
            attention: old.attention, attentionMask: old.attentionMask, executed: old.executed, deadline: old.deadline,
            jumpCache: old.jumpCache, tlb: memory.table(.supervisor), intercepted: old.intercepted, watch: old.watch,
            watchControl: old.watchControl, retired: old.retired, exits: old.exits, owner: old.owner, index: old.index)
        s.publishCount()
        s.cpu.pointee.msrs.tscOffset = 0 &- vcpu.exits.virtualTime
        system = SystemState()
        halt = .none
        place(.powerOn(signature: CPUModel.signature))
    }

    public func reset() throws(EngineError) {
        if s.run.pointee.isRunning { throw EngineError("an exit of this vCPU is being handled") }
        resetState()
    }

    // MARK: Registers

    public func registers() throws(EngineError) -> bp_registers {
        let now = currentRegisters(rip: currentRIP)
        guard let deferred = system.deferred else { return now }
        return now.changed(from: deferred.from, to: deferred.to)
    }

    /// In an exit the instruction is not finished and would write its own results over what is set now. So the fields that change are
    /// noted, and set when it is finished.
    public func setRegisters(_ registers: bp_registers) throws(EngineError) {
        if let rule = RegisterRules.broken(by: registers) ?? brokenRule(registers) {
            throw EngineError("set registers: \(rule)")
        }
        if s.run.pointee.isRunning {
            system.deferred = (try self.registers(), registers)
            _ = ch_set_bits(vcpu.attention, ch_attention_engine)
            return
        }
        try applyDeferred()
        try setNow(registers)
    }

    public func completePending() throws(EngineError) {
        if s.run.pointee.isRunning { throw EngineError("an exit of this vCPU is being handled") }
        try applyDeferred()
    }

    /// What `setRegisters` has left during an exit: between instructions.
    func applyDeferred() throws(EngineError) {
        guard let deferred = system.deferred else { return }
        system.deferred = nil
        let wanted = currentRegisters(rip: s.rip).changed(from: deferred.from, to: deferred.to)
        if let rule = RegisterRules.broken(by: wanted) ?? brokenRule(wanted) {
            throw EngineError("set registers: \(rule)")
        }
        try setNow(wanted)
    }

    /// Bits that this CPU does not have.
    func brokenRule(_ registers: bp_registers) -> String? {
        if registers.cr4 & ~SoftCPU.cr4Bits != 0 { return "CR4 has bits that this CPU does not have" }
        if registers.cr3 & ~PageWalk.physicalMask != 0 { return "CR3 is beyond physical memory" }
        if registers.efer & ~(EFER.sce | EFER.lme | EFER.lma | EFER.nxe) != 0 {
            return "EFER has bits that this CPU does not have"
        }
        return nil
    }

    func currentRegisters(rip: UInt64) -> bp_registers {
        var state = bp_registers()
        let cpu = s.cpu
        state.size = UInt32(MemoryLayout<bp_registers>.size)
        withUnsafeMutableBytes(of: &state.general) { general in
            general.copyMemory(from: UnsafeRawBufferPointer(start: s, count: 128))
        }
        state.rip = rip
        state.rflags = cpu.rflags
        state.es = bp_segment(s.segment(Segment.es).pointee)
        state.cs = bp_segment(s.segment(Segment.cs).pointee)
        state.ss = bp_segment(s.segment(Segment.ss).pointee)
        state.ds = bp_segment(s.segment(Segment.ds).pointee)
        state.fs = bp_segment(s.segment(Segment.fs).pointee)
        state.gs = bp_segment(s.segment(Segment.gs).pointee)
        state.ldtr = bp_segment(s.segment(Segment.ldtr).pointee)
        state.tr = bp_segment(s.segment(Segment.tr).pointee)
        (state.gdtr_base, state.gdtr_limit) = (cpu.pointee.gdt.base, cpu.pointee.gdt.limit)
        (state.idtr_base, state.idtr_limit) = (cpu.pointee.idt.base, cpu.pointee.idt.limit)
        (state.cr0, state.cr2, state.cr3, state.cr4) = (
            cpu.pointee.cr0, cpu.pointee.cr2, cpu.pointee.cr3, cpu.pointee.cr4
        )
        (state.cr8, state.efer) = (cpu.pointee.cr8, cpu.pointee.efer)
        state.dr = cpu.pointee.dr
        return state
    }

    private func setNow(_ state: bp_registers) throws(EngineError) {
        if state.cr0 & CR0.pg != 0, state.cr4 & CR4.pae != 0, state.efer & EFER.lma == 0 {
            guard loadPageDirectoryPointers(state.cr3) else {
                throw EngineError("set registers: the page directory pointers at CR3 have reserved bits")
            }
        }
        place(state)
    }

    /// With all that follows from them; the state is legal. What was half seen of an instruction is gone.
    func place(_ state: bp_registers) {
        let cpu = s.cpu
        withUnsafeBytes(of: state.general) { s.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: 128) }
        s.rip = state.rip
        cpu.rflags = state.rflags
        let segments = [state.es, state.cs, state.ss, state.ds, state.fs, state.gs, state.ldtr, state.tr]
        for (number, segment) in segments.enumerated() { s.segment(number).pointee = SegmentRegister(segment) }
        cpu.pointee.gdt = DescriptorTable(base: state.gdtr_base, limit: state.gdtr_limit)
        cpu.pointee.idt = DescriptorTable(base: state.idtr_base, limit: state.idtr_limit)
        cpu.pointee.cr0 = state.cr0 | CR0.et
        cpu.pointee.cr2 = state.cr2
        cpu.pointee.cr3 = state.cr3
        cpu.pointee.cr4 = state.cr4
        cpu.pointee.cr8 = state.cr8
        cpu.pointee.efer = state.efer
        cpu.pointee.dr = state.dr
        setDebugRegister(6, state.dr.6)
        setDebugRegister(7, state.dr.7)
        // SDM volume 3, 24.4.1: CPL is SS.DPL.
        cpu.pointee.cpl = state.cr0 & CR0.pe == 0 ? 0 : UInt8(state.ss.attributes >> 5 & 3)
        cpu.pointee.inShadow = false
        cpu.pointee.isStackShadow = false
        cpu.pointee.pendingDebug = 0
        cpu.pointee.didRound = false
        s.run.pointee.watchHits = 0
        s.run.pointee.chain = nil
        flushTranslations(keepsGlobal: false)
        updateMode()
    }

    // MARK: Debugger

    public func setDebug(_ control: DebugControl) throws(EngineError) {
        guard control.hardware.count <= 4 else { throw EngineError("a CPU has four hardware breakpoints") }
        for breakpoint in control.hardware {
            guard [1, 2, 4, 8].contains(breakpoint.length) else {
                throw EngineError("a breakpoint of \(breakpoint.length) bytes: 1, 2, 4 or 8")
            }
            guard breakpoint.kind != .execute || breakpoint.length == 1 else {
                throw EngineError("an execute breakpoint has 1 byte")
            }
            guard breakpoint.address % UInt64(breakpoint.length) == 0 else {
                let place = "0x\(String(breakpoint.address, radix: 16))"
                throw EngineError("a breakpoint of \(breakpoint.length) bytes at \(place): not aligned")
            }
        }
        adopt(control)
    }

    public func readMSR(_ index: UInt32) throws(EngineError) -> UInt64? { msr(index) }

    public func translate(_ linear: UInt64) throws(EngineError) -> UInt64? {
        // Between instructions, what other threads have changed counts: before the first run that is all of memory.
        if !s.run.pointee.isRunning {
            try applyDeferred()
            takeMail()
        }
        if isLongMode, !SoftMemory.isCanonical(linear) { return nil }
        let address = isLongMode ? linear : linear & 0xffff_ffff
        return try? PageWalk.walk(memory, s, address, marks: false).physical
    }

    /// The TSC is of virtual time, which has stood still too.
    public func didPause(nanoseconds: UInt64) {}
}

extension SegmentRegister {
    init(_ segment: bp_segment) {
        self.init(
            base: segment.base, limit: segment.limit, selector: segment.selector, attributes: segment.attributes)
    }
}

extension bp_segment {
    init(_ segment: SegmentRegister) {
        self.init(
            base: segment.base, limit: segment.limit, selector: segment.selector, attributes: segment.attributes)
    }
}
