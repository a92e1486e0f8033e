// Delivery of exceptions and interrupts. Source: SDM volume 3, chapter 6 (6.12 protected mode, 6.14 64-bit mode, 6.15 double faults),
// 20.1.4 (real mode), 20.3 (virtual-8086 mode); volume 2, INT n.

import CBackplane
import CHost
public import Core

/// What an event is, as far as its delivery differs.
enum EventKind {
    /// A fault: RIP is at the instruction.
    case exception
    /// The fault of an instruction breakpoint: alone among them it leaves RF clear on the stack.
    case instructionBreakpoint
    /// A trap (#DB after an instruction): RIP is past it.
    case trap
    case external
    case nmi
    /// INT n, INT3, INTO: the gate's DPL is checked.
    case software
    /// INT1: it is not.
    case privileged
}

extension SoftCPU {
    /// RIP as an exit's handler sees it, or between runs.
    var currentRIP: UInt64 { s.run.pointee.isRunning ? s.run.pointee.exitRIP : s.rip }

    // MARK: Entry points

    /// Delivers the fault that is left; RIP is at the instruction.
    func deliverFault() -> RunEnd? {
        var fault = s.run.pointee.fault
        s.run.pointee.stop = .none
        if intercepts(BP_EXIT_EXCEPTION, UInt64(fault.vector)) {
            guard let asked = ask(fault) else { return nil }
            fault = asked
        }
        return deliver(fault, .exception)
    }

    /// Delivers an event between instructions: RIP is where it returns to.
    func deliver(vector: UInt8, kind: EventKind, code: UInt32?) -> RunEnd? {
        var fault = Fault(vector: vector, hasCode: code != nil, code: code ?? 0)
        if kind != .software, kind != .external, intercepts(BP_EXIT_EXCEPTION, UInt64(vector)) {
            guard let asked = ask(fault) else { return nil }
            if asked.vector != fault.vector { return deliver(asked, .exception) }
            fault = asked
        }
        return deliver(fault, kind)
    }

    /// #DB as a trap: DR6 gets the bits, RIP is at the next instruction.
    func raiseDebugTrap(_ bits: UInt64) -> RunEnd? {
        let dr6 = s.debugRegister(6)
        dr6.pointee = dr6.pointee & ~0xf | bits
        return deliver(vector: Vector.db, kind: .trap, code: nil)
    }

    /// #DB of an instruction breakpoint: DR6 gets the bits, RIP is at the instruction.
    func raiseInstructionBreakpoint(_ bits: UInt64) -> RunEnd? {
        let dr6 = s.debugRegister(6)
        dr6.pointee = dr6.pointee & ~0xf | bits
        return deliver(vector: Vector.db, kind: .instructionBreakpoint, code: nil)
    }

    /// An external interrupt that is acknowledged: a policy may take it for itself, or inject an exception in its place.
    func deliverExternal(_ vector: UInt8) -> RunEnd? {
        guard intercepts(BP_EXIT_EXTERNAL_INTERRUPT, UInt64(vector)) else {
            return deliver(vector: vector, kind: .external, code: nil) ?? stepIntoHandler()
        }
        guard let asked = ask(Fault(vector: vector), reason: BP_EXIT_EXTERNAL_INTERRUPT) else {
            // The pin may stay high: an instruction runs before it is looked at again.
            s.run.pointee.attentionMask &= ~ch_attention_interrupt
            stepsNext = true
            return nil
        }
        return deliver(asked, asked.vector == vector ? .external : .exception) ?? stepIntoHandler()
    }

    /// What was under delivery when the CPU was saved.
    func deliver(_ event: CPUSnapshot.Event) -> RunEnd? {
        let kind: EventKind =
            switch event.kind {
            case .external: .external
            case .nmi: .nmi
            // Behind its instruction, or an instruction breakpoint's: either way RF is not set.
            case .exception: event.vector == Vector.db ? .trap : .exception
            }
        if kind == .nmi { s.cpu.pointee.inNMI = true }
        return deliver(vector: event.vector, kind: kind, code: event.errorCode)
    }

    /// nil: a policy has dealt with it; else what is to be delivered.
    private func ask(_ fault: Fault, reason: Int = BP_EXIT_EXCEPTION) -> Fault? {
        var exit = makeExit(reason, rip: s.rip, length: 0)
        exit.address = UInt64(fault.vector)
        exit.value = UInt64(fault.code)
        if fault.hasCode { exit.flags |= UInt16(BP_EXITF_ERROR_CODE) }
        if fault.vector == Vector.pf { exit.extra.0 = s.cpu.pointee.cr2 }
        switch send(&exit) {
        case .unhandled: return fault
        case .handled: return nil
        case .inject(let vector, let code): return Fault(vector: vector, hasCode: code != nil, code: code ?? 0)
        }
    }

    // MARK: Faults in delivery

    /// Table 6-5: which exceptions together make a double fault.
    private enum Severity {
        case benign, contributory, pageFault, double

        init(_ vector: UInt8) {
            switch vector {
            case Vector.de, Vector.ts, Vector.np, Vector.ss, Vector.gp: self = .contributory
            case Vector.pf: self = .pageFault
            case Vector.df: self = .double
            default: self = .benign
            }
        }
    }

    private func deliver(_ first: Fault, _ firstKind: EventKind) -> RunEnd? {
        var event = first
        var kind = firstKind
        s.run.pointee.exitRIP = s.rip
        // Each round but those of benign events raises the severity; 5 rounds are more than there can be.
        for _ in 0..<5 {
            let code: UInt32? = event.hasCode ? event.code : nil
            if deliverOnce(event.vector, kind, code) { return nil }
            s.run.pointee.stop = .none
            let next = s.run.pointee.fault
            let isException = kind == .exception || kind == .instructionBreakpoint || kind == .trap
            let before = isException ? Severity(event.vector) : .benign
            switch (before, Severity(next.vector)) {
            case (.double, .contributory), (.double, .pageFault): return .shutdown
            case (.contributory, .contributory), (.pageFault, .contributory), (.pageFault, .pageFault):
                event = Fault(vector: Vector.df, hasCode: true, code: 0)
            default: event = next
            }
            kind = .exception
        }
        return .shutdown
    }

    // MARK: One attempt

    /// false: a fault is left, and nothing but memory below the stack has changed.
    func deliverOnce(_ vector: UInt8, _ kind: EventKind, _ code: UInt32?) -> Bool {
        let isSoftware = kind == .software
        system.external = isSoftware ? 0 : 1
        defer { system.external = 0 }
        let isDone: Bool
        if s.cpu.pointee.cr0 & CR0.pe == 0 {
            isDone = deliverReal(vector)
        } else if isLongMode {
            isDone = deliverLong(vector, kind, code)
        } else {
            isDone = deliverProtected(vector, kind, code)
        }
        guard isDone else { return false }
        if vector == Vector.db, kind != .software { s.debugRegister(7).pointee &= ~0x2000 }
        didDeliver = true
        if kind == .nmi { s.cpu.pointee.inNMI = true }
        s.cpu.pointee.inShadow = false
        s.cpu.pointee.isStackShadow = false
        updateMode()
        return true
    }

    /// RFLAGS as the handler finds them on its stack (SDM volume 3, 17.3.1.1): RF is set for faults but instruction breakpoints, and for whatever
    /// comes between two rounds of a repeated string instruction.
    private func savedFlags(_ kind: EventKind) -> UInt64 {
        let flags = s.cpu.rflags
        switch kind {
        case .exception: return flags | RFLAGS.rf
        case .external, .nmi: return s.cpu.pointee.didRound ? flags | RFLAGS.rf : flags
        case .trap: return s.cpu.pointee.didRound ? flags | RFLAGS.rf : flags & ~RFLAGS.rf
        case .instructionBreakpoint, .software, .privileged: return flags & ~RFLAGS.rf
        }
    }

    // MARK: Real mode

    private func deliverReal(_ vector: UInt8) -> Bool {
        let table = s.cpu.pointee.idt
        guard UInt64(vector) * 4 + 3 <= UInt64(table.limit) else { return fail(Vector.gp, 0) }
        guard let entry = systemRead(table.base &+ UInt64(vector) * 4, UInt32.self) else { return false }
        var stack = deliveryStack
        let flags = s.cpu.rflags
        guard stack.push(self, flags, 2), stack.push(self, UInt64(s.segment(Segment.cs).pointee.selector), 2),
            stack.push(self, s.rip, 2)
        else { return false }
        s[Register.rsp] = stack.pointer
        s.cpu.pointee.systemFlags &= ~(RFLAGS.interrupt | RFLAGS.tf | RFLAGS.ac | RFLAGS.rf)
        setRealCode(UInt16(truncatingIfNeeded: entry >> 16))
        s.rip = UInt64(entry & 0xffff)
        return true
    }

    // MARK: Protected mode

    /// Error code that names a gate: index, IDT, EXT.
    private func gateCode(_ vector: UInt8) -> UInt32 { UInt32(vector) << 3 | 2 | system.external }

    /// The gate of a vector after the checks that all modes share. nil: a fault is left.
    private func gate(_ vector: UInt8, _ kind: EventKind) -> Descriptor? {
        let size: UInt64 = isLongMode ? 16 : 8
        let table = s.cpu.pointee.idt
        let offset = UInt64(vector) * size
        guard offset + size - 1 <= UInt64(table.limit) else {
            s.setFault(Vector.gp, code: gateCode(vector))
            return nil
        }
        guard var gate = descriptor(at: table.base &+ offset, 0) else { return nil }
        let isGate = gate.type & 6 == 6 && (!isLongMode || gate.type & 8 != 0) || gate.type == 5 && !isLongMode
        guard !gate.isSegment, isGate, kind != .software || gate.dpl >= s.cpu.pointee.cpl else {
            s.setFault(Vector.gp, code: gateCode(vector))
            return nil
        }
        guard gate.isPresent else {
            s.setFault(Vector.np, code: gateCode(vector))
            return nil
        }
        if isLongMode {
            guard let upper = systemRead(gate.address &+ 8, UInt32.self) else { return nil }
            gate.upper = upper
        }
        return gate
    }

    /// The code segment that a gate leads to. nil: a fault is left.
    private func handlerCode(_ gate: Descriptor) -> Descriptor? {
        guard gate.gateSelector & 0xfffc != 0 else {
            s.setFault(Vector.gp, code: system.external)
            return nil
        }
        guard let code = descriptor(gate.gateSelector) else { return nil }
        guard code.isCode, code.dpl <= s.cpu.pointee.cpl, !isLongMode || (code.isLong && !code.isBig) else {
            s.setFault(Vector.gp, code: selectorCode(gate.gateSelector))
            return nil
        }
        guard code.isPresent else {
            s.setFault(Vector.np, code: selectorCode(gate.gateSelector))
            return nil
        }
        return code
    }

    private func deliverProtected(_ vector: UInt8, _ kind: EventKind, _ code: UInt32?) -> Bool {
        guard let gate = gate(vector, kind) else { return false }
        if gate.type == 5 {
            return switchTask(
                to: gate.gateSelector, .gate(isSoftware: kind == .software, code: code),
                returnRIP: s.rip, flags: savedFlags(kind))
        }
        guard let handler = handlerCode(gate) else { return false }
        let size: UInt8 = gate.type & 8 != 0 ? 4 : 2
        let level = s.cpu.pointee.cpl
        let flags = savedFlags(kind)
        let isInner = !handler.isConforming && handler.dpl < level
        if isVirtual8086 {
            guard isInner, handler.dpl == 0 else { return fail(Vector.gp, selector: gate.gateSelector) }
        } else {
            guard handler.isConforming || handler.dpl <= level else {
                return fail(Vector.gp, selector: gate.gateSelector)
            }
        }
        var inner: InnerStack?
        var stack = deliveryStack
        if isInner {
            guard let found = innerStack(level: handler.dpl) else { return false }
            (inner, stack) = (found, found.stack)
        }
        guard gate.gateOffset <= UInt64(handler.limit) else { return fail(Vector.gp, system.external) }
        if isInner {
            guard pushOuter(&stack, size) else { return false }
        } else {
            stack.code = system.external
        }
        guard stack.push(self, flags, size), stack.push(self, UInt64(s.segment(Segment.cs).pointee.selector), size),
            stack.push(self, s.rip, size)
        else { return false }
        if let code, !stack.push(self, UInt64(code), size) { return false }
        guard markAccessed(handler) else { return false }
        if let descriptor = inner?.descriptor, !markAccessed(descriptor) { return false }
        let newLevel = isInner ? handler.dpl : level
        if isVirtual8086 {
            for number in [Segment.es, Segment.ds, Segment.fs, Segment.gs] { setNull(number, 0) }
        }
        clearFlags(gate)
        setCode(handler, level: newLevel)
        if let inner { setStack(inner, level: newLevel) }
        s[Register.rsp] = stack.pointer
        s.rip = gate.gateOffset
        return true
    }

    /// SS and ESP of the interrupted code, and in virtual-8086 mode its data segments before them.
    private func pushOuter(_ stack: inout Stack, _ size: UInt8) -> Bool {
        if isVirtual8086 {
            for number in [Segment.gs, Segment.fs, Segment.ds, Segment.es] {
                guard stack.push(self, UInt64(s.segment(number).pointee.selector), size) else { return false }
            }
        }
        let selector = UInt64(s.segment(Segment.ss).pointee.selector)
        return stack.push(self, selector, size) && stack.push(self, s[Register.rsp], size)
    }

    /// What a gate does to the flags; an interrupt gate holds interrupts.
    private func clearFlags(_ gate: Descriptor) {
        s.cpu.pointee.systemFlags &= ~(RFLAGS.tf | RFLAGS.nt | RFLAGS.rf | RFLAGS.vm)
        if gate.type & 1 == 0 { s.cpu.pointee.systemFlags &= ~RFLAGS.interrupt }
    }

    // MARK: Long mode

    private func deliverLong(_ vector: UInt8, _ kind: EventKind, _ code: UInt32?) -> Bool {
        guard let gate = gate(vector, kind), let handler = handlerCode(gate) else { return false }
        let level = s.cpu.pointee.cpl
        let isInner = !handler.isConforming && handler.dpl < level
        let newLevel = isInner ? handler.dpl : level
        var inner: InnerStack?
        var stack = Stack(
            segment: SegmentRegister(), pointer: s[Register.rsp], mask: .max, privilege: privilege(level: newLevel),
            code: system.external)
        if isInner || gate.stackTable != 0 {
            guard let found = innerStack(level: newLevel, table: gate.stackTable) else { return false }
            (inner, stack) = (found, found.stack)
        }
        stack.pointer &= ~0xf
        guard SoftMemory.isCanonical(gate.gateOffset) else { return fail(Vector.gp, system.external) }
        guard stack.push(self, UInt64(s.segment(Segment.ss).pointee.selector), 8),
            stack.push(self, s[Register.rsp], 8), stack.push(self, savedFlags(kind), 8),
            stack.push(self, UInt64(s.segment(Segment.cs).pointee.selector), 8), stack.push(self, s.rip, 8)
        else { return false }
        if let code, !stack.push(self, UInt64(code), 8) { return false }
        guard markAccessed(handler) else { return false }
        clearFlags(gate)
        setCode(handler, level: newLevel)
        if isInner, let inner { setStack(inner, level: newLevel) }
        s[Register.rsp] = stack.pointer
        s.rip = gate.gateOffset
        return true
    }
}
