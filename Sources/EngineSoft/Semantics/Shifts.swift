// Shifts and rotates. Source: SDM volume 2, "SAL/SAR/SHL/SHR" and "RCL/RCR/ROL/ROR". OF, undefined for counts other than 1, is what
// processors give: for SHL MSB ^ CF, for SHR the operand's MSB at a count of 1, else as computed from the last step.

/// `count` is masked by the caller (5 bits, 6 for 64-bit operands) and not 0.
protocol ShiftOperation {
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T
}

@inline(__always)
private func isNegative<T: Word>(_ value: T) -> Bool { value &>> T(truncatingIfNeeded: T.bitWidth &- 1) != 0 }

enum Shl: ShiftOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T {
        let wide = UInt64(truncatingIfNeeded: a)
        let r: T = count >= UInt64(T.bitWidth) ? 0 : T(truncatingIfNeeded: wide &<< count)
        // Beyond the width, 8 and 16-bit operands have shifted the last bit out long ago.
        let out = UInt64(T.bitWidth) &- count
        let carry = count <= UInt64(T.bitWidth) && wide &>> (out & 63) & 1 != 0 && (out != 64)
        cpu.setShift(r, carry: carry, overflow: carry != isNegative(r))
        return r
    }
}

enum Shr: ShiftOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T {
        let wide = UInt64(truncatingIfNeeded: a)
        let r = T(truncatingIfNeeded: wide &>> count)
        let carry = wide &>> (count &- 1) & 1 != 0
        // The last step's operand has MSB `a << (count - 1)`: 0 but for a count of 1.
        cpu.setShift(r, carry: carry, overflow: count == 1 && isNegative(a))
        return r
    }
}

enum Sar: ShiftOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T {
        let wide = Int64(bitPattern: signExtended(a))
        let r = T(truncatingIfNeeded: wide &>> Int64(bitPattern: count))
        let carry = (wide &>> Int64(bitPattern: count &- 1)) & 1 != 0
        cpu.setShift(r, carry: carry, overflow: false)
        return r
    }
}

enum Rol: ShiftOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T {
        let bits = T(truncatingIfNeeded: count & UInt64(T.bitWidth &- 1))
        let r = bits == 0 ? a : a &<< bits | a &>> (T(truncatingIfNeeded: T.bitWidth) &- bits)
        let carry = r & 1 != 0
        cpu.setFlagsOfRotate(carry: carry, overflow: carry != isNegative(r))
        return r
    }
}

enum Ror: ShiftOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T {
        let bits = T(truncatingIfNeeded: count & UInt64(T.bitWidth &- 1))
        let r = bits == 0 ? a : a &>> bits | a &<< (T(truncatingIfNeeded: T.bitWidth) &- bits)
        let carry = isNegative(r)
        cpu.setFlagsOfRotate(carry: carry, overflow: carry != isNegative(r &<< 1))
        return r
    }
}

enum Rcl: ShiftOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T {
        var r = a
        var carry = cpu.carry
        var left = T.bitWidth < 32 ? count % UInt64(T.bitWidth + 1) : count
        if left == 0 {
            cpu.setCarry(carry, overflow: carry != isNegative(a))
            return a
        }
        while left > 0 {
            let out = isNegative(r)
            r = r &<< 1 | (carry ? 1 : 0)
            carry = out
            left &-= 1
        }
        cpu.setFlagsOfRotate(carry: carry, overflow: carry != isNegative(r))
        return r
    }
}

enum Rcr: ShiftOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ count: UInt64) -> T {
        var r = a
        var carry = cpu.carry
        var left = T.bitWidth < 32 ? count % UInt64(T.bitWidth + 1) : count
        if left == 0 {
            cpu.setCarry(carry, overflow: isNegative(a) != isNegative(a &<< 1))
            return a
        }
        while left > 0 {
            let out = r & 1 != 0
            r = r &>> 1 | (carry ? T(1) &<< T(truncatingIfNeeded: T.bitWidth &- 1) : 0)
            carry = out
            left &-= 1
        }
        cpu.setFlagsOfRotate(carry: carry, overflow: isNegative(r) != isNegative(r &<< 1))
        return r
    }
}

extension UnsafeMutablePointer<CPUState> {
    /// CF and OF; SF, ZF, AF and PF stay.
    @inline(__always)
    func setFlagsOfRotate(carry: Bool, overflow: Bool) { setCarry(carry, overflow: overflow) }

    /// SHLD and SHRD: a shift of `a` that takes its new bits from `b`. `count` masked and not 0.
    @inline(__always)
    func shiftDouble<T: Word>(_ a: T, _ b: T, _ count: UInt64, isLeft: Bool) -> T {
        let width = UInt64(T.bitWidth)
        // 16-bit operands with counts above 16, undefined, behave as a shift of the three words b:a:b or a:b:a.
        var r = a
        var carry = false
        var left = count
        var source = b
        var taken: UInt64 = 0
        while left > 0 {
            if taken == width {
                source = a
                taken = 0
            }
            if isLeft {
                carry = isNegative(r)
                r = r &<< 1 | (isNegative(source) ? 1 : 0)
                source = source &<< 1
            } else {
                carry = r & 1 != 0
                r = r &>> 1 | (source & 1 != 0 ? T(1) &<< T(truncatingIfNeeded: T.bitWidth &- 1) : 0)
                source = source &>> 1
            }
            taken &+= 1
            left &-= 1
        }
        setShift(r, carry: carry, overflow: isNegative(r) != isNegative(a))
        return r
    }
}
