// Status flags in generated code: not the flags, but what they follow from. An instruction leaves a kind and its inputs, and who wants to see
// the flags makes them by the interpreter's own rules (State/Flags.swift), undefined ones included. In RunState: `flagKind`, `flagA`, `flagB`
// and the carry in `flagC`; kind 0 says that CPUState has them.

struct FlagRecipe: Equatable {
    enum Kind: UInt32, CaseIterable {
        // a: the first operand, b: the second.
        case subtract = 1, add, test
        // a: the result; b: the second operand.
        case addResult, subtractResult
        // Of numbers of the width, as UCOMISS and UCOMISD compare them.
        case compareFloats
        // a: SF, ZF, PF and CF as LAHF has them, in bits 15:8; OF and AF are clear.
        case image
        // a: the result.
        case logic, negate
        // And the carry: one that was added or taken off too; that of a shift's last step; of a product that does not fit.
        case addCarry, subtractBorrow
        case shiftLeft, shiftRightOnce, shiftRight, product
        // And the carry of the instruction before. The last ones: `keepsCarry` says so.
        case increment, decrement

        var usesCarry: Bool { rawValue >= Kind.addCarry.rawValue }
        var usesB: Bool {
            switch self {
            case .subtract, .add, .test, .addResult, .subtractResult, .compareFloats, .addCarry, .subtractBorrow: true
            default: false
            }
        }
    }

    var kind: Kind
    var width: Width
    var a: Input
    var b = Input.none

    enum Input: Equatable {
        case none
        /// What a guest's register has.
        case register(UInt8)
        case immediate(Int32)
        /// In its place in RunState.
        case kept
    }

    /// `flagKind`.
    var code: UInt32 { FlagRecipe.code(kind, width) }
    static func code(_ kind: Kind, _ width: Width) -> UInt32 { kind.rawValue << 2 | UInt32(width.rawValue) }
    /// Codes from here on have the CF of an instruction before in `flagC`.
    static let firstKeepingCarry = Kind.increment.rawValue << 2
    static let codeCount = (Int(Kind.decrement.rawValue) + 1) * 4

    // MARK: In the words of CPUState

    /// Makes the words of what `flagKind` says.
    static func settle(_ s: S) {
        let code = s.run.pointee.flagKind
        s.run.pointee.flagKind = 0
        guard code != 0, let kind = Kind(rawValue: code >> 2) else { return }
        let (a, b) = (s.run.pointee.flagA, s.run.pointee.flagB)
        if kind == .image { return s.cpu.setStatusFlags(a >> 8 & (RFLAGS.zf | RFLAGS.pf | RFLAGS.cf)) }
        if kind == .compareFloats { return settleFloats(s, a, b, isDouble: code & 3 == 3) }
        switch code & 3 {
        case 0: settle(s, kind, UInt8.self)
        case 1: settle(s, kind, UInt16.self)
        case 2: settle(s, kind, UInt32.self)
        default: settle(s, kind, UInt64.self)
        }
    }

    private static func settle<T: Word>(_ s: S, _ kind: Kind, _: T.Type) {
        let a = T(truncatingIfNeeded: s.run.pointee.flagA)
        let b = T(truncatingIfNeeded: s.run.pointee.flagB)
        let carry = s.run.pointee.flagC & 1 != 0
        let one: T = carry ? 1 : 0
        let top = T(1) &<< T(truncatingIfNeeded: T.bitWidth - 1)
        let cpu = s.cpu
        switch kind {
        case .subtract: cpu.setSubtract(a, b, a &- b)
        case .add: cpu.setAdd(a, b, a &+ b)
        case .test: cpu.setLogic(a & b)
        case .addResult: cpu.setAdd(a &- b, b, a)
        case .subtractResult: cpu.setSubtract(a &+ b, b, a)
        case .compareFloats, .image: break
        case .logic: cpu.setLogic(a)
        case .negate: cpu.setSubtract(0, 0 &- a, a)
        case .addCarry: cpu.setAdd(a &- b &- one, b, a)
        case .subtractBorrow: cpu.setSubtract(a &+ b &+ one, b, a)
        case .shiftLeft: cpu.setShift(a, carry: carry, overflow: carry != (a & top != 0))
        // The operand's sign is the bit below the result's.
        case .shiftRightOnce: cpu.setShift(a, carry: carry, overflow: a & top &>> 1 != 0)
        case .shiftRight: cpu.setShift(a, carry: carry, overflow: false)
        case .product: cpu.setShift(a, carry: carry, overflow: carry)
        case .increment:
            cpu.setAdd(a &- 1, 1, a)
            cpu.setCarry(carry, overflow: a == top)
        case .decrement:
            cpu.setSubtract(a &+ 1, 1, a)
            cpu.setCarry(carry, overflow: a &+ 1 == top)
        }
    }
}

extension FlagRecipe {
    /// By the bits: the host's own comparison would leave flags of its own in MXCSR.
    fileprivate static func settleFloats(_ s: S, _ a: UInt64, _ b: UInt64, isDouble: Bool) {
        let top: UInt64 = isDouble ? 1 << 63 : 1 << 31
        let infinity: UInt64 = isDouble ? 0x7ff << 52 : 0xff << 23
        func magnitude(_ x: UInt64) -> UInt64 { x & (top - 1) }
        func order(_ x: UInt64) -> Int64 { x & top != 0 ? -Int64(magnitude(x)) : Int64(magnitude(x)) }
        let isUnordered = magnitude(a) > infinity || magnitude(b) > infinity
        let (isEqual, isLess) = (isUnordered || order(a) == order(b), isUnordered || order(a) < order(b))
        s.cpu.setStatusFlags(
            (isEqual ? RFLAGS.zf : 0) | (isUnordered ? RFLAGS.pf : 0) | (isLess ? RFLAGS.cf : 0))
    }
}

/// After generated code.
@inline(never)
func settleFlags(_ s: S) { FlagRecipe.settle(s) }

/// The same, called by generated code.
let settleFlagsForCode: @convention(c) (S) -> Void = { s in FlagRecipe.settle(s) }

/// Makes the words, too: OF in bits 7:0, and bits 7:0 of EFLAGS in bits 15:8.
let flagsImageForCode: @convention(c) (S) -> UInt64 = { s in
    FlagRecipe.settle(s)
    let flags = s.cpu.statusFlags
    return flags >> 11 & 1 | (flags & 0xd5 | 2) << 8
}

/// Flags by the conditions that read them.
struct FlagSet: OptionSet {
    let rawValue: UInt8
    static let carry = FlagSet(rawValue: 1)
    static let zero = FlagSet(rawValue: 2)
    static let sign = FlagSet(rawValue: 4)
    static let overflow = FlagSet(rawValue: 8)
    static let parity = FlagSet(rawValue: 16)
    static let all: FlagSet = [.carry, .zero, .sign, .overflow, .parity]

    /// Of a condition code (SDM volume 1, appendix B).
    static func read(by condition: UInt8) -> FlagSet {
        switch condition >> 1 & 7 {
        case 0: .overflow
        case 1: .carry
        case 2: .zero
        case 3: [.carry, .zero]
        case 4: .sign
        case 5: .parity
        case 6: [.sign, .overflow]
        default: [.zero, .sign, .overflow]
        }
    }
}
