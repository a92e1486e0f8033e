// Near JMP, CALL, RET, Jcc, LOOP and JCXZ. Source: SDM volume 2.

let jumpDirect: Handler = { s, p in jump(s, p.op.pointee.imm64, 0) }

/// A target as the operand size has it.
@inline(__always)
private func target(_ s: S, _ p: P, _ offset: UInt64) -> UInt64 {
    let target = s.rip &+ offset
    if s.run.pointee.mode.contains(.code64) { return target }
    return target & (p.op.pointee.size == 2 ? 0xffff : 0xffff_ffff)
}

let jumpDirectChecked: Handler = { s, p in jumpChecked(s, p, to: target(s, p, p.op.pointee.imm64)) }

let jccChecked: Handler = { s, p in
    if s.cpu.condition(p.op.pointee.condition) {
        return jumpChecked(s, p, to: target(s, p, p.op.pointee.imm64))
    }
    s.rip = s.rip(after: p)
    return toRunLoop
}

/// LOOP, LOOPE, LOOPNE, JCXZ: the count has the address size.
let loopOrJCXZ: Handler = { s, p in
    let addressSize = p.op.pointee.addressSize
    let opcode = p.op.pointee.opcode
    var count = s.getRegister(Register.rcx, addressSize)
    var isTaken = count == 0
    if opcode != 0xe3 {
        count = count &- 1
        let mask: UInt64 = addressSize == 2 ? 0xffff : addressSize == 4 ? 0xffff_ffff : .max
        isTaken = count & mask != 0
        if opcode == 0xe1 { isTaken = isTaken && s.cpu.zero }
        if opcode == 0xe0 { isTaken = isTaken && !s.cpu.zero }
    }
    if isTaken {
        let target = target(s, p, p.op.pointee.imm64)
        let isOutside = !s.run.pointee.mode.contains(.code64) && target > UInt64(s.segment(Segment.cs).pointee.limit)
        if isOutside { return raise(s, p, Vector.gp, code: 0) }
    }
    if opcode != 0xe3 { s.putRegister(Register.rcx, addressSize, count) }
    let mode = s.run.pointee.mode
    if mode.contains(.code64) || (mode.contains(.flat) && p.op.pointee.size == 4) {
        return isTaken
            ? jump(s, p.op.pointee.imm64, 0)
            : jump(s, UInt64(p.op.pointee.offset) &+ UInt64(p.op.pointee.length), 1)
    }
    s.rip = isTaken ? target(s, p, p.op.pointee.imm64) : s.rip(after: p)
    return toRunLoop
}

// MARK: CALL

@inline(__always)
private func callPlain<T: Word>(_ s: S, _ p: P, _: T.Type) -> Bool {
    let new = (s[Register.rsp] &- UInt64(T.bitWidth / 8)) & s.run.pointee.linearMask
    guard s.write(p, new, T(truncatingIfNeeded: s.rip(after: p))) else { return false }
    s[Register.rsp] = new
    return true
}

let callDirect64: Handler = { s, p in
    callPlain(s, p, UInt64.self) ? jump(s, p.op.pointee.imm64, 0) : abort(s, p)
}

let callDirect32: Handler = { s, p in
    callPlain(s, p, UInt32.self) ? jump(s, p.op.pointee.imm64, 0) : abort(s, p)
}

/// Whether RIP may go there; false: #GP(0) is left.
private func allowsTarget(_ s: S, _ target: UInt64) -> Bool {
    let isAllowed =
        s.run.pointee.mode.contains(.code64)
        ? SoftMemory.isCanonical(target) : target <= UInt64(s.segment(Segment.cs).pointee.limit)
    if !isAllowed { s.setFault(Vector.gp, code: 0) }
    return isAllowed
}

private func callChecked(_ s: S, _ p: P, to target: UInt64) -> P {
    let size = p.op.pointee.size
    guard allowsTarget(s, target), s.pushValue(p, size, s.rip(after: p)) else { return abort(s, p) }
    s.rip = target
    return toRunLoop
}

let callDirectChecked: Handler = { s, p in callChecked(s, p, to: target(s, p, p.op.pointee.imm64)) }

let callRegisterChecked: Handler = { s, p in
    callChecked(s, p, to: s.getRegister(p.op.pointee.src, p.op.pointee.size))
}

let callRegister64: Handler = { s, p in
    let target = s[p.op.pointee.src]
    guard SoftMemory.isCanonical(target) else {
        // Faults of the push come first, and nothing is pushed.
        let top = s[Register.rsp] &- 8
        s.mayExit(p)
        let isPushed = s.run.pointee.owner._withUnsafeGuaranteedRef {
            $0.memory.translateBoth(s, top, 8, .write) != nil
        }
        return isPushed ? raise(s, p, Vector.gp, code: 0) : abort(s, p)
    }
    return callPlain(s, p, UInt64.self) ? jump(s, to: target) : abort(s, p)
}

let callRegister32: Handler = { s, p in
    let target = UInt64(s.get(p.op.pointee.src, as: UInt32.self))
    return callPlain(s, p, UInt32.self) ? jump(s, to: target) : abort(s, p)
}

// MARK: JMP

let jumpRegister64: Handler = { s, p in
    let target = s[p.op.pointee.src]
    return SoftMemory.isCanonical(target) ? jump(s, to: target) : raise(s, p, Vector.gp, code: 0)
}

let jumpRegister32: Handler = { s, p in jump(s, to: UInt64(s.get(p.op.pointee.src, as: UInt32.self))) }

let jumpRegisterChecked: Handler = { s, p in
    jumpChecked(s, p, to: s.getRegister(p.op.pointee.src, p.op.pointee.size))
}

// MARK: RET; imm: bytes to drop

let return64: Handler = { s, p in
    let old = s[Register.rsp]
    guard let target = s.read(p, old, as: UInt64.self) else { return abort(s, p) }
    guard SoftMemory.isCanonical(target) else { return raise(s, p, Vector.gp, code: 0) }
    s[Register.rsp] = old &+ 8 &+ (p.imm & 0xffff)
    return jump(s, to: target)
}

let return32: Handler = { s, p in
    let old = s[Register.rsp] & 0xffff_ffff
    guard let target = s.read(p, old, as: UInt32.self) else { return abort(s, p) }
    s[Register.rsp] = (old &+ 4 &+ (p.imm & 0xffff)) & 0xffff_ffff
    return jump(s, to: UInt64(target))
}

let returnChecked: Handler = { s, p in
    let size = p.op.pointee.size
    guard let target = s.readStack(p, s.stackPointer, size), allowsTarget(s, target) else { return abort(s, p) }
    s.setStackPointer(s.stackPointer &+ UInt64(size) &+ (p.imm & 0xffff))
    s.rip = target
    return toRunLoop
}
