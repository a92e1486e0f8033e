// MUL, IMUL, DIV, IDIV. Source: SDM volume 2. SF, ZF, AF and PF are undefined after MUL and IMUL: SF, ZF and PF are those of the low
// half, as many processors have them. DIV and IDIV leave the flags.

/// The operand of a one- or two-operand instruction in ModRM.rm; nil: a fault is left.
@inline(__always)
func operand<T: Word>(_ s: S, _ p: P, as type: T.Type) -> T? {
    p.op.pointee.isMemory ? s.read(p, linear(s, p), as: T.self) : s.get(p.op.pointee.src, as: T.self)
}

private func multiplyBy<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    guard let b = operand(s, p, as: T.self) else { return abort(s, p) }
    let (high, low) = s.get(Register.rax, as: T.self).multipliedFullWidth(by: b)
    let lowWord = T(truncatingIfNeeded: low)
    s.cpu.setShift(lowWord, carry: high != 0, overflow: high != 0)
    storeDouble(s, high, lowWord)
    return next(s, p)
}

/// AX, or DX:AX, EDX:EAX, RDX:RAX.
private func storeDouble<T: Word>(_ s: S, _ high: T, _ low: T) {
    if T.bitWidth == 8 {
        s.put(Register.rax, UInt16(truncatingIfNeeded: high) << 8 | UInt16(truncatingIfNeeded: low))
    } else {
        s.put(Register.rax, low)
        s.put(Register.rdx, high)
    }
}

private func multiplySignedBy<U: FixedWidthInteger & SignedInteger, T: Word>(_ s: S, _ p: P, _: U.Type, _: T.Type) -> P
{
    guard let b = operand(s, p, as: T.self) else { return abort(s, p) }
    let (high, low) = U(truncatingIfNeeded: s.get(Register.rax, as: T.self)).multipliedFullWidth(
        by: U(truncatingIfNeeded: b))
    let lowWord = T(truncatingIfNeeded: low)
    let fits = high == U(truncatingIfNeeded: lowWord) &>> U(truncatingIfNeeded: U.bitWidth - 1)
    s.cpu.setShift(lowWord, carry: !fits, overflow: !fits)
    storeDouble(s, T(truncatingIfNeeded: high), lowWord)
    return next(s, p)
}

let multiply: Handler = { s, p in
    switch p.op.pointee.size {
    case 1: multiplyBy(s, p, UInt8.self)
    case 2: multiplyBy(s, p, UInt16.self)
    case 4: multiplyBy(s, p, UInt32.self)
    default: multiplyBy(s, p, UInt64.self)
    }
}

let multiplySigned: Handler = { s, p in
    switch p.op.pointee.size {
    case 1: multiplySignedBy(s, p, Int8.self, UInt8.self)
    case 2: multiplySignedBy(s, p, Int16.self, UInt16.self)
    case 4: multiplySignedBy(s, p, Int32.self, UInt32.self)
    default: multiplySignedBy(s, p, Int64.self, UInt64.self)
    }
}

/// IMUL with two or three operands: `a * b` into dst.
@inline(__always)
private func multiplyInto<U: FixedWidthInteger & SignedInteger, T: Word>(
    _ s: S, _ p: P, _ a: T, _: U.Type, _: T.Type
) -> P {
    guard let b = operand(s, p, as: T.self) else { return abort(s, p) }
    let (product, overflow) = U(truncatingIfNeeded: a).multipliedReportingOverflow(by: U(truncatingIfNeeded: b))
    let r = T(truncatingIfNeeded: product)
    s.cpu.setShift(r, carry: overflow, overflow: overflow)
    s.put(p.op.pointee.dst, r)
    return next(s, p)
}

let multiplyRegister: Handler = { s, p in
    let place = p.op.pointee.dst
    switch p.op.pointee.size {
    case 2: return multiplyInto(s, p, s.get(place, as: UInt16.self), Int16.self, UInt16.self)
    case 4: return multiplyInto(s, p, s.get(place, as: UInt32.self), Int32.self, UInt32.self)
    default: return multiplyInto(s, p, s.get(place, as: UInt64.self), Int64.self, UInt64.self)
    }
}

let multiplyImmediate: Handler = { s, p in
    let immediate = Int64(p.op.pointee.factor)
    switch p.op.pointee.size {
    case 2: return multiplyInto(s, p, UInt16(truncatingIfNeeded: immediate), Int16.self, UInt16.self)
    case 4: return multiplyInto(s, p, UInt32(truncatingIfNeeded: immediate), Int32.self, UInt32.self)
    default: return multiplyInto(s, p, UInt64(bitPattern: immediate), Int64.self, UInt64.self)
    }
}

// MARK: Division

private func divideBy<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    guard let divisor = operand(s, p, as: T.self) else { return abort(s, p) }
    let low: T
    let high: T
    if T.bitWidth == 8 {
        let ax = s.get(Register.rax, as: UInt16.self)
        (low, high) = (T(truncatingIfNeeded: ax), T(truncatingIfNeeded: ax >> 8))
    } else {
        (low, high) = (s.get(Register.rax, as: T.self), s.get(Register.rdx, as: T.self))
    }
    guard divisor != 0, high < divisor else { return raise(s, p, Vector.de) }
    let (quotient, remainder) = divisor.dividingFullWidth((high, T.Magnitude(truncatingIfNeeded: low)))
    storeQuotient(s, quotient, remainder)
    return next(s, p)
}

private func storeQuotient<T: Word>(_ s: S, _ quotient: T, _ remainder: T) {
    if T.bitWidth == 8 {
        s.put(Register.rax, UInt16(truncatingIfNeeded: remainder) << 8 | UInt16(truncatingIfNeeded: quotient))
    } else {
        s.put(Register.rax, quotient)
        s.put(Register.rdx, remainder)
    }
}

private func divideSignedBy<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    guard let word = operand(s, p, as: T.self) else { return abort(s, p) }
    var low: T
    var high: T
    if T.bitWidth == 8 {
        let ax = s.get(Register.rax, as: UInt16.self)
        (low, high) = (T(truncatingIfNeeded: ax), T(truncatingIfNeeded: ax >> 8))
    } else {
        (low, high) = (s.get(Register.rax, as: T.self), s.get(Register.rdx, as: T.self))
    }
    let top = T(truncatingIfNeeded: T.bitWidth - 1)
    // Magnitudes are divided, and the signs put back.
    let isNegative = high &>> top != 0
    if isNegative {
        low = 0 &- low
        high = ~high &+ (low == 0 ? 1 : 0)
    }
    let isDivisorNegative = word &>> top != 0
    let divisor = isDivisorNegative ? 0 &- word : word
    guard divisor != 0, high < divisor else { return raise(s, p, Vector.de) }
    let (quotient, remainder) = divisor.dividingFullWidth((high, T.Magnitude(truncatingIfNeeded: low)))
    let isQuotientNegative = isNegative != isDivisorNegative
    let limit = T(1) &<< top
    guard isQuotientNegative ? quotient <= limit : quotient < limit else { return raise(s, p, Vector.de) }
    storeQuotient(s, isQuotientNegative ? 0 &- quotient : quotient, isNegative ? 0 &- remainder : remainder)
    return next(s, p)
}

let divide: Handler = { s, p in
    switch p.op.pointee.size {
    case 1: divideBy(s, p, UInt8.self)
    case 2: divideBy(s, p, UInt16.self)
    case 4: divideBy(s, p, UInt32.self)
    default: divideBy(s, p, UInt64.self)
    }
}

let divideSigned: Handler = { s, p in
    switch p.op.pointee.size {
    case 1: divideSignedBy(s, p, UInt8.self)
    case 2: divideSignedBy(s, p, UInt16.self)
    case 4: divideSignedBy(s, p, UInt32.self)
    default: divideSignedBy(s, p, UInt64.self)
    }
}
