// ADD to CMP, INC to NEG, MOV and relatives: what an operation does to its operands, generic over width.
// Source: SDM volume 2. The handlers that combine them with operand forms are in Interpret/.

typealias Word = FixedWidthInteger & UnsignedInteger
typealias CPUPointer = UnsafeMutablePointer<CPUState>

/// A two-operand operation that sets all status flags.
protocol BinaryOperation {
    /// The result is written to the destination.
    static var writes: Bool { get }
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T
}

extension BinaryOperation {
    @inline(__always) static var writes: Bool { true }
}

enum Add: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        let r = a &+ b
        cpu.setAdd(a, b, r)
        return r
    }
}

enum Adc: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        let r = a &+ b &+ (cpu.carry ? 1 : 0)
        cpu.setAdd(a, b, r)
        return r
    }
}

enum Sub: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        let r = a &- b
        cpu.setSubtract(a, b, r)
        return r
    }
}

enum Sbb: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        let r = a &- b &- (cpu.carry ? 1 : 0)
        cpu.setSubtract(a, b, r)
        return r
    }
}

enum Cmp: BinaryOperation {
    @inline(__always) static var writes: Bool { false }
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        cpu.setSubtract(a, b, a &- b)
        return a
    }
}

enum And: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        let r = a & b
        cpu.setLogic(r)
        return r
    }
}

enum Or: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        let r = a | b
        cpu.setLogic(r)
        return r
    }
}

enum Xor: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        let r = a ^ b
        cpu.setLogic(r)
        return r
    }
}

enum Test: BinaryOperation {
    @inline(__always) static var writes: Bool { false }
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T {
        cpu.setLogic(a & b)
        return a
    }
}

/// MOV: the flags stay.
enum Mov: BinaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T, _ b: T) -> T { b }
}

/// A one-operand operation.
protocol UnaryOperation {
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T) -> T
}

enum Inc: UnaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T) -> T {
        let carry = cpu.carry
        let r = a &+ 1
        cpu.setAdd(a, 1, r)
        cpu.setCarry(carry, overflow: r == T(1) &<< T(T.bitWidth &- 1))
        return r
    }
}

enum Dec: UnaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T) -> T {
        let carry = cpu.carry
        let r = a &- 1
        cpu.setSubtract(a, 1, r)
        cpu.setCarry(carry, overflow: a == T(1) &<< T(T.bitWidth &- 1))
        return r
    }
}

enum Neg: UnaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T) -> T {
        let r = 0 &- a
        cpu.setSubtract(0, a, r)
        return r
    }
}

enum Not: UnaryOperation {
    @inline(__always)
    static func apply<T: Word>(_ cpu: CPUPointer, _ a: T) -> T { ~a }
}
