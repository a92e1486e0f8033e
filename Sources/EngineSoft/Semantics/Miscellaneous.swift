// XADD, CMPXCHG, XCHG, SHLD, BSWAP, conversions, BCD arithmetic, LAHF, flags, CRC32, MOVBE. Source: SDM volume 2.

/// By the operand's size, so that the body is specialized.
@inline(__always)
private func bySize(_ p: P, _ byte: () -> P, _ word: () -> P, _ double: () -> P, _ quad: () -> P) -> P {
    switch p.op.pointee.size {
    case 1: byte()
    case 2: word()
    case 4: double()
    default: quad()
    }
}

private typealias SavedFlags = (UInt64, UInt64, UInt64)

/// Replaces the operand in ModRM.rm; flags that `change` sets are taken back where the write faults.
@inline(__always)
private func change<T: Word>(_ s: S, _ p: P, _: T.Type, _ body: (T) -> T) -> Bool {
    if !p.op.pointee.isMemory {
        let place = p.op.pointee.src
        s.put(place, body(s.get(place, as: T.self)))
        return true
    }
    let cpu = s.cpu
    let saved: SavedFlags = (cpu.pointee.result, cpu.pointee.carries, cpu.pointee.aux)
    if s.modify(p, linear(s, p), as: T.self, body) { return true }
    (cpu.pointee.result, cpu.pointee.carries, cpu.pointee.aux) = saved
    return false
}

// MARK: Exchanges

private func xadd<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    let place = p.op.pointee.dst
    let b = s.get(place, as: T.self)
    var old: T = 0
    guard
        change(
            s, p, T.self,
            { a in
                old = a
                return Add.apply(s.cpu, a, b)
            })
    else { return abort(s, p) }
    // XADD r, r with one register twice: the sum wins.
    if p.op.pointee.isMemory || place != p.op.pointee.src { s.put(place, old) }
    return next(s, p)
}

let exchangeAdd: Handler = { s, p in
    bySize(
        p, { xadd(s, p, UInt8.self) }, { xadd(s, p, UInt16.self) }, { xadd(s, p, UInt32.self) },
        { xadd(s, p, UInt64.self) })
}

private func cmpxchg<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    let accumulator = s.get(Register.rax, as: T.self)
    let new = s.get(p.op.pointee.dst, as: T.self)
    var old: T = 0
    if !p.op.pointee.isMemory {
        // A register that is not equal stays as it is: not even the upper half of a 32-bit one is cleared.
        let place = p.op.pointee.src
        old = s.get(place, as: T.self)
        s.cpu.setSubtract(accumulator, old, accumulator &- old)
        s.put(old == accumulator ? place : Register.rax, old == accumulator ? new : old)
        return next(s, p)
    }
    // Memory is written in either case (SDM volume 2, "CMPXCHG").
    guard
        change(
            s, p, T.self,
            { a in
                old = a
                s.cpu.setSubtract(accumulator, a, accumulator &- a)
                return a == accumulator ? new : a
            })
    else { return abort(s, p) }
    if old != accumulator { s.put(Register.rax, old) }
    return next(s, p)
}

let compareExchange: Handler = { s, p in
    bySize(
        p, { cmpxchg(s, p, UInt8.self) }, { cmpxchg(s, p, UInt16.self) }, { cmpxchg(s, p, UInt32.self) },
        { cmpxchg(s, p, UInt64.self) })
}

let compareExchange8: Handler = { s, p in
    let expected = UInt64(s.get(Register.rdx, as: UInt32.self)) << 32 | UInt64(s.get(Register.rax, as: UInt32.self))
    let new = UInt64(s.get(Register.rcx, as: UInt32.self)) << 32 | UInt64(s.get(Register.rbx, as: UInt32.self))
    var old: UInt64 = 0
    guard
        s.modify(
            p, linear(s, p), as: UInt64.self,
            { a in
                old = a
                return a == expected ? new : a
            })
    else { return abort(s, p) }
    s.cpu.setZeroFlag(old == expected)
    if old != expected {
        s.put(Register.rax, UInt32(truncatingIfNeeded: old))
        s.put(Register.rdx, UInt32(truncatingIfNeeded: old >> 32))
    }
    return next(s, p)
}

let compareExchange16: Handler = { s, p in
    let address = linear(s, p)
    guard address & 15 == 0 else { return raise(s, p, Vector.gp, code: 0) }
    // Aligned, so within a page: what can be written at the first half can be at the second.
    guard slowModify(s, p, address, 8) else { return abort(s, p) }
    let low = s.run.pointee.loaded
    guard slowModify(s, p, address &+ 8, 8) else { return abort(s, p) }
    let high = s.run.pointee.loaded
    let isEqual = low == s[Register.rax] && high == s[Register.rdx]
    let newLow = isEqual ? s[Register.rbx] : low
    let newHigh = isEqual ? s[Register.rcx] : high
    guard s.write(p, address, newLow), s.write(p, address &+ 8, newHigh) else { return abort(s, p) }
    s.cpu.setZeroFlag(isEqual)
    if !isEqual {
        s[Register.rax] = low
        s[Register.rdx] = high
    }
    return next(s, p)
}

extension UnsafeMutablePointer<CPUState> {
    /// ZF alone.
    func setZeroFlag(_ isSet: Bool) {
        let flags = statusFlags
        setStatusFlags(isSet ? flags | RFLAGS.zf : flags & ~RFLAGS.zf)
    }
}

let exchangeRegisters: Handler = { s, p in
    let size = p.op.pointee.size
    let a = s.getRegister(p.op.pointee.dst, size)
    let b = s.getRegister(p.op.pointee.src, size)
    s.putRegister(p.op.pointee.dst, size, b)
    s.putRegister(p.op.pointee.src, size, a)
    return next(s, p)
}

private func xchg<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    let new = s.get(p.op.pointee.dst, as: T.self)
    var old: T = 0
    guard
        s.modify(
            p, linear(s, p), as: T.self,
            { a in
                old = a
                return new
            })
    else { return abort(s, p) }
    s.put(p.op.pointee.dst, old)
    return next(s, p)
}

let exchangeMemory: Handler = { s, p in
    bySize(
        p, { xchg(s, p, UInt8.self) }, { xchg(s, p, UInt16.self) }, { xchg(s, p, UInt32.self) },
        { xchg(s, p, UInt64.self) })
}

// MARK: SHLD, SHRD

private func shiftDouble<T: Word>(_ s: S, _ p: P, isLeft: Bool, _: T.Type) -> P {
    let count = p.op.pointee.fixedCount.map { UInt64($0) } ?? shiftCount(s, T.self)
    let b = s.get(p.op.pointee.dst, as: T.self)
    let isDone = change(s, p, T.self) { a in count == 0 ? a : s.cpu.shiftDouble(a, b, count, isLeft: isLeft) }
    return isDone ? next(s, p) : abort(s, p)
}

let shiftDoubleLeft: Handler = { s, p in
    bySize(
        p, { toRunLoop }, { shiftDouble(s, p, isLeft: true, UInt16.self) },
        { shiftDouble(s, p, isLeft: true, UInt32.self) },
        { shiftDouble(s, p, isLeft: true, UInt64.self) })
}

let shiftDoubleRight: Handler = { s, p in
    bySize(
        p, { toRunLoop }, { shiftDouble(s, p, isLeft: false, UInt16.self) },
        { shiftDouble(s, p, isLeft: false, UInt32.self) },
        { shiftDouble(s, p, isLeft: false, UInt64.self) })
}

// MARK: Conversions

/// BSWAP; of 16 bits, undefined, as processors do it: zero.
let byteSwap: Handler = { s, p in
    let place = p.op.pointee.dst
    switch p.op.pointee.size {
    case 2: s.put(place, 0 as UInt16)
    case 4: s.put(place, s.get(place, as: UInt32.self).byteSwapped)
    default: s.put(place, s.get(place, as: UInt64.self).byteSwapped)
    }
    return next(s, p)
}

/// CBW, CWDE, CDQE
let convertHalf: Handler = { s, p in
    switch p.op.pointee.size {
    case 2: s.put(Register.rax, UInt16(truncatingIfNeeded: signExtended(s.get(Register.rax, as: UInt8.self))))
    case 4: s.put(Register.rax, UInt32(truncatingIfNeeded: signExtended(s.get(Register.rax, as: UInt16.self))))
    default: s.put(Register.rax, signExtended(s.get(Register.rax, as: UInt32.self)))
    }
    return next(s, p)
}

/// CWD, CDQ, CQO
let convertDouble: Handler = { s, p in
    switch p.op.pointee.size {
    case 2: s.put(Register.rdx, s.get(Register.rax, as: Int16.self) < 0 ? UInt16.max : 0)
    case 4: s.put(Register.rdx, s.get(Register.rax, as: Int32.self) < 0 ? UInt32.max : 0)
    default: s.put(Register.rdx, s.get(Register.rax, as: Int64.self) < 0 ? UInt64.max : 0)
    }
    return next(s, p)
}

let translatePrepare: Handler = { s, p in
    s[Register.temporary] = s[Register.rbx] &+ UInt64(s.get(Register.rax, as: UInt8.self))
    return next(s, p)
}

let loadSwapped: Handler = { s, p in
    let address = linear(s, p)
    let place = p.op.pointee.dst
    switch p.op.pointee.size {
    case 2:
        guard let value = s.read(p, address, as: UInt16.self) else { return abort(s, p) }
        s.put(place, value.byteSwapped)
    case 4:
        guard let value = s.read(p, address, as: UInt32.self) else { return abort(s, p) }
        s.put(place, value.byteSwapped)
    default:
        guard let value = s.read(p, address, as: UInt64.self) else { return abort(s, p) }
        s.put(place, value.byteSwapped)
    }
    return next(s, p)
}

let storeSwapped: Handler = { s, p in
    let address = linear(s, p)
    let place = p.op.pointee.dst
    let isWritten: Bool
    switch p.op.pointee.size {
    case 2: isWritten = s.write(p, address, s.get(place, as: UInt16.self).byteSwapped)
    case 4: isWritten = s.write(p, address, s.get(place, as: UInt32.self).byteSwapped)
    default: isWritten = s.write(p, address, s.get(place, as: UInt64.self).byteSwapped)
    }
    return isWritten ? next(s, p) : abort(s, p)
}

/// CRC-32C (polynomial 0x11EDC6F41, reflected 0x82F63B78), a bit at a time.
private func crc<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    guard var data = operand(s, p, as: T.self) else { return abort(s, p) }
    var sum = s.get(p.op.pointee.dst, as: UInt32.self)
    for _ in 0..<T.bitWidth {
        let bit = (sum ^ UInt32(truncatingIfNeeded: data)) & 1
        sum = sum &>> 1 ^ (bit != 0 ? 0x82f6_3b78 : 0)
        data = data &>> 1
    }
    s.put(p.op.pointee.dst, UInt64(sum))
    return next(s, p)
}

let crc32: Handler = { s, p in
    bySize(
        p, { crc(s, p, UInt8.self) }, { crc(s, p, UInt16.self) }, { crc(s, p, UInt32.self) }, { crc(s, p, UInt64.self) }
    )
}

// MARK: Flags

let loadFlags: Handler = { s, p in
    s.put(1, UInt8(truncatingIfNeeded: s.cpu.statusFlags & 0xd5 | 2))
    return next(s, p)
}

let storeFlags: Handler = { s, p in
    let image = UInt64(s.get(1, as: UInt8.self)) & 0xd5
    s.cpu.setStatusFlags(image | s.cpu.statusFlags & RFLAGS.of)
    return next(s, p)
}

/// SALC: AL is FF or 0 as CF says, and no flag changes (the opcode table of AMD's manual, volume 3, names it).
let setALFromCarry: Handler = { s, p in
    s.put(Register.rax, s.cpu.carry ? 0xff as UInt8 : 0)
    return next(s, p)
}

let clearCarry: Handler = { s, p in
    s.cpu.setCarry(false)
    return next(s, p)
}

let setCarryFlag: Handler = { s, p in
    s.cpu.setCarry(true)
    return next(s, p)
}

let complementCarry: Handler = { s, p in
    s.cpu.setCarry(!s.cpu.carry)
    return next(s, p)
}

let clearDirection: Handler = { s, p in
    s.cpu.pointee.systemFlags &= ~RFLAGS.df
    return next(s, p)
}

let setDirection: Handler = { s, p in
    s.cpu.pointee.systemFlags |= RFLAGS.df
    return next(s, p)
}

/// LFENCE, MFENCE, SFENCE, and XCHG AX, AX: one CPU sees its own order.
let fence: Handler = { s, p in next(s, p) }

/// CLFLUSH: there is no cache; the address is checked as a load is.
let cacheLineFlush: Handler = { s, p in
    s.read(p, linear(s, p), as: UInt8.self) != nil ? next(s, p) : abort(s, p)
}

let raiseUndefined: Handler = { s, p in raise(s, p, Vector.ud) }

// MARK: Decimal arithmetic

let decimalAdjustAdd: Handler = { s, p in
    let old = s.get(Register.rax, as: UInt8.self)
    let hadCarry = s.cpu.carry
    let adjusts = old & 15 > 9 || s.cpu.adjust
    var al = adjusts ? old &+ 6 : old
    let carries = old > 0x99 || hadCarry
    if carries { al = al &+ 0x60 }
    s.put(Register.rax, al)
    s.cpu.setDecimal(al, carry: carries, adjust: adjusts)
    return next(s, p)
}

let decimalAdjustSubtract: Handler = { s, p in
    let old = s.get(Register.rax, as: UInt8.self)
    let hadCarry = s.cpu.carry
    let adjusts = old & 15 > 9 || s.cpu.adjust
    var al = adjusts ? old &- 6 : old
    var carry = adjusts && (hadCarry || old < 6)
    if old > 0x99 || hadCarry {
        al = al &- 0x60
        carry = true
    }
    s.put(Register.rax, al)
    s.cpu.setDecimal(al, carry: carry, adjust: adjusts)
    return next(s, p)
}

let asciiAdjustAdd: Handler = { s, p in
    var ax = s.get(Register.rax, as: UInt16.self)
    let adjusts = ax & 15 > 9 || s.cpu.adjust
    if adjusts { ax = ax &+ 0x106 }
    ax &= 0xff0f
    s.put(Register.rax, ax)
    s.cpu.setDecimal(UInt8(truncatingIfNeeded: ax), carry: adjusts, adjust: adjusts)
    return next(s, p)
}

let asciiAdjustSubtract: Handler = { s, p in
    var ax = s.get(Register.rax, as: UInt16.self)
    let adjusts = ax & 15 > 9 || s.cpu.adjust
    if adjusts {
        ax = ax &- 6
        ax = ax &- 0x100
    }
    ax &= 0xff0f
    s.put(Register.rax, ax)
    s.cpu.setDecimal(UInt8(truncatingIfNeeded: ax), carry: adjusts, adjust: adjusts)
    return next(s, p)
}

let asciiAdjustMultiply: Handler = { s, p in
    let base = UInt8(truncatingIfNeeded: p.op.pointee.imm64)
    guard base != 0 else { return raise(s, p, Vector.de) }
    let al = s.get(Register.rax, as: UInt8.self)
    s.put(Register.rax, UInt16(al / base) << 8 | UInt16(al % base))
    s.cpu.setLogic(al % base)
    return next(s, p)
}

let asciiAdjustDivide: Handler = { s, p in
    let base = UInt8(truncatingIfNeeded: p.op.pointee.imm64)
    let al = s.get(Register.rax, as: UInt8.self) &+ s.get(1, as: UInt8.self) &* base
    s.put(Register.rax, UInt16(al))
    s.cpu.setLogic(al)
    return next(s, p)
}

extension UnsafeMutablePointer<CPUState> {
    fileprivate func setDecimal(_ al: UInt8, carry: Bool, adjust: Bool) {
        setLogic(al)
        setCarry(carry, overflow: false)
        if adjust { pointee.aux ^= 0x10 }
    }
}
