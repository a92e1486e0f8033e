// PUSH, POP and their relatives. Source: SDM volume 1, 6.2, and volume 2. The plain ones are for 64-bit mode with 8 bytes and for
// flat 32-bit segments with 4; the checked ones for everything.

extension UnsafeMutableRawPointer {
    /// RSP, ESP or SP, by mode.
    var stackMask: UInt64 {
        let mode = run.pointee.mode
        return mode.contains(.code64) ? .max : mode.contains(.stack32) ? 0xffff_ffff : 0xffff
    }

    var stackPointer: UInt64 { self[Register.rsp] & stackMask }

    func setStackPointer(_ value: UInt64) {
        let mask = stackMask
        self[Register.rsp] = self[Register.rsp] & ~mask | value & mask
    }

    /// The linear address of `size` bytes of the stack at `offset`; nil: #SS(0) or #AC(0) is left.
    func stackAddress(_ offset: UInt64, _ size: UInt64, isWrite: Bool) -> UInt64? {
        let mode = run.pointee.mode
        var linear = offset
        if !mode.contains(.code64) {
            guard segmentAllows(Segment.ss, offset, size, isWrite: isWrite) else {
                setFault(Vector.ss, code: 0)
                return nil
            }
            linear = (offset &+ segment(Segment.ss).pointee.base) & 0xffff_ffff
        }
        if mode.contains(.alignment), linear & (size &- 1) != 0 {
            setFault(Vector.ac, code: 0)
            return nil
        }
        if mode.contains(.dataBreakpoints) { noteDataAccess(linear, size, isWrite: isWrite) }
        return linear
    }

    /// Reads 2, 4 or 8 bytes at `offset` of the stack.
    func readStack(_ p: P, _ offset: UInt64, _ size: UInt8) -> UInt64? {
        guard let linear = stackAddress(offset & stackMask, UInt64(size), isWrite: false) else { return nil }
        switch size {
        case 2: return read(p, linear, as: UInt16.self).map { UInt64($0) }
        case 4: return read(p, linear, as: UInt32.self).map { UInt64($0) }
        default: return read(p, linear, as: UInt64.self)
        }
    }

    func writeStack(_ p: P, _ offset: UInt64, _ size: UInt8, _ value: UInt64) -> Bool {
        guard let linear = stackAddress(offset & stackMask, UInt64(size), isWrite: true) else { return false }
        switch size {
        case 2: return write(p, linear, UInt16(truncatingIfNeeded: value))
        case 4: return write(p, linear, UInt32(truncatingIfNeeded: value))
        default: return write(p, linear, value)
        }
    }

    /// PUSH of a value; false: a fault is left and RSP stays.
    func pushValue(_ p: P, _ size: UInt8, _ value: UInt64) -> Bool {
        let new = (self[Register.rsp] &- UInt64(size)) & stackMask
        guard writeStack(p, new, size, value) else { return false }
        setStackPointer(new)
        return true
    }

    /// Writes a general register of 2, 4 or 8 bytes.
    func putRegister(_ place: UInt8, _ size: UInt8, _ value: UInt64) {
        switch size {
        case 1: put(place, UInt8(truncatingIfNeeded: value))
        case 2: put(place, UInt16(truncatingIfNeeded: value))
        case 4: put(place, UInt32(truncatingIfNeeded: value))
        default: put(place, value)
        }
    }

    func getRegister(_ place: UInt8, _ size: UInt8) -> UInt64 {
        switch size {
        case 1: UInt64(get(place, as: UInt8.self))
        case 2: UInt64(get(place, as: UInt16.self))
        case 4: UInt64(get(place, as: UInt32.self))
        default: get(place, as: UInt64.self)
        }
    }
}

// MARK: Plain

@inline(__always)
private func pushPlain<T: Word>(_ s: S, _ p: P, _ value: T) -> P {
    let new = (s[Register.rsp] &- UInt64(T.bitWidth / 8)) & s.run.pointee.linearMask
    guard s.write(p, new, value) else { return abort(s, p) }
    s[Register.rsp] = new
    return next(s, p)
}

let push64: Handler = { s, p in pushPlain(s, p, s.get(p.op.pointee.src, as: UInt64.self)) }
let push32: Handler = { s, p in pushPlain(s, p, s.get(p.op.pointee.src, as: UInt32.self)) }
let pushImmediate64: Handler = { s, p in pushPlain(s, p, p.op.pointee.imm64) }
let pushImmediate32: Handler = { s, p in pushPlain(s, p, UInt32(truncatingIfNeeded: p.op.pointee.imm64)) }

@inline(__always)
private func popPlain<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    let old = s[Register.rsp]
    guard let value = s.read(p, old & s.run.pointee.linearMask, as: T.self) else { return abort(s, p) }
    s[Register.rsp] = (old &+ UInt64(T.bitWidth / 8)) & s.run.pointee.linearMask
    // POP RSP: the value wins.
    s.put(p.op.pointee.dst, value)
    return next(s, p)
}

let pop64: Handler = { s, p in popPlain(s, p, UInt64.self) }
let pop32: Handler = { s, p in popPlain(s, p, UInt32.self) }

// MARK: Checked

let pushChecked: Handler = { s, p in
    let size = p.op.pointee.size
    return s.pushValue(p, size, s.getRegister(p.op.pointee.src, size)) ? next(s, p) : abort(s, p)
}

let pushImmediateChecked: Handler = { s, p in
    s.pushValue(p, p.op.pointee.size, p.op.pointee.imm64) ? next(s, p) : abort(s, p)
}

let popChecked: Handler = { s, p in
    let size = p.op.pointee.size
    guard let value = s.readStack(p, s.stackPointer, size) else { return abort(s, p) }
    s.setStackPointer(s.stackPointer &+ UInt64(size))
    s.putRegister(p.op.pointee.dst, size, value)
    return next(s, p)
}

/// POP to memory: the value first. An address with RSP as its base has RSP as it is after the pop.
let popLoad: Handler = { s, p in
    guard let value = s.readStack(p, s.stackPointer, p.op.pointee.size) else { return abort(s, p) }
    s[Register.temporary] = value
    let (pointer, mask) = (s[Register.rsp], s.stackMask)
    s[Register.popped] = pointer & ~mask | (pointer &+ UInt64(p.op.pointee.size)) & mask
    return next(s, p)
}

let popStore: Handler = { s, p in
    let size = p.op.pointee.size
    let address = linear(s, p)
    let value = s[Register.temporary]
    let isWritten: Bool
    switch size {
    case 2: isWritten = s.write(p, address, UInt16(truncatingIfNeeded: value))
    case 4: isWritten = s.write(p, address, UInt32(truncatingIfNeeded: value))
    default: isWritten = s.write(p, address, value)
    }
    guard isWritten else { return abort(s, p) }
    s.setStackPointer(s.stackPointer &+ UInt64(size))
    return next(s, p)
}

/// PUSHA, PUSHAD: AX CX DX BX, the old SP, BP SI DI.
let pushAll: Handler = { s, p in
    let size = p.op.pointee.size
    let top = s.stackPointer
    for number in 0..<8 as Range<UInt8> {
        let offset = top &- UInt64(number &+ 1) &* UInt64(size)
        guard s.writeStack(p, offset, size, s.getRegister(number &* 8, size)) else { return abort(s, p) }
    }
    s.setStackPointer(top &- 8 &* UInt64(size))
    return next(s, p)
}

/// POPA, POPAD: SP's place is skipped.
let popAll: Handler = { s, p in
    let size = p.op.pointee.size
    let top = s.stackPointer
    let last = top &+ 7 &* UInt64(size)
    // All of them are read before any is changed.
    for number in 0..<8 as Range<UInt64> where s.readStack(p, top &+ number &* UInt64(size), size) == nil {
        return abort(s, p)
    }
    for number in 0..<8 as Range<UInt8> where number != 3 {
        guard let value = s.readStack(p, top &+ UInt64(number) &* UInt64(size), size) else { return abort(s, p) }
        s.putRegister((7 &- number) &* 8, size, value)
    }
    s.setStackPointer(last &+ UInt64(size))
    return next(s, p)
}

/// ENTER. imm64: bytes; imm2: nesting level. The operand size says how wide the frame pointer is, the stack size how far SP wraps: of a
/// 16-bit stack the upper half of ESP stays, and is part of a 32-bit frame pointer.
let enterFrame: Handler = { s, p in
    let size = p.op.pointee.size
    let step = UInt64(size)
    let level = UInt64(p.op.pointee.imm2) & 31
    let mask = s.stackMask
    let old = s[Register.rsp]
    let frame = old & ~mask | (old &- step) & mask
    guard s.writeStack(p, frame, size, s[Register.rbp]) else { return abort(s, p) }
    var new = frame
    if level > 0 {
        var outer = s[Register.rbp]
        for _ in 1..<max(1, level) {
            outer = outer &- step
            new = new &- step
            guard let link = s.readStack(p, outer, size), s.writeStack(p, new, size, link) else { return abort(s, p) }
        }
        new = new &- step
        guard s.writeStack(p, new, size, frame) else { return abort(s, p) }
    }
    new = (new &- (p.op.pointee.imm64 & 0xffff)) & mask
    // The processor checks that the last byte of the new frame can be written (SDM volume 2, "ENTER").
    guard s.probeStack(p, new, size) else { return abort(s, p) }
    s.setStackPointer(new)
    s.putRegister(Register.rbp, size, frame)
    return next(s, p)
}

extension UnsafeMutableRawPointer {
    /// Whether `size` bytes of the stack at `offset` could be written; false: a fault is left.
    fileprivate func probeStack(_ p: P, _ offset: UInt64, _ size: UInt8) -> Bool {
        guard let linear = stackAddress(offset, UInt64(size), isWrite: true) else { return false }
        return slowModify(self, p, linear, Int(size))
    }
}

let leaveFrame: Handler = { s, p in
    let size = p.op.pointee.size
    let frame = s[Register.rbp] & s.stackMask
    guard let value = s.readStack(p, frame, size) else { return abort(s, p) }
    s.setStackPointer(frame &+ UInt64(size))
    s.putRegister(Register.rbp, size, value)
    return next(s, p)
}
