// Registers, reset and what goes with a pause: everything of a vCPU outside of the loop.

public import CBackplane
import CHost
public import Core

extension KVMCPU {
    // MARK: Registers

    public func registers() throws(EngineError) -> bp_registers {
        let now = try currentRegisters()
        guard let deferred else { return now }
        return now.changed(from: deferred.from, to: deferred.to)
    }

    /// In an exit, KVM is half-way through an instruction and would write its own results over what is set now. So the
    /// fields that change are noted, and set when the instruction is finished.
    public func setRegisters(_ registers: bp_registers) throws(EngineError) {
        if let rule = RegisterRules.broken(by: registers) { throw EngineError("set registers: \(rule)") }
        if progress.pointee.inExit {
            deferred = (try currentRegisters(), registers)
            progress.pointee.hasDeferred = true
            return
        }
        try completePending()
        try setNow(registers)
    }

    func currentRegisters() throws(EngineError) -> bp_registers {
        var general = kvm_regs()
        var system = kvm_sregs()
        var debug = kvm_debugregs()
        _ = try check(ch_kvm_get_regs(core.pointee.fd, &general), "KVM_GET_REGS")
        _ = try check(ch_kvm_get_sregs(core.pointee.fd, &system), "KVM_GET_SREGS")
        _ = try check(ch_kvm_get_debugregs(core.pointee.fd, &debug), "KVM_GET_DEBUGREGS")
        return bp_registers(general, system, debug)
    }

    /// `change`: what bp_registers does not have.
    func setNow(_ registers: bp_registers, _ change: (inout kvm_sregs) -> Void = { _ in }) throws(EngineError) {
        var system = kvm_sregs()
        _ = try check(ch_kvm_get_sregs(core.pointee.fd, &system), "KVM_GET_SREGS")
        registers.store(in: &system)
        change(&system)
        var general = registers.kvmGeneral
        var debug = registers.kvmDebug
        _ = try check(ch_kvm_set_sregs(core.pointee.fd, &system), "KVM_SET_SREGS")
        _ = try check(ch_kvm_set_regs(core.pointee.fd, &general), "KVM_SET_REGS")
        _ = try check(ch_kvm_set_debugregs(core.pointee.fd, &debug), "KVM_SET_DEBUGREGS")
        ch_run_set_cr8(shared, registers.cr8)
        // Known again after the next KVM_RUN.
        ch_run_set_ready(shared, false)
        // There is a KVM (PVM, Linux 6.18) that drops CR0.PG outside of long mode without a word.
        _ = try check(ch_kvm_get_sregs(core.pointee.fd, &system), "KVM_GET_SREGS")
        guard (system.cr0 ^ registers.cr0) & ~CR0.et == 0 else {  // ET is always 1
            throw EngineError("KVM_SET_SREGS: CR0 0x\(hex(registers.cr0)) became 0x\(hex(system.cr0))")
        }
    }

    // MARK: Half-done accesses

    public func completePending() throws(EngineError) {
        if progress.pointee.inExit { throw EngineError("an exit of this vCPU is being handled") }
        try finish { self.dispatch() }
        guard let deferred else { return }
        let now = try currentRegisters()
        self.deferred = nil
        progress.pointee.hasDeferred = false
        let wanted = now.changed(from: deferred.from, to: deferred.to)
        if let rule = RegisterRules.broken(by: wanted) { throw EngineError("set registers: \(rule)") }
        try setNow(wanted)
    }

    /// A read-modify-write and an access across a page end in further exits; `rep ins` goes back to the guest within
    /// 1024.
    func finish(_ handle: () -> RunEnd?) throws(EngineError) {
        guard progress.pointee.accessPending else { return }
        for _ in 0..<4096 {
            let result = ch_kvm_run_complete(core)
            if result == -4 {  // EINTR
                progress.pointee.accessPending = false
                return
            }
            _ = try check(result, "KVM_RUN (completing an access)")
            if let end = handle() {
                stashed = end
                progress.pointee.hasStashed = true
                return
            }
        }
        throw EngineError("an instruction does not end: \(try currentRegisters().text)")
    }

    /// `run` never comes back with an access half done: what is left of it may be an exit more, for which the core must
    /// not hold the machine's lock.
    func finishAccess() -> RunEnd? {
        do throws(EngineError) {
            try completePending()
        } catch {
            return .failed(error)
        }
        return progress.pointee.hasStashed ? takeStashed() : nil
    }

    func takeStashed() -> RunEnd {
        defer { stashed = nil }
        progress.pointee.hasStashed = false
        return stashed ?? .attention
    }

    // MARK: Reset

    public func reset() throws(EngineError) {
        if progress.pointee.inExit { throw EngineError("an exit of this vCPU is being handled") }
        // What is left of an access is dropped: reads give what KVM has there, writes go nowhere.
        try finish { nil }
        deferred = nil
        stashed = nil
        progress.pointee = Progress()
        ch_run_set_window(shared, false)
        try PowerOn.apply(to: self)
        try setNow(bp_registers.powerOn(signature: GuestCPUID.signature(engine.cpuid)))
    }

    // MARK: Debugger

    public func setDebug(_ control: DebugControl) throws(EngineError) {
        guard control.hardware.count <= 4 else { throw EngineError("a CPU has four hardware breakpoints") }
        var debug = kvm_guest_debug()
        if control.singleStep { debug.control |= UInt32(KVM_GUESTDBG_SINGLESTEP) }
        if control.softwareBreakpoints { debug.control |= UInt32(KVM_GUESTDBG_USE_SW_BP) }
        if !control.hardware.isEmpty {
            debug.control |= UInt32(KVM_GUESTDBG_USE_HW_BP)
            try fill(&debug.arch.debugreg, control.hardware)
        }
        if debug.control != 0 { debug.control |= UInt32(KVM_GUESTDBG_ENABLE) }
        _ = try check(ch_kvm_set_guest_debug(core.pointee.fd, &debug), "KVM_SET_GUEST_DEBUG")
        self.debug = control
    }

    /// SDM volume 3, 6.12: KVM has the length of the INT3 from its exit, and the return address behind it.
    public func giveBack(_ exception: DebugException) throws(EngineError) {
        var events = kvm_vcpu_events()
        _ = try check(ch_kvm_get_events(core.pointee.fd, &events), "KVM_GET_VCPU_EVENTS")
        events.flags = 0
        events.exception.injected = 1
        events.exception.has_error_code = 0
        events.exception.error_code = 0
        switch exception {
        case .breakpoint: events.exception.nr = Vector.bp
        case .trap(let dr6):
            events.exception.nr = Vector.db
            var registers = kvm_debugregs()
            _ = try check(ch_kvm_get_debugregs(core.pointee.fd, &registers), "KVM_GET_DEBUGREGS")
            registers.dr6 = registers.dr6 & ~DR6.breakpoints | dr6 & DR6.writable
            _ = try check(ch_kvm_set_debugregs(core.pointee.fd, &registers), "KVM_SET_DEBUGREGS")
        }
        _ = try check(ch_kvm_set_events(core.pointee.fd, &events), "KVM_SET_VCPU_EVENTS")
    }

    public func readMSR(_ index: UInt32) throws(EngineError) -> UInt64? {
        var value: UInt64 = 0
        return ch_kvm_get_msr(core.pointee.fd, index, &value) == 0 ? value : nil
    }

    private func fill(
        _ registers: inout (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64),
        _ breakpoints: [DebugControl.Hardware]
    ) throws(EngineError) {
        var addresses: [UInt64] = [0, 0, 0, 0]
        var control = DR7.fixed | DR7.exact
        for (number, breakpoint) in breakpoints.enumerated() {
            guard let bits = DR7.global(number, breakpoint.condition, length: UInt64(breakpoint.length)) else {
                throw EngineError("a breakpoint of \(breakpoint.length) bytes: 1, 2, 4 or 8")
            }
            guard breakpoint.kind != .execute || breakpoint.length == 1 else {
                throw EngineError("an execute breakpoint has 1 byte")
            }
            guard breakpoint.address % UInt64(breakpoint.length) == 0 else {
                let place = "0x\(hex(breakpoint.address))"
                throw EngineError("a breakpoint of \(breakpoint.length) bytes at \(place): not aligned")
            }
            addresses[number] = breakpoint.address
            control |= bits
        }
        registers = (addresses[0], addresses[1], addresses[2], addresses[3], 0, 0, 0, control)
    }

    /// A KVM that emulates supervisor code tells of the step and not of the HLT.
    func debugEnd() -> RunEnd {
        let event = debugEvent()
        guard event.kind == .singleStep, let end = haltEnd, event.rip == end else { return .debug(event) }
        progress.pointee.hasHalted = true
        return .halted(interruptsEnabled: ch_run_interrupt_flag(shared), rip: end)
    }

    func noteStep() {
        haltEnd = nil
        guard let state = try? currentRegisters(), state.ss.attributes >> 5 & 3 == 0 || state.cr0 & 1 == 0,
            let physical = try? translate(state.linearRIP), engine.bytes(at: physical, count: 1).first == 0xf4
        else { return }
        haltEnd = state.rip &+ 1
    }

    func debugEvent() -> DebugEvent {
        let dr6 = ch_run_debug_dr6(shared)
        let kind: DebugEvent.Kind =
            if ch_run_debug_exception(shared) == 3 {
                .softwareBreakpoint
            } else if dr6 & 0xf != 0 {
                .hardwareBreakpoint
            } else {
                .singleStep
            }
        return DebugEvent(kind: kind, rip: ch_run_rip(shared), dr6: dr6)
    }

    public func translate(_ linear: UInt64) throws(EngineError) -> UInt64? {
        var physical: UInt64 = 0
        var isValid = false
        _ = try check(ch_kvm_translate(core.pointee.fd, linear, &physical, &isValid), "KVM_TRANSLATE")
        return isValid && physical != .max ? physical : nil
    }

    // MARK: Time

    /// Does nothing on a KVM that does not let the TSC be moved.
    public func didPause(nanoseconds: UInt64) {
        let kilohertz = ch_kvm_get_tsc_khz(core.pointee.fd)
        guard kilohertz > 0, let ticks = Self.ticks(nanoseconds: nanoseconds, kilohertz: UInt64(kilohertz)) else {
            return
        }
        moveTSC(by: 0 &- ticks)
    }

    /// nil: more than 64 bits.
    static func ticks(nanoseconds: UInt64, kilohertz: UInt64) -> UInt64? {
        let (high, low) = nanoseconds.multipliedFullWidth(by: kilohertz)
        return high < 1_000_000 ? (1_000_000 as UInt64).dividingFullWidth((high, low)).quotient : nil
    }

    /// By the offset, where KVM has it (Linux 5.16): writing the TSC itself is taken for an attempt to synchronize if
    /// it changes by less than a second.
    func moveTSC(by ticks: UInt64) {
        var offset: UInt64 = 0
        if ch_kvm_get_tsc_offset(core.pointee.fd, &offset) == 0 {
            _ = ch_kvm_set_tsc_offset(core.pointee.fd, offset &+ ticks)
        } else {
            var now: UInt64 = 0
            guard ch_kvm_get_msr(core.pointee.fd, MSR.tsc, &now) == 0 else { return }
            _ = ch_kvm_set_msr(core.pointee.fd, MSR.tsc, now &+ ticks)
        }
    }
}
