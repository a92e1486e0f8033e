// What the run loop does between blocks: interrupts and NMI, shadows, single step, the debugger.
// Source: SDM volume 3, 6.9 (priorities), 6.8.3 (shadows), 17.3.1.4 (single step).

import CBackplane
import CHost
import Core

extension SoftCPU {
    /// Before each look-up. Not nil: the run ends.
    func attend() -> RunEnd? {
        let cpu = s.cpu
        let word = ch_load(cpu.pointee.attention)
        let canTakeInterrupt = cpu.pointee.systemFlags & RFLAGS.interrupt != 0 && !cpu.pointee.inShadow
        let canTakeNMI = !cpu.pointee.inNMI && !cpu.pointee.inShadow
        cpu.pointee.attentionMask =
            ch_attention_leave | ch_attention_engine
            | (canTakeInterrupt ? ch_attention_interrupt : 0) | (canTakeNMI ? ch_attention_nmi : 0)
        guard word & cpu.pointee.attentionMask != 0 else { return nil }
        return attend(word & cpu.pointee.attentionMask)
    }

    @inline(never)
    private func attend(_ bits: UInt32) -> RunEnd? {
        s.publishCount()
        if bits & ch_attention_engine != 0 {
            takeMail()
            do throws(EngineError) { try applyDeferred() } catch { return .failed(error) }
        }
        if bits & ch_attention_leave != 0 { return .attention }
        if bits & ch_attention_nmi != 0, vcpu.takeNMI() {
            s.cpu.pointee.inNMI = true
            return deliver(vector: Vector.nmi, kind: .nmi, code: nil)
        }
        if bits & ch_attention_interrupt != 0 {
            s.cpu.pointee.exitRIP = s.rip
            if let vector = vcpu.exits.acknowledgeInterrupt(vcpu.index) { return deliverExternal(vector) }
            // Nobody answers, and the pin may stay high: an instruction runs before it is looked at again.
            s.cpu.pointee.attentionMask &= ~ch_attention_interrupt
            stepsNext = true
        }
        return nil
    }

    // MARK: One instruction at a time

    /// The next instruction must run alone: single step, a shadow, a debugger, instruction breakpoints, or the counted clock's
    /// next event.
    var mustStep: Bool {
        let cpu = s.cpu
        return cpu.pointee.inShadow || cpu.pointee.systemFlags & (RFLAGS.tf | RFLAGS.rf) != 0 || debug.singleStep
            || stepsNext || cpu.pointee.watchesInstructions || cpu.pointee.watchesData || cpu.pointee.pendingDebug != 0
            || cpu.pointee.deadline &- cpu.pointee.executed < UInt64(BlockBuilder.maximumInstructions)
    }

    /// Runs one instruction, with what surrounds it. Not nil: the run ends.
    @inline(never)
    func step() -> RunEnd? {
        let cpu = s.cpu
        if cpu.pointee.watchesInstructions, let end = instructionBreakpoint() { return end.value }
        let wasTrapping = cpu.pointee.systemFlags & RFLAGS.tf != 0
        let shadow = (cpu.pointee.inShadow, cpu.pointee.isStackShadow)
        (cpu.pointee.inShadow, cpu.pointee.isStackShadow) = (false, false)
        stepsNext = false
        let begun = cpu.pointee.executed
        isStepping = true
        cpu.pointee.deadline = begun &+ 1
        didDeliver = false
        var p = findBlock(single: true)
        while p != toRunLoop { p = p.load(as: Handler.self)(s, p) }
        isStepping = false
        cpu.pointee.deadline = eventDeadline
        cpu.pointee.chain = nil
        guard cpu.pointee.executed != begun else {
            if cpu.pointee.stop == .none, !didDeliver { (cpu.pointee.inShadow, cpu.pointee.isStackShadow) = shadow }
            return nil
        }
        // RF covers one instruction (SDM volume 3, 17.3.1.1); IRET and POPF load it for the next one.
        if !loadedResumeFlag { cpu.pointee.systemFlags &= ~RFLAGS.rf }
        loadedResumeFlag = false
        if wasTrapping, !didDeliver { cpu.pointee.pendingDebug |= DR6.singleStep }
        if cpu.pointee.stop != .none { return nil }
        return afterStep()
    }

    /// Traps on the instruction that has retired.
    private func afterStep() -> RunEnd? {
        if let end = reportDebug() { return end }
        if debug.singleStep { return .debug(DebugEvent(kind: .singleStep, rip: s.rip, dr6: DR6.singleStep)) }
        return nil
    }

    /// Debug traps that wait, unless the stack segment's shadow holds them: those of a step, and the T bit of a task that was switched to.
    func reportDebug() -> RunEnd? {
        let cpu = s.cpu
        let bits = cpu.pointee.pendingDebug
        guard bits != 0, !cpu.pointee.isStackShadow else { return nil }
        cpu.pointee.pendingDebug = 0
        if !debug.hardware.isEmpty, bits & 15 != 0 {
            return .debug(DebugEvent(kind: .hardwareBreakpoint, rip: s.rip, dr6: bits))
        }
        return raiseDebugTrap(bits)
    }

    /// An execute breakpoint at RIP. Not nil: it was handled, and the run goes on or ends with `value`.
    private func instructionBreakpoint() -> (value: RunEnd?, Void)? {
        let cpu = s.cpu
        guard cpu.pointee.systemFlags & RFLAGS.rf == 0 else { return nil }
        let linear = fetchLinear(s.rip)
        var hits: UInt64 = 0
        for number in 0..<4 where cpu.pointee.watchControl >> UInt64(number * 2) & 3 != 0 {
            let kind = cpu.pointee.watchControl >> UInt64(16 + number * 4) & 3
            if kind == 0, s.watchAddress(number) == linear { hits |= 1 << UInt64(number) }
        }
        guard hits != 0 else { return nil }
        if !debug.hardware.isEmpty {
            // The debugger goes on with the instruction itself.
            cpu.pointee.systemFlags |= RFLAGS.rf
            return (.debug(DebugEvent(kind: .hardwareBreakpoint, rip: s.rip, dr6: hits)), ())
        }
        return (raiseDebugFault(hits), ())
    }

    /// What operands and instructions are compared with: the debugger's breakpoints if it has any, else the guest's.
    func updateWatches() {
        let cpu = s.cpu
        if debug.hardware.isEmpty {
            cpu.pointee.watch = (cpu.pointee.dr.0, cpu.pointee.dr.1, cpu.pointee.dr.2, cpu.pointee.dr.3)
            cpu.pointee.watchControl = cpu.pointee.dr.7
        } else {
            var addresses: [UInt64] = [0, 0, 0, 0]
            var control: UInt64 = 0
            for (number, breakpoint) in debug.hardware.prefix(4).enumerated() {
                addresses[number] = breakpoint.address
                let length: UInt64 = [1: 0, 2: 1, 4: 3, 8: 2][breakpoint.length] ?? 0
                control |= 2 << UInt64(number * 2)
                control |= (UInt64(breakpoint.kind.rawValue) | length << 2) << UInt64(16 + number * 4)
            }
            cpu.pointee.watch = (addresses[0], addresses[1], addresses[2], addresses[3])
            cpu.pointee.watchControl = control
        }
        (cpu.pointee.watchesInstructions, cpu.pointee.watchesData) = (false, false)
        for number in 0..<4 where cpu.pointee.watchControl >> UInt64(number * 2) & 3 != 0 {
            switch cpu.pointee.watchControl >> UInt64(16 + number * 4) & 3 {
            case 0: cpu.pointee.watchesInstructions = true
            case 1, 3: cpu.pointee.watchesData = true
            default: break
            }
        }
    }
}

/// DR6 bits (SDM volume 3, 17.2.3).
enum DR6 {
    static let detected: UInt64 = 1 << 13, singleStep: UInt64 = 1 << 14, taskSwitch: UInt64 = 1 << 15
}
