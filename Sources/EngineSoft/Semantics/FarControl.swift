// Far jumps, calls and returns. Source: SDM volume 2, JMP, CALL, RET; volume 3, 5.8.

let jumpFar: Handler = { s, p in call(s, p) { $0.jumpFar(p) } }
let callFar: Handler = { s, p in call(s, p) { $0.callFar(p) } }
let returnFar: Handler = { s, p in call(s, p) { $0.returnFar(p) } }

extension SoftCPU {
    /// Selector and offset, in the instruction or in memory. nil: a fault is left.
    private func target(_ p: P) -> (selector: UInt16, offset: UInt64)? {
        if p.isMemory { return farPointer(p) }
        return (UInt16(truncatingIfNeeded: p.op.pointee.imm2), p.op.pointee.imm64)
    }

    /// The block's end after a far transfer that went well.
    private func arrive(_ rip: UInt64) -> P {
        s.rip = rip
        updateMode()
        return toRunLoop
    }

    /// The descriptor that a far jump or call names: a present code segment that may be entered directly, or a system descriptor,
    /// whose checks are to be done. nil: a fault is left.
    private func transferDescriptor(_ selector: UInt16) -> Descriptor? {
        guard selector & 0xfffc != 0 else {
            s.setFault(Vector.gp, code: 0)
            return nil
        }
        guard let descriptor = descriptor(selector) else { return nil }
        guard descriptor.isSegment else { return descriptor }
        let level = s.cpu.pointee.cpl
        let isAllowed =
            descriptor.isConforming
            ? descriptor.dpl <= level : descriptor.rpl <= level && descriptor.dpl == level
        guard descriptor.isCode, isAllowed, !(isLongMode && descriptor.isLong && descriptor.isBig) else {
            s.setFault(Vector.gp, code: selectorCode(selector))
            return nil
        }
        guard descriptor.isPresent else {
            s.setFault(Vector.np, code: selectorCode(selector))
            return nil
        }
        return descriptor
    }

    // MARK: JMP

    func jumpFar(_ p: P) -> P {
        guard let (selector, offset) = target(p) else { return abort(s, p) }
        guard isProtected else {
            guard offset <= UInt64(s.segment(Segment.cs).pointee.limit) else { return raise(s, p, Vector.gp, code: 0) }
            setRealCode(selector)
            return arrive(offset)
        }
        guard let descriptor = transferDescriptor(selector) else { return abort(s, p) }
        if !descriptor.isSegment { return transferBySystem(descriptor, p, isCall: false) }
        guard isWithin(descriptor, offset) else { return raise(s, p, Vector.gp, code: 0) }
        guard markAccessed(descriptor) else { return abort(s, p) }
        setCode(descriptor, level: s.cpu.pointee.cpl)
        return arrive(offset)
    }

    // MARK: CALL

    func callFar(_ p: P) -> P {
        guard let (selector, offset) = target(p) else { return abort(s, p) }
        let size = p.operandSize
        let old = (selector: UInt64(s.segment(Segment.cs).pointee.selector), rip: s.rip(after: p))
        var stack = stack
        guard isProtected else {
            guard offset <= UInt64(s.segment(Segment.cs).pointee.limit) else { return raise(s, p, Vector.gp, code: 0) }
            guard stack.push(self, old.selector, size), stack.push(self, old.rip, size) else { return abort(s, p) }
            s[Register.rsp] = stack.pointer
            setRealCode(selector)
            return arrive(offset)
        }
        guard let descriptor = transferDescriptor(selector) else { return abort(s, p) }
        if !descriptor.isSegment { return transferBySystem(descriptor, p, isCall: true) }
        guard isWithin(descriptor, offset) else { return raise(s, p, Vector.gp, code: 0) }
        guard stack.push(self, old.selector, size), stack.push(self, old.rip, size) else { return abort(s, p) }
        guard markAccessed(descriptor) else { return abort(s, p) }
        s[Register.rsp] = stack.pointer
        setCode(descriptor, level: s.cpu.pointee.cpl)
        return arrive(offset)
    }

    // MARK: Gates and tasks

    private func transferBySystem(_ descriptor: Descriptor, _ p: P, isCall: Bool) -> P {
        let selector = descriptor.selector
        let isCallGate = isLongMode ? descriptor.type == 12 : descriptor.type & 7 == 4
        let isTask = !isLongMode && (descriptor.type == 5 || descriptor.type & 7 == 1)
        guard isCallGate || isTask else { return raise(s, p, Vector.gp, code: selectorCode(selector)) }
        let level = s.cpu.pointee.cpl
        guard descriptor.dpl >= level, descriptor.dpl >= descriptor.rpl else {
            return raise(s, p, Vector.gp, code: selectorCode(selector))
        }
        guard descriptor.isPresent else { return raise(s, p, Vector.np, code: selectorCode(selector)) }
        if isTask {
            let cause: TaskSwitchCause = isCall ? .call : .jump
            let task = descriptor.type == 5 ? descriptor.gateSelector : selector
            if switchTask(to: task, cause, returnRIP: s.rip(after: p), at: p) || system.hasSwitched { return toRunLoop }
            return abort(s, p)
        }
        return transferByGate(descriptor, p, isCall: isCall)
    }

    /// Through a call gate (SDM volume 3, 5.8.3 and 5.8.4).
    private func transferByGate(_ descriptor: Descriptor, _ p: P, isCall: Bool) -> P {
        var gate = descriptor
        if isLongMode, !extend(&gate) { return abort(s, p) }
        let selector = gate.gateSelector
        guard selector & 0xfffc != 0 else { return raise(s, p, Vector.gp, code: 0) }
        guard let code = self.descriptor(selector) else { return abort(s, p) }
        let level = s.cpu.pointee.cpl
        let isSame = code.isConforming || code.dpl == level
        guard code.isCode, code.dpl <= level, isCall || isSame, !isLongMode || (code.isLong && !code.isBig) else {
            return raise(s, p, Vector.gp, code: selectorCode(selector))
        }
        guard code.isPresent else { return raise(s, p, Vector.np, code: selectorCode(selector)) }
        guard isWithin(code, gate.gateOffset) else { return raise(s, p, Vector.gp, code: 0) }
        if !isSame { return callInner(gate, code, p) }
        if isCall {
            let size: UInt8 = isLongMode ? 8 : gate.type & 8 != 0 ? 4 : 2
            var stack = stack
            // From compatibility mode the pushes are of 64 bits on the stack as it is then.
            if isLongMode { stack.mask = .max }
            guard stack.push(self, UInt64(s.segment(Segment.cs).pointee.selector), size),
                stack.push(self, s.rip(after: p), size)
            else { return abort(s, p) }
            guard markAccessed(code) else { return abort(s, p) }
            s[Register.rsp] = stack.pointer
        } else if !markAccessed(code) {
            return abort(s, p)
        }
        setCode(code, level: level)
        return arrive(gate.gateOffset)
    }

    /// A call to an inner ring: its stack comes from the TSS, and parameters are copied.
    private func callInner(_ gate: Descriptor, _ code: Descriptor, _ p: P) -> P {
        let size: UInt8 = isLongMode ? 8 : gate.type & 8 != 0 ? 4 : 2
        let outer = stack
        guard let inner = innerStack(level: code.dpl) else { return abort(s, p) }
        var stack = inner.stack
        guard stack.push(self, UInt64(outer.segment.selector), size), stack.push(self, outer.pointer, size) else {
            return abort(s, p)
        }
        if !isLongMode, gate.gateCount > 0 {
            for index in (0..<gate.gateCount).reversed() {
                var parameter = outer
                parameter.release(UInt64(index) * UInt64(size))
                guard let value = parameter.pop(self, size), stack.push(self, value, size) else { return abort(s, p) }
            }
        }
        guard stack.push(self, UInt64(s.segment(Segment.cs).pointee.selector), size),
            stack.push(self, s.rip(after: p), size), markAccessed(code)
        else { return abort(s, p) }
        if let descriptor = inner.descriptor, !markAccessed(descriptor) { return abort(s, p) }
        setCode(code, level: code.dpl)
        setStack(inner, level: code.dpl)
        s[Register.rsp] = stack.pointer
        return arrive(gate.gateOffset)
    }

    // MARK: RET

    func returnFar(_ p: P) -> P {
        let size = p.operandSize
        let bytes = p.op.pointee.imm64 & 0xffff
        var stack = stack
        guard let rip = stack.pop(self, size), let popped = stack.pop(self, size) else { return abort(s, p) }
        let selector = UInt16(truncatingIfNeeded: popped)
        guard isProtected else {
            guard rip <= UInt64(s.segment(Segment.cs).pointee.limit) else { return raise(s, p, Vector.gp, code: 0) }
            stack.release(bytes)
            s[Register.rsp] = stack.pointer
            setRealCode(selector)
            return arrive(rip)
        }
        guard let code = returnDescriptor(selector) else { return abort(s, p) }
        guard isWithin(code, rip) else { return raise(s, p, Vector.gp, code: 0) }
        if code.rpl == s.cpu.pointee.cpl {
            guard markAccessed(code) else { return abort(s, p) }
            stack.release(bytes)
            s[Register.rsp] = stack.pointer
            setCode(code, level: code.rpl)
            return arrive(rip)
        }
        stack.release(bytes)
        guard let pointer = stack.pop(self, size), let stackSelector = stack.pop(self, size) else { return abort(s, p) }
        guard returnOuter(code, UInt16(truncatingIfNeeded: stackSelector), pointer, release: bytes, size: size) else {
            return abort(s, p)
        }
        return arrive(rip)
    }

    /// The code segment of a return: RETF and IRET. nil: a fault is left.
    func returnDescriptor(_ selector: UInt16) -> Descriptor? {
        guard selector & 0xfffc != 0 else {
            s.setFault(Vector.gp, code: 0)
            return nil
        }
        guard let code = descriptor(selector) else { return nil }
        let isAllowed = code.isConforming ? code.dpl <= code.rpl : code.dpl == code.rpl
        guard code.isCode, code.rpl >= s.cpu.pointee.cpl, isAllowed, !(isLongMode && code.isLong && code.isBig) else {
            s.setFault(Vector.gp, code: selectorCode(selector))
            return nil
        }
        guard code.isPresent else {
            s.setFault(Vector.np, code: selectorCode(selector))
            return nil
        }
        return code
    }

    /// CS, SS, RSP and CPL of a return to an outer ring, or in 64-bit mode of any IRET. false: a fault is left.
    func returnOuter(_ code: Descriptor, _ selector: UInt16, _ pointer: UInt64, release: UInt64 = 0, size: UInt8)
        -> Bool
    {
        let level = code.rpl
        var isBig = false
        if selector & 0xfffc == 0 {
            // A null SS is for 64-bit code above ring 3.
            guard isLongMode, code.isLong, level != 3, selector & 3 == UInt16(level) else { return fail(Vector.gp, 0) }
            guard markAccessed(code) else { return false }
            setNull(Segment.ss, selector, level: level)
        } else {
            guard let descriptor = stackDescriptor(selector, level: level, invalid: Vector.gp) else { return false }
            guard markAccessed(code), markAccessed(descriptor) else { return false }
            s.segment(Segment.ss).pointee = descriptor.register
            isBig = descriptor.isBig
        }
        let isOuter = level > s.cpu.pointee.cpl
        setCode(code, level: level)
        if isLongMode, code.isLong {
            s[Register.rsp] = pointer &+ release
        } else if isBig {
            s[Register.rsp] = (pointer &+ release) & 0xffff_ffff
        } else {
            // Bits 31:16 of ESP stay as they are.
            s[Register.rsp] = s[Register.rsp] & 0xffff_0000 | (pointer &+ release) & 0xffff
        }
        if isOuter { dropPrivilegedSegments() }
        return true
    }
}
