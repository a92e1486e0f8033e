// Operations combined with operand forms. Each function here is the body of a handler; Handlers.generated.swift lists the handlers,
// since a C function pointer can only be made where the types are spelled out.

/// Register, register.
@inline(__always)
func binaryRR<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let op = p.op
    let r = O.apply(s.cpu, s.get(op.pointee.dst, as: T.self), s.get(op.pointee.src, as: T.self))
    if O.writes { s.put(op.pointee.dst, r) }
    return next(s, p)
}

/// Register, immediate.
@inline(__always)
func binaryRI<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let op = p.op
    let r = O.apply(s.cpu, s.get(op.pointee.dst, as: T.self), T(truncatingIfNeeded: p.imm))
    if O.writes { s.put(op.pointee.dst, r) }
    return next(s, p)
}

/// Register, memory.
@inline(__always)
func binaryRM<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let op = p.op
    guard let b = s.read(p, linear(s, p), as: T.self) else { return abort(s, p) }
    let r = O.apply(s.cpu, s.get(op.pointee.dst, as: T.self), b)
    if O.writes { s.put(op.pointee.dst, r) }
    return next(s, p)
}

/// Memory, register.
@inline(__always)
func binaryMR<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    memoryDestination(s, p, O.self, s.get(p.op.pointee.src, as: T.self))
}

/// Memory, immediate.
@inline(__always)
func binaryMI<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    memoryDestination(s, p, O.self, T(truncatingIfNeeded: p.imm))
}

@inline(__always)
private func memoryDestination<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _ b: T) -> P {
    let address = linear(s, p)
    if O.self == Mov.self {
        return s.write(p, address, b) ? next(s, p) : abort(s, p)
    }
    if !O.writes {
        guard let a = s.read(p, address, as: T.self) else { return abort(s, p) }
        _ = O.apply(s.cpu, a, b)
        return next(s, p)
    }
    if let host = s.writable(address, as: T.self) {
        host.storeBytes(of: O.apply(s.cpu, host.loadUnaligned(as: T.self), b), as: T.self)
        return next(s, p)
    }
    guard slowModify(s, p, address, T.bitWidth / 8) else { return abort(s, p) }
    // The carry that ADC and SBB need is read before the flags change: a policy that refuses the write restores them.
    let flags = (s.cpu.pointee.result, s.cpu.pointee.carries, s.cpu.pointee.aux)
    let r = O.apply(s.cpu, T(truncatingIfNeeded: s.run.pointee.loaded), b)
    if slowWrite(s, p, address, T.bitWidth / 8, UInt64(truncatingIfNeeded: r)) { return next(s, p) }
    (s.cpu.pointee.result, s.cpu.pointee.carries, s.cpu.pointee.aux) = flags
    return abort(s, p)
}

@inline(__always)
func unaryR<O: UnaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let place = p.op.pointee.dst
    s.put(place, O.apply(s.cpu, s.get(place, as: T.self)))
    return next(s, p)
}

@inline(__always)
func unaryM<O: UnaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let address = linear(s, p)
    if let host = s.writable(address, as: T.self) {
        host.storeBytes(of: O.apply(s.cpu, host.loadUnaligned(as: T.self)), as: T.self)
        return next(s, p)
    }
    guard slowModify(s, p, address, T.bitWidth / 8) else { return abort(s, p) }
    let flags = (s.cpu.pointee.result, s.cpu.pointee.carries, s.cpu.pointee.aux)
    let r = O.apply(s.cpu, T(truncatingIfNeeded: s.run.pointee.loaded))
    if slowWrite(s, p, address, T.bitWidth / 8, UInt64(truncatingIfNeeded: r)) { return next(s, p) }
    (s.cpu.pointee.result, s.cpu.pointee.carries, s.cpu.pointee.aux) = flags
    return abort(s, p)
}

// MARK: Shifts: the count is an immediate (masked, not 0) or CL

@inline(__always)
func shiftRI<O: ShiftOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let place = p.op.pointee.dst
    s.put(place, O.apply(s.cpu, s.get(place, as: T.self), p.imm))
    return next(s, p)
}

@inline(__always)
func shiftCount<T: Word>(_ s: S, _: T.Type) -> UInt64 {
    UInt64(s.get(Register.rcx, as: UInt8.self)) & (T.bitWidth == 64 ? 63 : 31)
}

@inline(__always)
func shiftRC<O: ShiftOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let place = p.op.pointee.dst
    let count = shiftCount(s, T.self)
    let a = s.get(place, as: T.self)
    // A count of 0 leaves the flags, and still clears the upper half of a 32-bit register.
    s.put(place, count == 0 ? a : O.apply(s.cpu, a, count))
    return next(s, p)
}

/// Memory; `imm` 0 stands for CL.
@inline(__always)
func shiftM<O: ShiftOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type) -> P {
    let count = p.imm == 0 ? shiftCount(s, T.self) : p.imm
    let cpu = s.cpu
    let flags = (cpu.pointee.result, cpu.pointee.carries, cpu.pointee.aux)
    if s.modify(p, linear(s, p), as: T.self, { count == 0 ? $0 : O.apply(cpu, $0, count) }) { return next(s, p) }
    (cpu.pointee.result, cpu.pointee.carries, cpu.pointee.aux) = flags
    return abort(s, p)
}

// MARK: MOVZX, MOVSX, LEA

@inline(__always)
func extendR<F: Word, T: Word>(_ s: S, _ p: P, isSigned: Bool, _: F.Type, _: T.Type) -> P {
    let value = s.get(p.op.pointee.src, as: F.self)
    s.put(p.op.pointee.dst, isSigned ? T(truncatingIfNeeded: signExtended(value)) : T(truncatingIfNeeded: value))
    return next(s, p)
}

@inline(__always)
func extendM<F: Word, T: Word>(_ s: S, _ p: P, isSigned: Bool, _: F.Type, _: T.Type) -> P {
    guard let value = s.read(p, linear(s, p), as: F.self) else { return abort(s, p) }
    s.put(p.op.pointee.dst, isSigned ? T(truncatingIfNeeded: signExtended(value)) : T(truncatingIfNeeded: value))
    return next(s, p)
}

/// The offset, without a segment, of an address that needs no mask.
@inline(__always)
func leaR<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    let op = p.op
    let offset =
        s[op.pointee.base] &+ s[op.pointee.index] &<< UInt64(op.pointee.scale)
        &+ UInt64(bitPattern: Int64(op.pointee.disp))
    s.put(op.pointee.dst, T(truncatingIfNeeded: offset))
    return next(s, p)
}

// MARK: Conditions

@inline(__always)
func jumpIf(_ s: S, _ p: P, _ code: UInt8) -> P {
    if s.cpu.condition(code) { return jump(s, p.op.pointee.imm64, 0) }
    return jump(s, UInt64(p.op.pointee.behind), 1)
}

@inline(__always)
func setR(_ s: S, _ p: P, _ code: UInt8) -> P {
    s.put(p.op.pointee.dst, (s.cpu.condition(code) ? 1 : 0) as UInt8)
    return next(s, p)
}

@inline(__always)
func cmovR<T: Word>(_ s: S, _ p: P, _ code: UInt8, _: T.Type) -> P {
    // A 32-bit destination loses its upper half even where nothing is moved.
    let place = p.op.pointee.dst
    s.put(place, s.cpu.condition(code) ? s.get(p.op.pointee.src, as: T.self) : s.get(place, as: T.self))
    return next(s, p)
}

// MARK: CMP or TEST with the conditional jump behind it

@inline(__always)
private func fused<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _ a: T, _ b: T, _ code: UInt8) -> P {
    _ = O.apply(s.cpu, a, b)
    let isTaken: Bool
    let top = T(truncatingIfNeeded: T.bitWidth &- 1)
    if O.self == Cmp.self {
        // With the sign bits turned around, unsigned order is signed order.
        let flip = T(1) &<< top
        let value: Bool
        switch code &>> 1 {
        case 1: value = a < b
        case 2: value = a == b
        case 3: value = a <= b
        case 4: value = (a &- b) &>> top != 0
        case 6: value = (a ^ flip) < (b ^ flip)
        case 7: value = (a ^ flip) <= (b ^ flip)
        default:
            isTaken = s.cpu.condition(code)
            return isTaken ? jump(s, p.fusedTarget, 0) : jump(s, UInt64(p.op.pointee.fusedBehind), 1)
        }
        isTaken = value != (code & 1 != 0)
    } else {
        let r = a & b
        let value: Bool
        switch code &>> 1 {
        case 0, 1: value = false
        case 2, 3: value = r == 0
        case 4, 6: value = r &>> top != 0
        case 7: value = r &>> top != 0 || r == 0
        default:
            isTaken = s.cpu.condition(code)
            return isTaken ? jump(s, p.fusedTarget, 0) : jump(s, UInt64(p.op.pointee.fusedBehind), 1)
        }
        isTaken = value != (code & 1 != 0)
    }
    return isTaken ? jump(s, p.fusedTarget, 0) : jump(s, UInt64(p.op.pointee.fusedBehind), 1)
}

extension UnsafeRawPointer {
    @inline(__always)
    fileprivate var fusedTarget: UInt64 { UInt64(bitPattern: Int64(op.pointee.fusedTarget)) }
}

@inline(__always)
func fusedRR<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type, _ code: UInt8) -> P {
    fused(s, p, O.self, s.get(p.op.pointee.dst, as: T.self), s.get(p.op.pointee.src, as: T.self), code)
}

@inline(__always)
func fusedRI<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type, _ code: UInt8) -> P {
    fused(s, p, O.self, s.get(p.op.pointee.dst, as: T.self), T(truncatingIfNeeded: p.imm), code)
}

@inline(__always)
func fusedRM<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type, _ code: UInt8) -> P {
    guard let b = s.read(p, linear(s, p), as: T.self) else { return abort(s, p) }
    return fused(s, p, O.self, s.get(p.op.pointee.dst, as: T.self), b, code)
}

@inline(__always)
func fusedMI<O: BinaryOperation, T: Word>(_ s: S, _ p: P, _: O.Type, _: T.Type, _ code: UInt8) -> P {
    guard let a = s.read(p, linear(s, p), as: T.self) else { return abort(s, p) }
    return fused(s, p, O.self, a, T(truncatingIfNeeded: p.imm), code)
}
