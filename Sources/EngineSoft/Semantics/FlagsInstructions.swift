// CLI, STI, PUSHF, POPF, CLAC, STAC. Source: SDM volume 2, at their names; volume 3, 6.8.1, 20.2.7. CR4.VME and CR4.PVI do not exist here.

let clearInterrupts: Handler = { s, p in
    guard mayChangeInterrupts(s) else { return raise(s, p, Vector.gp, code: 0) }
    s.cpu.pointee.systemFlags &= ~RFLAGS.interrupt
    return following(p)
}

let setInterrupts: Handler = { s, p in
    guard mayChangeInterrupts(s) else { return raise(s, p, Vector.gp, code: 0) }
    if s.cpu.pointee.systemFlags & RFLAGS.interrupt == 0 {
        s.cpu.pointee.systemFlags |= RFLAGS.interrupt
        // One more instruction runs before an interrupt is taken.
        s.cpu.pointee.inShadow = true
    }
    return retire(s, p)
}

/// In real mode the privilege level is 0, in virtual-8086 mode it is 3.
@inline(__always)
private func mayChangeInterrupts(_ s: S) -> Bool {
    UInt64(s.cpu.pointee.cpl) <= s.cpu.pointee.systemFlags >> 12 & 3
}

/// IOPL-sensitive in virtual-8086 mode.
@inline(__always)
private func isHeldByIOPL(_ s: S) -> Bool {
    let flags = s.cpu.pointee.systemFlags
    return flags & RFLAGS.vm != 0 && flags & RFLAGS.iopl != RFLAGS.iopl
}

let pushFlags: Handler = { s, p in
    if isHeldByIOPL(s) { return raise(s, p, Vector.gp, code: 0) }
    // VM and RF are stored as 0.
    let flags = s.cpu.rflags & ~(RFLAGS.vm | RFLAGS.rf)
    if s.cpu.pointee.mode.contains(.code64), p.operandSize == 8 {
        let top = s[Register.rsp] &- 8
        guard s.write(p, top, flags) else { return abort(s, p) }
        s[Register.rsp] = top
        return following(p)
    }
    return call(s, p) { $0.pushFlags(p, flags) }
}

let popFlags: Handler = { s, p in
    if isHeldByIOPL(s) { return raise(s, p, Vector.gp, code: 0) }
    return call(s, p) { $0.popFlags(p) }
}

/// CLAC and STAC, which are for ring 0 of protected mode.
let setAlignmentCheck: Handler = { s, p in
    let cpu = s.cpu
    guard cpu.pointee.cpl == 0 else { return raise(s, p, Vector.ud) }
    if p.op.pointee.extra2 != 0 {
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
        guard let value = stack.pop(self, size) else { return abort(s, p) }
        s[Register.rsp] = stack.pointer
        let old = s.cpu.pointee.systemFlags
        setFlags(value, mask: changeableFlags(size: size))
        s.cpu.pointee.systemFlags &= ~RFLAGS.rf
        // What blocks depend on has changed only with AC.
        if (old ^ s.cpu.pointee.systemFlags) & RFLAGS.ac != 0 { updateMode() }
        return retire(s, p)
    }
}
