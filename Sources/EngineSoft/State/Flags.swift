// Lazy flags. An instruction leaves three words, whatever its width, and each flag is computed when it is read:
//   result   sign-extended to 64 bits          ZF: result == 0
//   carries  carry out of each bit, aligned so that bit 63 is that of the operand's most significant bit
//                                              CF: bit 63; OF: bit 63 ^ bit 62
//   aux      corrections                       AF: bit 4 of result ^ aux; SF: bit 63 of result ^ aux; PF: inverted by bit 8
// The corrections let any combination be set from an image (POPF, SAHF) and by instructions with rules of their own.

/// `value` of any width, sign-extended.
@inline(__always)
func signExtended<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> UInt64 {
    if T.bitWidth == 64 { return UInt64(truncatingIfNeeded: value) }
    let shift = UInt64(64 &- T.bitWidth)
    return UInt64(
        bitPattern: Int64(bitPattern: UInt64(truncatingIfNeeded: value) &<< shift) &>> Int64(bitPattern: shift))
}

extension UnsafeMutablePointer<CPUState> {
    @inline(__always) var carry: Bool { Int64(bitPattern: pointee.carries) < 0 }
    @inline(__always) var zero: Bool { pointee.result == 0 }
    @inline(__always) var sign: Bool { Int64(bitPattern: pointee.result ^ pointee.aux) < 0 }
    @inline(__always) var overflow: Bool { Int64(bitPattern: pointee.carries ^ (pointee.carries &<< 1)) < 0 }
    /// SF != OF.
    @inline(__always) var less: Bool {
        Int64(bitPattern: pointee.carries ^ (pointee.carries &<< 1) ^ pointee.result ^ pointee.aux) < 0
    }
    @inline(__always) var parity: Bool {
        var byte = UInt8(truncatingIfNeeded: pointee.result)
        byte ^= byte &>> 4
        byte ^= byte &>> 2
        byte ^= byte &>> 1
        return (UInt64(byte) ^ pointee.aux &>> 8) & 1 == 0
    }
    @inline(__always) var adjust: Bool { (pointee.result ^ pointee.aux) & 0x10 != 0 }

    /// CF, PF, AF, ZF, SF and OF at their places.
    var statusFlags: UInt64 {
        var flags: UInt64 = 0
        if carry { flags |= RFLAGS.cf }
        if parity { flags |= RFLAGS.pf }
        if adjust { flags |= RFLAGS.af }
        if zero { flags |= RFLAGS.zf }
        if sign { flags |= RFLAGS.sf }
        if overflow { flags |= RFLAGS.of }
        return flags
    }

    /// Sets the six from an image.
    @inline(__always)
    func setStatusFlags(_ flags: UInt64) {
        // 0x100: not zero, even parity, AF and SF clear.
        pointee.result = flags & RFLAGS.zf != 0 ? 0 : 0x100
        pointee.aux = (flags & RFLAGS.sf) &<< 56 | (flags & RFLAGS.af) | ((flags & RFLAGS.pf) ^ RFLAGS.pf) &<< 6
        let carry = flags & 1
        let overflow = flags &>> 11 & 1
        pointee.carries = carry &<< 63 | (carry ^ overflow) &<< 62
    }

    /// RFLAGS as PUSHF stores it.
    var rflags: UInt64 {
        get { pointee.systemFlags | statusFlags | 2 }
        nonmutating set {
            setStatusFlags(newValue)
            pointee.systemFlags = newValue & ~RFLAGS.status | 2
        }
    }

    // MARK: By kind of instruction

    @inline(__always)
    func setAdd<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T, _ r: T) {
        let carry = (a & b) | ((a | b) & ~r)
        pointee.result = signExtended(r)
        pointee.carries = UInt64(truncatingIfNeeded: carry) &<< UInt64(64 &- T.bitWidth)
        pointee.aux = UInt64(truncatingIfNeeded: (a ^ b) & 0x10)
    }

    /// r = a - b (- borrow)
    @inline(__always)
    func setSubtract<T: FixedWidthInteger & UnsignedInteger>(_ a: T, _ b: T, _ r: T) {
        let borrow = (~a & b) | ((~a | b) & r)
        pointee.result = signExtended(r)
        pointee.carries = UInt64(truncatingIfNeeded: borrow) &<< UInt64(64 &- T.bitWidth)
        pointee.aux = UInt64(truncatingIfNeeded: (a ^ b) & 0x10)
    }

    /// AND, OR, XOR, TEST: CF and OF clear; AF, undefined, clear.
    @inline(__always)
    func setLogic<T: FixedWidthInteger & UnsignedInteger>(_ r: T) {
        pointee.result = signExtended(r)
        pointee.carries = 0
        pointee.aux = pointee.result & 0x10
    }

    /// SF, ZF and PF of a result, AF clear, CF and OF as told.
    @inline(__always)
    func setShift<T: FixedWidthInteger & UnsignedInteger>(_ r: T, carry: Bool, overflow: Bool) {
        pointee.result = signExtended(r)
        pointee.aux = pointee.result & 0x10
        setCarry(carry, overflow: overflow)
    }

    /// CF and OF alone.
    @inline(__always)
    func setCarry(_ carry: Bool, overflow: Bool) {
        pointee.carries = (carry ? 1 << 63 : 0) | (carry != overflow ? 1 << 62 : 0)
    }

    /// CF alone; OF stays.
    @inline(__always)
    func setCarry(_ carry: Bool) { setCarry(carry, overflow: overflow) }

    /// A condition code 0-15 of Jcc, SETcc, CMOVcc (SDM volume 1, appendix B).
    @inline(__always)
    func condition(_ code: UInt8) -> Bool {
        let value: Bool
        switch code &>> 1 {
        case 0: value = overflow
        case 1: value = carry
        case 2: value = zero
        case 3: value = carry || zero
        case 4: value = sign
        case 5: value = parity
        case 6: value = less
        default: value = less || zero
        }
        return value != (code & 1 != 0)
    }
}
