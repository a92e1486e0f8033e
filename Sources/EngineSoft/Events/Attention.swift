// What the run loop does between blocks: interrupts and NMI, shadows, single step, the debugger.
// Source: SDM volume 3, 6.9 (priorities), 6.8.3 (shadows), 17.3.1.4 (single step).

import CBackplane
import CHost
import Core

extension SoftCPU {
    /// Before each look-up. Not nil: the run ends.
    func attend() -> RunEnd? {
        let cpu = s.cpu
        let word = ch_load(s.run.pointee.attention)
        let isHeld = cpu.pointee.inShadow || (debug.singleStep && debug.holdsInterrupts)
        let canTakeInterrupt = cpu.pointee.systemFlags & RFLAGS.interrupt != 0 && !isHeld
        let canTakeNMI = !cpu.pointee.inNMI && !isHeld
        s.run.pointee.attentionMask =
            ch_attention_leave | ch_attention_engine
            | (canTakeInterrupt ? ch_attention_interrupt : 0) | (canTakeNMI ? ch_attention_nmi : 0)
        guard word & s.run.pointee.attentionMask != 0 else { return nil }
        return attend(word & s.run.pointee.attentionMask)
    }

    @inline(never)
    private func attend(_ bits: UInt32) -> RunEnd? {
        s.publishCount()
        if bits & ch_attention_engine != 0 {
            takeMail()
            do throws(EngineError) { try applyDeferred() } catch { return .failed(error) }
            if let event = system.event {
                system.event = nil
                return deliver(event) ?? stepIntoHandler() ?? (bits & ch_attention_leave != 0 ? .attention : nil)
            }
        }
        if bits & ch_attention_leave != 0 { return .attention }
        if bits & ch_attention_nmi != 0, vcpu.takeNMI() {
            s.cpu.pointee.inNMI = true
            return deliver(vector: Vector.nmi, kind: .nmi, code: nil) ?? stepIntoHandler()
        }
        if bits & ch_attention_interrupt != 0 {
            s.run.pointee.exitRIP = s.rip
            if let vector = vcpu.exits.acknowledgeInterrupt(vcpu.index) { return deliverExternal(vector) }
            // Nobody answers, and the pin may stay high: an instruction runs before it is looked at again.
            s.run.pointee.attentionMask &= ~ch_attention_interrupt
            stepsNext = true
        }
        return nil
    }

    /// A debugger's single step in which an event was delivered ends at the first instruction of its handler.
    func stepIntoHandler() -> RunEnd? {
        guard debug.singleStep else { return nil }
        return .debug(DebugEvent(kind: .singleStep, rip: s.rip, dr6: DR6.singleStep))
    }

    // MARK: One instruction at a time

    /// The next instruction must run alone: single step, a shadow, a debugger, instruction breakpoints, or the counted clock's
    /// next event.
    var mustStep: Bool {
        let cpu = s.cpu
        return cpu.pointee.inShadow || cpu.pointee.systemFlags & (RFLAGS.tf | RFLAGS.rf) != 0 || debug.singleStep
            || stepsNext || s.run.pointee.watchesInstructions || s.run.pointee.watchesData
            || cpu.pointee.pendingDebug != 0
            || s.run.pointee.deadline &- s.run.pointee.executed < UInt64(BlockSource.maximumInstructions)
    }

    /// Runs one instruction, with what surrounds it. Not nil: the run ends.
    @inline(never)
    func step() -> RunEnd? {
        let cpu = s.cpu
        let shadow = (cpu.pointee.inShadow, cpu.pointee.isStackShadow)
        // Behind MOV SS and POP SS there is no instruction breakpoint, as if RF were set (SDM volume 3, 6.8.3).
        if s.run.pointee.watchesInstructions, !shadow.1, let end = instructionBreakpoint() { return end.value }
        let wasTrapping = cpu.pointee.systemFlags & RFLAGS.tf != 0
        (cpu.pointee.inShadow, cpu.pointee.isStackShadow) = (false, false)
        stepsNext = false
        let begun = s.run.pointee.executed
        s.run.pointee.stepsRounds = wasTrapping || debug.singleStep || s.run.pointee.watchesData
        isStepping = true
        followsStackLoad = shadow.1
        s.run.pointee.deadline = begun &+ 1
        didDeliver = false
        run(from: findBlock(single: true))
        (isStepping, followsStackLoad) = (false, false)
        s.run.pointee.deadline = eventDeadline
        s.run.pointee.chain = nil
        let didRound = s.run.pointee.stepsRounds && cpu.pointee.didRound
        s.run.pointee.stepsRounds = false
        guard s.run.pointee.executed != begun || didRound else {
            // What it touched before it faulted is no hit: it has not retired. An exception ends what MOV SS
            // holds back, and its handler begins without it, as Bochs has it; the SDM (6.8.3) leaves it open.
            if s.run.pointee.stop == .fault { (cpu.pointee.pendingDebug, s.run.pointee.watchHits) = (0, 0) }
            if s.run.pointee.stop != .fault, !didDeliver {
                (cpu.pointee.inShadow, cpu.pointee.isStackShadow) = shadow
            }
            return nil
        }
        // RF covers one instruction (SDM volume 3, 17.3.1.1); IRET and POPF load it for the next one.
        if didRound, s.run.pointee.executed == begun {
            // Its breakpoint is not met again by the rounds that are left.
            if s.run.pointee.watchesInstructions { cpu.pointee.systemFlags |= RFLAGS.rf }
        } else if !loadedResumeFlag {
            cpu.pointee.systemFlags &= ~RFLAGS.rf
        }
        loadedResumeFlag = false
        // Nor a single-step trap after MOV SS and POP SS.
        if wasTrapping, !didDeliver, !cpu.pointee.isStackShadow { cpu.pointee.pendingDebug |= DR6.singleStep }
        if s.run.pointee.stop == .end, cpu.pointee.pendingDebug != 0, case .halted = runEnd {
            s.run.pointee.stop = .none
        }
        if s.run.pointee.stop != .none { return nil }
        return afterStep()
    }

    /// Traps on the instruction that has retired.
    private func afterStep() -> RunEnd? {
        // The guest's own #DB comes first: the debugger then stops at its handler.
        if let end = reportDebug() { return end }
        let hits = s.run.pointee.watchHits
        s.run.pointee.watchHits = 0
        if hits != 0 { return .debug(DebugEvent(kind: .hardwareBreakpoint, rip: s.rip, dr6: hits)) }
        if debug.singleStep { return .debug(DebugEvent(kind: .singleStep, rip: s.rip, dr6: DR6.singleStep)) }
        return nil
    }

    /// Debug traps that wait, unless the stack segment's shadow holds them: those of a step, and the T bit of a task that was switched to.
    func reportDebug() -> RunEnd? {
        let cpu = s.cpu
        let bits = cpu.pointee.pendingDebug
        guard bits != 0, !cpu.pointee.isStackShadow else { return nil }
        cpu.pointee.pendingDebug = 0
        return raiseDebugTrap(bits)
    }

    /// An execute breakpoint at RIP. Not nil: it was handled, and the run goes on or ends with `value`.
    private func instructionBreakpoint() -> (value: RunEnd?, Void)? {
        let cpu = s.cpu
        guard cpu.pointee.systemFlags & RFLAGS.rf == 0 else { return nil }
        let linear = fetchLinear(s.rip)
        var hits: UInt64 = 0
        let control = cpu.pointee.dr.7
        for number in 0..<4 where DR7.isEnabled(number, in: control) {
            if DR7.condition(of: number, in: control) == .execution, s.debugRegister(number).pointee == linear {
                hits |= 1 << UInt64(number)
            }
        }
        guard hits != 0 else { return nil }
        return (raiseInstructionBreakpoint(hits) ?? stepIntoHandler(), ())
    }

    /// After DR7 or the debugger's watchpoints have changed.
    func updateWatches() {
        let cpu = s.cpu
        (s.run.pointee.watchesInstructions, s.run.pointee.watchesData) = (false, s.run.pointee.watchControl != 0)
        let control = cpu.pointee.dr.7
        for number in 0..<4 where DR7.isEnabled(number, in: control) {
            switch DR7.condition(of: number, in: control) {
            case .execution: s.run.pointee.watchesInstructions = true
            case .io where cpu.pointee.cr4 & CR4.de == 0: break
            case .io, .write, .readOrWrite: s.run.pointee.watchesData = true
            }
        }
    }
}
