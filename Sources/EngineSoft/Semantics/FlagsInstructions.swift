// CLI, STI, PUSHF, POPF, CLAC, STAC. Source: SDM volume 2, at their names; volume 3, 6.8.1, 20.2.7, 20.3 (CR4.VME), 20.4 (CR4.PVI).

/// Whose interrupt flag CLI, STI and their relatives reach.
enum InterruptFlag {
    /// IF: the privilege level is at most IOPL. In real mode it is 0, in virtual-8086 mode 3.
    case real
    /// VIF, which CR4.VME gives to virtual-8086 mode and CR4.PVI to ring 3.
    case virtual
    /// #GP(0)
    case none
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    var interruptFlag: InterruptFlag {
        let flags = cpu.pointee.systemFlags
        return UInt64(cpu.pointee.cpl) <= flags &>> 12 & 3 ? .real : lesserInterruptFlag
    }

    @inline(never)
    private var lesserInterruptFlag: InterruptFlag {
        let bit = cpu.pointee.systemFlags & RFLAGS.vm != 0 ? CR4.vme : CR4.pvi
        return cpu.pointee.cpl == 3 && cpu.pointee.cr4 & bit != 0 ? .virtual : .none
    }

    /// How PUSHF, POPF and IRET see the flags in virtual-8086 mode; elsewhere they are the real ones. VIF is for operands of 16 bits.
    func flagsImage(_ size: UInt8) -> InterruptFlag {
        guard cpu.pointee.systemFlags & RFLAGS.vm != 0 else { return .real }
        let flag = interruptFlag
        return flag == .virtual && size != 2 ? .none : flag
    }
}

let clearInterrupts: Handler = { s, p in
    switch s.interruptFlag {
    case .real: s.cpu.pointee.systemFlags &= ~RFLAGS.interrupt
    case .virtual: s.cpu.pointee.systemFlags &= ~RFLAGS.vif
    case .none: return raise(s, p, Vector.gp, code: 0)
    }
    return following(p)
}

let setInterrupts: Handler = { s, p in
    switch s.interruptFlag {
    case .real:
        if s.cpu.pointee.systemFlags & RFLAGS.interrupt == 0 {
            s.cpu.pointee.systemFlags |= RFLAGS.interrupt
            // One more instruction runs before an interrupt is taken.
            s.cpu.pointee.inShadow = true
        }
    case .virtual:
        // An interrupt waits: the monitor delivers it.
        if s.cpu.pointee.systemFlags & RFLAGS.vip != 0 { return raise(s, p, Vector.gp, code: 0) }
        s.cpu.pointee.systemFlags |= RFLAGS.vif
    case .none: return raise(s, p, Vector.gp, code: 0)
    }
    return retire(s, p)
}

let pushFlags: Handler = { s, p in
    // VM and RF are stored as 0.
    var flags = s.cpu.rflags & ~(RFLAGS.vm | RFLAGS.rf)
    switch s.flagsImage(p.operandSize) {
    case .real: break
    case .virtual: flags = virtualImage(flags)
    case .none: return raise(s, p, Vector.gp, code: 0)
    }
    let mode = s.run.pointee.mode
    if mode.contains(.code64), p.operandSize == 8, mode.isDisjoint(with: [.alignment, .dataBreakpoints]) {
        let top = s[Register.rsp] &- 8
        guard s.write(p, top, flags) else { return abort(s, p) }
        s[Register.rsp] = top
        return following(p)
    }
    return call(s, p) { $0.pushFlags(p, flags) }
}

/// What an 8086 program with a virtual interrupt flag finds on its stack: VIF as IF, and an IOPL of 3.
func virtualImage(_ flags: UInt64) -> UInt64 {
    (flags & ~RFLAGS.interrupt) | (flags & RFLAGS.vif) >> 10 | RFLAGS.iopl
}

let popFlags: Handler = { s, p in call(s, p) { $0.popFlags(p) } }

/// CLAC and STAC, which are for ring 0 of protected mode.
let setAlignmentCheck: Handler = { s, p in
    let cpu = s.cpu
    guard cpu.pointee.cpl == 0 else { return raise(s, p, Vector.ud) }
    if p.op.pointee.which != 0 {
        cpu.pointee.systemFlags |= RFLAGS.ac
    } else {
        cpu.pointee.systemFlags &= ~RFLAGS.ac
    }
    return call(s, p) { cpu in
        cpu.updateMode()
        return retire(s, p)
    }
}

extension SoftCPU {
    func pushFlags(_ p: P, _ flags: UInt64) -> P {
        var stack = stack
        guard stack.push(self, flags, p.operandSize) else { return abort(s, p) }
        s[Register.rsp] = stack.pointer
        return following(p)
    }

    func popFlags(_ p: P) -> P {
        var stack = stack
        let size = p.operandSize
        let image = s.flagsImage(size)
        guard image != .none else { return raise(s, p, Vector.gp, code: 0) }
        guard let value = stack.pop(self, size) else { return abort(s, p) }
        let old = s.cpu.pointee.systemFlags
        if image == .real {
            setFlags(value, mask: changeableFlags(size: size))
        } else if !setVirtualFlags(value) {
            return abort(s, p)
        }
        s[Register.rsp] = stack.pointer
        s.cpu.pointee.systemFlags &= ~RFLAGS.rf
        // What blocks depend on has changed only with AC.
        if (old ^ s.cpu.pointee.systemFlags) & RFLAGS.ac != 0 { updateMode() }
        return retire(s, p)
    }

    /// Loads flags as an 8086 program with a virtual interrupt flag may: IF goes to VIF. false: #GP(0) is left, for TF, and for interrupts that
    /// would be enabled while one waits (SDM volume 2, POPF and IRET).
    func setVirtualFlags(_ value: UInt64) -> Bool {
        let enables = value & RFLAGS.interrupt != 0
        if value & RFLAGS.tf != 0 || enables && s.cpu.pointee.systemFlags & RFLAGS.vip != 0 {
            return fail(Vector.gp, 0)
        }
        setFlags(
            value | (enables ? RFLAGS.vif : 0), mask: RFLAGS.status | RFLAGS.tf | RFLAGS.df | RFLAGS.nt | RFLAGS.vif)
        return true
    }
}
