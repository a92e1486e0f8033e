// BT and relatives, BSF, BSR, POPCNT, TZCNT, LZCNT. Source: SDM volume 2.

/// The address of the operand that holds a bit whose offset is in a register: whole operands in either direction.
let bitTestPrepare: Handler = { s, p in
    let op = p.op
    let offset: Int64
    switch op.pointee.size {
    case 2: offset = Int64(s.get(op.pointee.src, as: Int16.self)) &>> 4 &* 2
    case 4: offset = Int64(s.get(op.pointee.src, as: Int32.self)) &>> 5 &* 4
    default: offset = s.get(op.pointee.src, as: Int64.self) &>> 6 &* 8
    }
    let address =
        s[op.pointee.base] &+ s[op.pointee.index] &<< UInt64(op.pointee.scale)
        &+ UInt64(bitPattern: Int64(op.pointee.disp)) &+ UInt64(bitPattern: Int64(op.pointee.imm)) &<< 32
    s[Register.temporary] = address &+ UInt64(bitPattern: offset)
    return next(s, p)
}

private func test<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    let op = p.op
    let number = op.pointee.fixedBit.map { T(truncatingIfNeeded: $0) } ?? s.get(op.pointee.dst, as: T.self)
    let bit = T(1) &<< (number & T(truncatingIfNeeded: T.bitWidth - 1))
    let change = op.pointee.bitChange
    let isMemory = op.pointee.isMemory
    var old: T = 0
    if change == .none {
        guard let value = operand(s, p, as: T.self) else { return abort(s, p) }
        old = value
    } else {
        let body: (T) -> T = { value in
            old = value
            switch change {
            case .set: return value | bit
            case .reset: return value & ~bit
            default: return value ^ bit
            }
        }
        if isMemory {
            guard s.modify(p, linear(s, p), as: T.self, body) else { return abort(s, p) }
        } else {
            s.put(op.pointee.src, body(s.get(op.pointee.src, as: T.self)))
        }
    }
    // The other flags are undefined but for ZF: all stay.
    s.cpu.setCarry(old & bit != 0)
    return next(s, p)
}

let bitTestValue: Handler = { s, p in
    switch p.op.pointee.size {
    case 2: test(s, p, UInt16.self)
    case 4: test(s, p, UInt32.self)
    default: test(s, p, UInt64.self)
    }
}

/// The destination stays where the source is 0, as processors of all makers have it.
private func scan<T: Word>(_ s: S, _ p: P, isForward: Bool, _: T.Type) -> P {
    guard let value = operand(s, p, as: T.self) else { return abort(s, p) }
    s.cpu.setZeroFlag(value == 0)
    let place = p.op.pointee.dst
    if value != 0 {
        let bit = isForward ? value.trailingZeroBitCount : T.bitWidth - 1 - value.leadingZeroBitCount
        s.put(place, T(truncatingIfNeeded: bit))
    }
    return next(s, p)
}

let bitScanForward: Handler = { s, p in
    switch p.op.pointee.size {
    case 2: scan(s, p, isForward: true, UInt16.self)
    case 4: scan(s, p, isForward: true, UInt32.self)
    default: scan(s, p, isForward: true, UInt64.self)
    }
}

let bitScanReverse: Handler = { s, p in
    switch p.op.pointee.size {
    case 2: scan(s, p, isForward: false, UInt16.self)
    case 4: scan(s, p, isForward: false, UInt32.self)
    default: scan(s, p, isForward: false, UInt64.self)
    }
}

private enum Count { case ones, trailing, leading }

private func count<T: Word>(_ s: S, _ p: P, _ what: Count, _: T.Type) -> P {
    guard let value = operand(s, p, as: T.self) else { return abort(s, p) }
    switch what {
    case .ones:
        s.put(p.op.pointee.dst, T(truncatingIfNeeded: value.nonzeroBitCount))
        s.cpu.setStatusFlags(value == 0 ? RFLAGS.zf : 0)
    case .trailing, .leading:
        let bits = what == .trailing ? value.trailingZeroBitCount : value.leadingZeroBitCount
        s.put(p.op.pointee.dst, T(truncatingIfNeeded: bits))
        s.cpu.setStatusFlags((value == 0 ? RFLAGS.cf : 0) | (bits == 0 ? RFLAGS.zf : 0))
    }
    return next(s, p)
}

private func count(_ s: S, _ p: P, _ what: Count) -> P {
    switch p.op.pointee.size {
    case 2: count(s, p, what, UInt16.self)
    case 4: count(s, p, what, UInt32.self)
    default: count(s, p, what, UInt64.self)
    }
}

let populationCount: Handler = { s, p in count(s, p, .ones) }
let trailingZeros: Handler = { s, p in count(s, p, .trailing) }
let leadingZeros: Handler = { s, p in count(s, p, .leading) }
