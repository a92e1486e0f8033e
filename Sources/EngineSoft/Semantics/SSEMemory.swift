// Loads, stores and moves of vector registers. op.dst and op.src: the register by its place, or a byte offset of a general one; op.size:
// bytes; op.imm: the immediate.

import CHost

extension BlockBuilder {
    /// Moves without a computation; false: the instruction is none.
    mutating func emitMove(_ i: Instruction) -> Bool {
        guard i.isMemory else { return emitRegisterMove(i) }
        let (first, second) = (i.operands.0, i.operands.1)
        let isStore = second == .Vdq || second == .Pq
        let memory = isStore ? first : second
        let register = isStore ? vectorRegister(second, i) : vectorRegister(first, i)
        let size = memory.size(i.operandSize)
        let isAligned = i.flags.contains(.aligned)
        switch i.mnemonic {
        case .movaps, .movapd, .movdqa, .movups, .movupd, .movdqu, .lddqu, .movntdqa, .movntps, .movntpd, .movntdq,
            .movss,
            .movsd, .movlps, .movlpd:
            if !isStore, i.mnemonic == .movlps || i.mnemonic == .movlpd {
                pushVectorMemory(i, loadLow, register, size: 8, isWrite: false)
                return true
            }
            let handler = isStore ? storeVector(size, isAligned: isAligned) : loadVector(size, isAligned: isAligned)
            pushVectorMemory(i, handler, register, size: size, isWrite: isStore)
        case .movhps, .movhpd:
            pushVectorMemory(i, isStore ? storeHigh : loadHigh, register, size: 8, isWrite: isStore)
        case .movd, .movq:
            emitQuad(i, register, size, isStore: isStore)
        case .movntq:
            pushVectorMemory(i, storeMMX8, register, size: 8, isWrite: true)
        case .pextrb, .pextrw, .pextrd, .extractps:
            pushVectorMemory(i, storeElement, register, size: size, isWrite: true)
        default: return false
        }
        return true
    }

    private mutating func emitQuad(_ i: Instruction, _ register: UInt8, _ size: UInt8, isStore: Bool) {
        guard VectorHandlers.isMMX(i.operands) else {
            let handler = isStore ? storeVector(size, isAligned: false) : loadVector(size, isAligned: false)
            pushVectorMemory(i, handler, register, size: size, isWrite: isStore)
            return
        }
        if isStore {
            pushVectorMemory(i, size == 8 ? storeMMX8 : storeMMX4, register, size: size, isWrite: true)
        } else {
            pushVectorMemory(i, size == 8 ? loadMMX8 : loadMMX4, register, size: size, isWrite: false)
        }
    }

    private mutating func emitRegisterMove(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .movaps, .movapd, .movdqa, .movups, .movupd, .movdqu:
            var op = op(i, copyVector)
            op.dst = vectorRegister(i.operands.0, i)
            op.src = vectorRegister(i.operands.1, i)
            push(op)
            return true
        case .pxor, .xorps, .xorpd:
            // The usual way to clear a register.
            guard i.operands.0 == .Vdq, i.reg == i.rm else { return false }
            var op = op(i, clearVector)
            op.dst = VectorRegister.xmm(i.reg)
            push(op)
            return true
        default: return false
        }
    }

    /// MASKMOVDQU and MASKMOVQ: to DS:rDI, or the segment of the prefix.
    mutating func emitMaskedStore(_ i: Instruction) {
        var address = i
        address.mod = 0
        address.base = 7
        address.index = 16
        if !i.hasOverride { address.segment = UInt8(Segment.ds) }
        let isMMX = i.mnemonic == .maskmovq
        let size: UInt8 = isMMX ? 8 : 16
        // Before what the address raises.
        if isMMX { push(op(i, waitForX87)) }
        var op = op(i, isMMX ? maskedStoreMMX : maskedStore)
        setMemory(&op, address, size: UInt16(size), isWrite: true)
        op.dst = vectorRegister(i.operands.0, i)
        op.src = vectorRegister(i.operands.1, i)
        op.size = size
        push(op)
    }
}

// MARK: Loads

func loadVector(_ size: UInt8, isAligned: Bool) -> Handler {
    switch size {
    case 16: isAligned ? loadAligned : load16
    case 8: load8
    case 4: load4
    default: load2
    }
}

func loadInteger(_ size: UInt8) -> Handler {
    switch size {
    case 8: loadInteger8
    case 4: loadInteger4
    case 2: loadInteger2
    default: loadInteger1
    }
}

private let load16: Handler = { s, p in
    s.read16(p, linear(s, p), to: s.vectorPlace(p.op.pointee.dst)) ? next(s, p) : abort(s, p)
}

private let loadAligned: Handler = { s, p in
    let address = linear(s, p)
    if address & 15 != 0 { return raise(s, p, Vector.gp, code: 0) }
    return s.read16(p, address, to: s.vectorPlace(p.op.pointee.dst)) ? next(s, p) : abort(s, p)
}

/// The rest of the register is cleared.
@inline(__always)
private func loadCleared<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    guard let value = s.read(p, linear(s, p), as: T.self) else { return abort(s, p) }
    let place = s.vectorPlace(p.op.pointee.dst)
    place.storeBytes(of: UInt64(truncatingIfNeeded: value), as: UInt64.self)
    place.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
    return next(s, p)
}
private let load8: Handler = { s, p in loadCleared(s, p, UInt64.self) }
private let load4: Handler = { s, p in loadCleared(s, p, UInt32.self) }
private let load2: Handler = { s, p in loadCleared(s, p, UInt16.self) }

private let loadLow: Handler = { s, p in
    guard let value = s.read(p, linear(s, p), as: UInt64.self) else { return abort(s, p) }
    s.vectorPlace(p.op.pointee.dst).storeBytes(of: value, as: UInt64.self)
    return next(s, p)
}

private let loadHigh: Handler = { s, p in
    guard let value = s.read(p, linear(s, p), as: UInt64.self) else { return abort(s, p) }
    s.vectorPlace(p.op.pointee.dst).storeBytes(of: value, toByteOffset: 8, as: UInt64.self)
    return next(s, p)
}

/// For an operand in the place of a general register.
@inline(__always)
private func loadWord<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    guard let value = s.read(p, linear(s, p), as: T.self) else { return abort(s, p) }
    s[p.op.pointee.dst] = UInt64(truncatingIfNeeded: value)
    return next(s, p)
}
private let loadInteger8: Handler = { s, p in loadWord(s, p, UInt64.self) }
private let loadInteger4: Handler = { s, p in loadWord(s, p, UInt32.self) }
private let loadInteger2: Handler = { s, p in loadWord(s, p, UInt16.self) }
private let loadInteger1: Handler = { s, p in loadWord(s, p, UInt8.self) }

@inline(__always)
private func loadMMX<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    guard let value = s.read(p, linear(s, p), as: T.self) else { return abort(s, p) }
    let place = s.vectorPlace(p.op.pointee.dst)
    place.storeBytes(of: UInt64(truncatingIfNeeded: value), as: UInt64.self)
    place.storeBytes(of: 0xffff, toByteOffset: 8, as: UInt16.self)
    s.touchMMX()
    return next(s, p)
}
private let loadMMX8: Handler = { s, p in loadMMX(s, p, UInt64.self) }
private let loadMMX4: Handler = { s, p in loadMMX(s, p, UInt32.self) }

// MARK: Stores

private func storeVector(_ size: UInt8, isAligned: Bool) -> Handler {
    switch size {
    case 16: isAligned ? storeAligned : store16
    case 8: store8
    default: store4
    }
}

private let store16: Handler = { s, p in
    s.write16(p, linear(s, p), from: s.vectorPlace(p.op.pointee.src)) ? next(s, p) : abort(s, p)
}

private let storeAligned: Handler = { s, p in
    let address = linear(s, p)
    if address & 15 != 0 { return raise(s, p, Vector.gp, code: 0) }
    return s.write16(p, address, from: s.vectorPlace(p.op.pointee.src)) ? next(s, p) : abort(s, p)
}

@inline(__always)
private func storePart<T: Word>(_ s: S, _ p: P, _ offset: Int, _: T.Type) -> P {
    let value = s.vectorPlace(p.op.pointee.src).load(fromByteOffset: offset, as: T.self)
    return s.write(p, linear(s, p), value) ? next(s, p) : abort(s, p)
}
private let store8: Handler = { s, p in storePart(s, p, 0, UInt64.self) }
private let store4: Handler = { s, p in storePart(s, p, 0, UInt32.self) }
private let storeHigh: Handler = { s, p in storePart(s, p, 8, UInt64.self) }

@inline(__always)
private func storeMMX<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    guard s.write(p, linear(s, p), s.vectorPlace(p.op.pointee.src).load(as: T.self)) else { return abort(s, p) }
    s.touchMMX()
    return next(s, p)
}
private let storeMMX8: Handler = { s, p in storeMMX(s, p, UInt64.self) }
private let storeMMX4: Handler = { s, p in storeMMX(s, p, UInt32.self) }

/// PEXTRB, W, D, Q and EXTRACTPS.
private let storeElement: Handler = { s, p in
    let place = s.vectorPlace(p.op.pointee.src)
    let number = Int(p.op.pointee.imm)
    let address = linear(s, p)
    let isWritten: Bool
    switch p.op.pointee.size {
    case 1: isWritten = s.write(p, address, place.load(fromByteOffset: number & 15, as: UInt8.self))
    case 2: isWritten = s.write(p, address, place.load(fromByteOffset: (number & 7) * 2, as: UInt16.self))
    case 4: isWritten = s.write(p, address, place.load(fromByteOffset: (number & 3) * 4, as: UInt32.self))
    default: isWritten = s.write(p, address, place.load(fromByteOffset: (number & 1) * 8, as: UInt64.self))
    }
    return isWritten ? next(s, p) : abort(s, p)
}

/// Bytes whose mask byte has its top bit set.
private func storeMasked(_ s: S, _ p: P) -> Bool {
    let size = Int(p.op.pointee.size)
    let (data, mask) = (s.vectorPlace(p.op.pointee.dst), s.vectorPlace(p.op.pointee.src))
    let address = linear(s, p)
    guard (0..<size).contains(where: { mask.load(fromByteOffset: $0, as: Int8.self) < 0 }) else { return true }
    guard canAccess(s, p, address, size, .write) else { return false }
    for index in 0..<size where mask.load(fromByteOffset: index, as: Int8.self) < 0 {
        let place = (address &+ UInt64(index)) & s.run.pointee.linearMask
        guard s.write(p, place, data.load(fromByteOffset: index, as: UInt8.self)) else { return false }
    }
    return true
}
private let maskedStore: Handler = { s, p in storeMasked(s, p) ? next(s, p) : abort(s, p) }
private let maskedStoreMMX: Handler = { s, p in
    guard storeMasked(s, p) else { return abort(s, p) }
    s.touchMMX()
    return next(s, p)
}

// MARK: Between registers

private let copyVector: Handler = { s, p in
    let value = s.vectorPlace(p.op.pointee.src).load(as: SIMD2<UInt64>.self)
    s.vectorPlace(p.op.pointee.dst).storeBytes(of: value, as: SIMD2<UInt64>.self)
    return next(s, p)
}

private let clearVector: Handler = { s, p in
    s.vectorPlace(p.op.pointee.dst).storeBytes(of: SIMD2<UInt64>(0, 0), as: SIMD2<UInt64>.self)
    return next(s, p)
}
