// What the SDM leaves undefined (volume 2, "Flags Affected" of each instruction), and which instructions read which flags.

@testable import EngineSoft

struct FlagRules {
    /// Status flags with no defined value afterwards.
    var undefined: UInt64 = 0
    /// Flags that it sets to something defined.
    var written: UInt64 = 0
    /// Flags whose value before it matters for what it does.
    var read: UInt64 = 0

    private static let cf: UInt64 = 1, pf: UInt64 = 4, af: UInt64 = 0x10, zf: UInt64 = 0x40, sf: UInt64 = 0x80,
        of: UInt64 = 0x800
    static let status = cf | pf | af | zf | sf | of

    /// `count`: of a shift, where it is known, masked.
    init(_ i: Instruction, count: UInt64?) {
        let all = FlagRules.status
        switch i.mnemonic {
        case .add, .sub, .cmp, .neg, .xadd, .cmpxchg, .cmps, .scas: written = i.repeats ? 0 : all
        case .adc, .sbb: (read, written) = (Self.cf, all)
        case .and, .or, .xor, .test: (undefined, written) = (Self.af, all & ~Self.af)
        case .inc, .dec: written = all & ~Self.cf
        case .mul, .imul, .imul2, .imul3:
            (written, undefined) = (Self.cf | Self.of, all & ~(Self.cf | Self.of))
        case .div, .idiv: undefined = all
        case .shl, .shr, .sar: shift(i, count)
        case .rol, .ror, .rcl, .rcr:
            if i.mnemonic == .rcl || i.mnemonic == .rcr { read = Self.cf }
            if count != 0, count != 1 { undefined = Self.of }
        case .shld, .shrd:
            if count != 0 { undefined = Self.af }
            if count != 0, count != 1 { undefined |= Self.of }
        case .bt, .bts, .btr, .btc: (written, undefined) = (Self.cf, Self.of | Self.sf | Self.af | Self.pf)
        case .bsf, .bsr: (written, undefined) = (Self.zf, all & ~Self.zf)
        case .tzcnt, .lzcnt: (written, undefined) = (Self.cf | Self.zf, Self.of | Self.sf | Self.pf | Self.af)
        case .popcnt: written = all
        case .aaa, .aas: (read, written, undefined) = (Self.af, Self.af | Self.cf, all & ~(Self.af | Self.cf))
        case .aam, .aad: (written, undefined) = (Self.sf | Self.zf | Self.pf, Self.of | Self.af | Self.cf)
        case .daa, .das: (read, written, undefined) = (Self.af | Self.cf, all & ~Self.of, Self.of)
        case .jcc, .set, .cmov, .fcmov: read = all & ~Self.af
        case .cmc: (read, written) = (Self.cf, Self.cf)
        case .salc: read = Self.cf
        case .clc, .stc: written = Self.cf
        case .lahf: read = all & ~Self.of
        case .sahf: written = all & ~Self.of
        case .loope, .loopne: read = Self.zf
        default: break
        }
    }

    private mutating func shift(_ i: Instruction, _ count: UInt64?) {
        let width = UInt64((i.opcode & 1 == 0 ? 1 : i.operandSize)) * 8
        guard let count else {
            undefined = Self.af | Self.of
            if width < 32 { undefined |= Self.cf }
            return
        }
        if count == 0 { return }
        undefined = Self.af
        if count != 1 { undefined |= Self.of }
        if count >= width, i.mnemonic != .sar { undefined |= Self.cf }
        written = FlagRules.status & ~undefined
    }
}
