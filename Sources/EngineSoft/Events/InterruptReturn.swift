// IRET. Source: SDM volume 2, IRET; volume 3, 6.14.3.

let interruptReturn: Handler = { s, p in call(s, p) { $0.interruptReturn(p) } }

extension SoftCPU {
    func interruptReturn(_ p: P) -> P {
        system.hasSwitched = false
        let isDone: Bool
        if s.cpu.pointee.cr0 & CR0.pe == 0 {
            isDone = returnReal(p.operandSize)
        } else if isVirtual8086 {
            let image = s.flagsImage(p.operandSize)
            isDone = image == .none ? fail(Vector.gp, 0) : returnReal(p.operandSize, isVirtual: image == .virtual)
        } else if s.cpu.pointee.systemFlags & RFLAGS.nt != 0 {
            isDone = isLongMode ? fail(Vector.gp, 0) : returnTask(p)
        } else {
            isDone = returnProtected(p.operandSize)
        }
        guard isDone else { return system.hasSwitched ? toRunLoop : abort(s, p) }
        // NMIs are let through again (SDM volume 3, 6.7.1).
        s.cpu.pointee.inNMI = false
        loadedResumeFlag = isStepping
        updateMode()
        return toRunLoop
    }

    // MARK: Flags

    /// Which flags IRET and POPF may change here (SDM volume 2, POPF, table 4-21).
    func changeableFlags(size: UInt8) -> UInt64 {
        let cpu = s.cpu
        var mask = RFLAGS.status | RFLAGS.tf | RFLAGS.df | RFLAGS.nt
        if size > 2 { mask |= RFLAGS.ac | RFLAGS.id }
        let level = UInt64(cpu.pointee.cpl)
        if level == 0 { mask |= RFLAGS.iopl }
        if level <= cpu.pointee.systemFlags >> 12 & 3 { mask |= RFLAGS.interrupt }
        return mask
    }

    func setFlags(_ value: UInt64, mask: UInt64) {
        let cpu = s.cpu
        cpu.rflags = cpu.rflags & ~mask | value & mask
    }

    // MARK: Real and virtual-8086 mode

    /// `isVirtual`: the interrupt flag is VIF.
    private func returnReal(_ size: UInt8, isVirtual: Bool = false) -> Bool {
        var stack = stack
        guard let rip = stack.pop(self, size), let selector = stack.pop(self, size), let flags = stack.pop(self, size)
        else { return false }
        guard rip <= UInt64(s.segment(Segment.cs).pointee.limit) else { return fail(Vector.gp, 0) }
        if isVirtual {
            guard setVirtualFlags(flags) else { return false }
        } else {
            var mask = RFLAGS.status | RFLAGS.tf | RFLAGS.df | RFLAGS.nt | RFLAGS.interrupt
            if !isVirtual8086 { mask |= RFLAGS.iopl }
            if size > 2 { mask |= RFLAGS.ac | RFLAGS.id | RFLAGS.rf }
            setFlags(flags, mask: mask)
        }
        s[Register.rsp] = stack.pointer
        if size == 2 { s.cpu.pointee.systemFlags &= ~RFLAGS.rf }
        setRealCode(UInt16(truncatingIfNeeded: selector))
        s.rip = rip
        return true
    }

    // MARK: Protected and long mode

    private func returnProtected(_ size: UInt8) -> Bool {
        var stack = stack
        guard let rip = stack.pop(self, size), let selector = stack.pop(self, size), let flags = stack.pop(self, size)
        else { return false }
        if !isLongMode, size == 4, flags & RFLAGS.vm != 0, s.cpu.pointee.cpl == 0 {
            return returnVirtual8086(&stack, rip, UInt16(truncatingIfNeeded: selector), flags)
        }
        guard let code = returnDescriptor(UInt16(truncatingIfNeeded: selector)) else { return false }
        var mask = changeableFlags(size: size)
        if size > 2 { mask |= RFLAGS.rf | (s.cpu.pointee.cpl == 0 ? RFLAGS.vif | RFLAGS.vip : 0) }
        // 64-bit mode always has SS and RSP in the frame.
        let isOuter = code.rpl > s.cpu.pointee.cpl || is64
        guard isWithin(code, rip) else { return fail(Vector.gp, 0) }
        if isOuter {
            guard let pointer = stack.pop(self, size), let popped = stack.pop(self, size) else { return false }
            guard returnOuter(code, UInt16(truncatingIfNeeded: popped), pointer, size: size) else { return false }
        } else {
            guard markAccessed(code) else { return false }
            s[Register.rsp] = stack.pointer
            setCode(code, level: code.rpl)
        }
        if size == 2 { s.cpu.pointee.systemFlags &= ~RFLAGS.rf }
        setFlags(flags, mask: mask)
        s.rip = rip
        return true
    }

    private func returnVirtual8086(_ stack: inout Stack, _ rip: UInt64, _ selector: UInt16, _ flags: UInt64) -> Bool {
        guard let pointer = stack.pop(self, 4) else { return false }
        var selectors: [UInt16] = []
        for _ in 0..<5 {
            guard let value = stack.pop(self, 4) else { return false }
            selectors.append(UInt16(truncatingIfNeeded: value))
        }
        guard rip <= 0xffff else { return fail(Vector.gp, 0) }
        s.cpu.rflags = flags & 0x3f_7fd7
        s.cpu.pointee.cpl = 3
        setRealSegment(Segment.cs, selector)
        for (number, selector) in zip([Segment.ss, Segment.es, Segment.ds, Segment.fs, Segment.gs], selectors) {
            setRealSegment(number, selector)
        }
        s[Register.rsp] = pointer
        s.rip = rip
        return true
    }
}
