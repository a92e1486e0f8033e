// Task switches through a TSS, of both kinds. Source: SDM volume 3, chapter 7: 7.2.1 and 7.6 (layouts), 7.3 (steps and their faults),
// 7.4 (links). There are none in long mode.

import CBackplane

/// What starts a task switch.
enum TaskSwitchCause {
    case jump, call, iret
    /// A task gate in the IDT; the error code goes on the new task's stack.
    case gate(isSoftware: Bool, code: UInt32?)

    /// The old task stays busy and is linked to.
    var isNested: Bool {
        switch self {
        case .call, .gate: true
        default: false
        }
    }
    var isReturn: Bool {
        if case .iret = self { return true }
        return false
    }
}

/// The fields of a TSS that a switch loads.
private struct TaskState {
    var cr3: UInt64 = 0
    var rip: UInt64 = 0
    var flags: UInt64 = 0
    /// EAX ECX EDX EBX ESP EBP ESI EDI
    var general: [UInt64] = []
    /// ES CS SS DS FS GS
    var segments: [UInt16] = []
    var ldt: UInt16 = 0
    var traps = false
}

/// Where the fields are.
private struct TaskLayout {
    let is32: Bool

    var width: UInt8 { is32 ? 4 : 2 }
    var minimumLimit: UInt32 { is32 ? 0x67 : 0x2b }
    var rip: UInt64 { is32 ? 0x20 : 0x0e }
    var flags: UInt64 { is32 ? 0x24 : 0x10 }
    func general(_ index: Int) -> UInt64 { is32 ? 0x28 + UInt64(index) * 4 : 0x12 + UInt64(index) * 2 }
    func segment(_ index: Int) -> UInt64 { is32 ? 0x48 + UInt64(index) * 4 : 0x22 + UInt64(index) * 2 }
    var segmentCount: Int { is32 ? 6 : 4 }
    var ldt: UInt64 { is32 ? 0x60 : 0x2a }
}

extension SoftCPU {
    /// false: a fault is left; with `system.hasSwitched` it is the new task's, and RIP is its.
    func switchTask(
        to selector: UInt16, _ cause: TaskSwitchCause, returnRIP: UInt64, flags: UInt64? = nil, at p: P? = nil
    ) -> Bool {
        system.hasSwitched = false
        if let decided = askTaskSwitch(selector, returnRIP, p) { return decided }
        guard let target = taskDescriptor(selector, cause) else { return false }
        let layout = TaskLayout(is32: target.type & 8 != 0)
        guard target.limit >= layout.minimumLimit else { return fail(Vector.ts, selector: selector) }
        guard let state = readTask(target.base, layout) else { return false }
        let old = s.segment(Segment.tr).pointee
        var saved = flags ?? s.cpu.rflags
        if cause.isReturn { saved &= ~RFLAGS.nt }
        guard saveTask(old, returnRIP, saved) else { return false }
        if !cause.isNested, let address = descriptorAddress(old.selector) {
            guard let descriptor = descriptor(at: address, old.selector), setBusy(descriptor, false) else {
                return false
            }
        }
        if cause.isNested, !systemWrite(target.base, old.selector) { return false }
        if !cause.isReturn, !setBusy(target, true) { return false }
        system.hasSwitched = true
        loadedResumeFlag = isStepping
        var register = target.register
        register.attributes |= 2
        s.segment(Segment.tr).pointee = register
        s.cpu.pointee.cr0 |= CR0.ts
        s.debugRegister(7).pointee &= ~0x155
        let isDone = loadTask(state, layout, cause)
        updateMode()
        return isDone
    }

    /// not nil: a policy has decided.
    private func askTaskSwitch(_ selector: UInt16, _ returnRIP: UInt64, _ p: P?) -> Bool? {
        guard intercepts(BP_EXIT_TASK_SWITCH, UInt64(selector)) else { return nil }
        var exit = makeExit(
            BP_EXIT_TASK_SWITCH, rip: p.map { s.rip(at: $0) } ?? s.rip, length: p?.op.pointee.length ?? 0)
        exit.address = UInt64(selector)
        switch send(&exit) {
        case .unhandled: return nil
        case .handled:
            s.rip = returnRIP
            return true
        case .inject(let vector, let code):
            if let code { s.setFault(vector, code: code) } else { s.setFault(vector) }
            return false
        }
    }

    /// The TSS to change to; nil: a fault is left.
    private func taskDescriptor(_ selector: UInt16, _ cause: TaskSwitchCause) -> Descriptor? {
        let invalid = cause.isReturn ? Vector.ts : Vector.gp
        guard selector & 4 == 0, selector & 0xfffc != 0 else {
            s.setFault(invalid, code: selectorCode(selector))
            return nil
        }
        guard let descriptor = descriptor(selector, outside: invalid) else { return nil }
        let wanted: UInt16 = cause.isReturn ? 3 : 1
        guard !descriptor.isSegment, descriptor.type & 7 == wanted else {
            s.setFault(invalid, code: selectorCode(selector))
            return nil
        }
        guard descriptor.isPresent else {
            s.setFault(Vector.np, code: selectorCode(selector))
            return nil
        }
        return descriptor
    }

    // MARK: The structure in memory

    private func readField(_ address: UInt64, _ width: UInt8) -> UInt64? {
        if width == 4 { return systemRead(address, UInt32.self).map { UInt64($0) } }
        return systemRead(address, UInt16.self).map { UInt64($0) }
    }

    private func writeField(_ address: UInt64, _ value: UInt64, _ width: UInt8) -> Bool {
        if width == 4 { return systemWrite(address, UInt32(truncatingIfNeeded: value)) }
        return systemWrite(address, UInt16(truncatingIfNeeded: value))
    }

    private func readTask(_ base: UInt64, _ layout: TaskLayout) -> TaskState? {
        var state = TaskState()
        guard let rip = readField(base &+ layout.rip, layout.width),
            let flags = readField(base &+ layout.flags, layout.width),
            let ldt = systemRead(base &+ layout.ldt, UInt16.self)
        else { return nil }
        (state.rip, state.flags, state.ldt) = (rip, flags, ldt)
        for index in 0..<8 {
            guard let value = readField(base &+ layout.general(index), layout.width) else { return nil }
            state.general.append(value)
        }
        for index in 0..<layout.segmentCount {
            guard let value = systemRead(base &+ layout.segment(index), UInt16.self) else { return nil }
            state.segments.append(value)
        }
        guard layout.is32 else { return state }
        guard let cr3 = systemRead(base &+ 0x1c, UInt32.self), let word = systemRead(base &+ 0x64, UInt16.self)
        else { return nil }
        state.cr3 = UInt64(cr3)
        state.traps = word & 1 != 0
        return state
    }

    private func saveTask(_ task: SegmentRegister, _ rip: UInt64, _ flags: UInt64) -> Bool {
        let layout = TaskLayout(is32: task.type & 8 != 0)
        guard task.limit >= layout.minimumLimit else { return fail(Vector.ts, selector: task.selector) }
        guard writeField(task.base &+ layout.rip, rip, layout.width),
            writeField(task.base &+ layout.flags, flags, layout.width)
        else { return false }
        for index in 0..<8 {
            let value = s[Register.general(index)]
            guard writeField(task.base &+ layout.general(index), value, layout.width) else { return false }
        }
        for index in 0..<layout.segmentCount {
            let selector = s.segment(index).pointee.selector
            guard systemWrite(task.base &+ layout.segment(index), selector) else { return false }
        }
        return true
    }

    // MARK: The new task

    private func loadTask(_ state: TaskState, _ layout: TaskLayout, _ cause: TaskSwitchCause) -> Bool {
        let task = s.segment(Segment.tr).pointee.selector
        for (index, value) in state.general.enumerated() {
            // 16-bit tasks leave the upper halves as they are.
            let register = Register.general(index)
            s[register] = layout.is32 ? value : s[register] & 0xffff_0000 | value
        }
        s.rip = state.rip
        s.cpu.rflags = state.flags & (layout.is32 ? 0x3f_7fd7 : 0x7fd7)
        if cause.isNested { s.cpu.pointee.systemFlags |= RFLAGS.nt }
        // Selectors first: a fault finds them all, and nothing that could be used.
        for number in 0..<6 {
            setNull(number, number < state.segments.count ? state.segments[number] : 0, level: s.cpu.pointee.cpl)
        }
        if layout.is32, s.cpu.pointee.cr0 & CR0.pg != 0, !setCR3(state.cr3) { return fail(Vector.ts, selector: task) }
        if state.traps { s.cpu.pointee.pendingDebug |= 1 << 15 }
        setNull(Segment.ldtr, state.ldt)
        guard loadLDT(state.ldt, invalid: Vector.ts) else { return false }
        guard loadTaskSegments(state) else { return false }
        if case .gate(_, let code?) = cause {
            updateMode()
            var stack = deliveryStack
            guard stack.push(self, UInt64(code), layout.width) else { return false }
            s[Register.rsp] = stack.pointer
        }
        return s.rip <= UInt64(s.segment(Segment.cs).pointee.limit) ? true : fail(Vector.gp, system.external)
    }

    private func loadTaskSegments(_ state: TaskState) -> Bool {
        if isVirtual8086 {
            s.cpu.pointee.cpl = 3
            for (number, selector) in state.segments.enumerated() { setRealSegment(number, selector) }
            return true
        }
        let selector = state.segments[Segment.cs]
        let level = UInt8(selector & 3)
        s.cpu.pointee.cpl = level
        // SS before CS (table 7-1): what is wrong with CS is reported on the new stack.
        guard let stack = stackDescriptor(state.segments[Segment.ss], level: level, invalid: Vector.ts),
            markAccessed(stack)
        else { return false }
        s.segment(Segment.ss).pointee = stack.register
        guard selector & 0xfffc != 0 else { return fail(Vector.ts, selector: selector) }
        guard let code = descriptor(selector, outside: Vector.ts) else { return false }
        guard code.isCode, code.isConforming ? code.dpl <= level : code.dpl == level else {
            return fail(Vector.ts, selector: selector)
        }
        guard code.isPresent else { return fail(Vector.np, selector: selector) }
        guard markAccessed(code) else { return false }
        setCode(code, level: level)
        for (number, selector) in state.segments.enumerated() where number != Segment.cs && number != Segment.ss {
            guard loadSegment(number, selector) else {
                // What is wrong with a segment is wrong with the TSS.
                if s.run.pointee.fault.vector == Vector.gp { s.run.pointee.fault.vector = Vector.ts }
                return false
            }
        }
        return true
    }

    // MARK: IRET

    /// With NT set: back to the task that the TSS links to.
    func returnTask(_ p: P) -> Bool {
        system.hasSwitched = false
        guard let link = systemRead(s.segment(Segment.tr).pointee.base, UInt16.self) else { return false }
        return switchTask(to: link, .iret, returnRIP: s.rip(after: p), at: p)
    }
}
