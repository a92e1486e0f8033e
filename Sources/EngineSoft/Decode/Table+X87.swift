// x87 instructions. Source: SDM volume 2, appendix A.4 (tables ).

extension TableBuilder {
    /// By ModRM.reg.
    private static let arithmetic: [Mnemonic] = [.fadd, .fmul, .fcom, .fcomp, .fsub, .fsubr, .fdiv, .fdivr]

    mutating func addX87() {
        addX87Memory()
        addX87Registers()
    }

    private mutating func addX87Memory() {
        let integer: [Mnemonic] = [.fiadd, .fimul, .ficom, .ficomp, .fisub, .fisubr, .fidiv, .fidivr]
        for number in 0..<8 {
            memory(0xd8, UInt8(number), Self.arithmetic[number], .Mf32)
            memory(0xda, UInt8(number), integer[number], .Mi32)
            memory(0xdc, UInt8(number), Self.arithmetic[number], .Mf64)
            memory(0xde, UInt8(number), integer[number], .Mi16)
        }
        memory(0xd9, 0, .fld, .Mf32)
        memory(0xd9, 2, .fst, .Mf32)
        memory(0xd9, 3, .fstp, .Mf32)
        memory(0xd9, 4, .fldenv, .Menv)
        memory(0xd9, 5, .fldcw, .Mw)
        memory(0xd9, 6, .fnstenv, .Menv)
        memory(0xd9, 7, .fnstcw, .Mw)
        memory(0xdb, 0, .fild, .Mi32)
        memory(0xdb, 1, .fisttp, .Mi32, .sse3)
        memory(0xdb, 2, .fist, .Mi32)
        memory(0xdb, 3, .fistp, .Mi32)
        memory(0xdb, 5, .fld, .Mf80)
        memory(0xdb, 7, .fstp, .Mf80)
        memory(0xdd, 0, .fld, .Mf64)
        memory(0xdd, 1, .fisttp, .Mi64, .sse3)
        memory(0xdd, 2, .fst, .Mf64)
        memory(0xdd, 3, .fstp, .Mf64)
        memory(0xdd, 4, .frstor, .Mstate)
        memory(0xdd, 6, .fnsave, .Mstate)
        memory(0xdd, 7, .fnstsw, .Mw)
        memory(0xdf, 0, .fild, .Mi16)
        memory(0xdf, 1, .fisttp, .Mi16, .sse3)
        memory(0xdf, 2, .fist, .Mi16)
        memory(0xdf, 3, .fistp, .Mi16)
        memory(0xdf, 4, .fbld, .Mbcd)
        memory(0xdf, 5, .fild, .Mi64)
        memory(0xdf, 6, .fbstp, .Mbcd)
        memory(0xdf, 7, .fistp, .Mi64)
    }

    private mutating func addX87Registers() {
        for (number, mnemonic) in Self.arithmetic.enumerated() { stack(0xd8, UInt8(number), mnemonic, .ST, .STi) }
        // DC D0 and D8 are undocumented names for FCOM and FCOMP, as are DD C8, DE D0, DF C8 to D8 for others.
        let reversed: [(UInt8, Mnemonic, popping: Mnemonic)] = [
            (0, .fadd, .faddp), (1, .fmul, .fmulp), (4, .fsubr, .fsubrp), (5, .fsub, .fsubp), (6, .fdivr, .fdivrp),
            (7, .fdiv, .fdivp),
        ]
        for (number, mnemonic, popping) in reversed {
            stack(0xdc, number, mnemonic, .STi, .ST)
            stack(0xde, number, popping, .STi, .ST)
        }
        stack(0xdc, 2, .fcom, .ST, .STi)
        stack(0xdc, 3, .fcomp, .ST, .STi)
        stack(0xde, 2, .fcomp, .ST, .STi)
        stack(0xde, 3, .fcompp, rm: 1)
        stack(0xd9, 0, .fld, .STi)
        stack(0xd9, 1, .fxch, .STi)
        stack(0xd9, 2, .fnop, rm: 0)
        stack(0xd9, 3, .fstp, .STi)
        let d9: [(UInt8, UInt8, Mnemonic)] = [
            (4, 0, .fchs), (4, 1, .fabs), (4, 4, .ftst), (4, 5, .fxam),
            (5, 0, .fld1), (5, 1, .fldl2t), (5, 2, .fldl2e), (5, 3, .fldpi), (5, 4, .fldlg2), (5, 5, .fldln2),
            (5, 6, .fldz),
            (6, 0, .f2xm1), (6, 1, .fyl2x), (6, 2, .fptan), (6, 3, .fpatan), (6, 4, .fxtract), (6, 5, .fprem1),
            (6, 6, .fdecstp),
            (6, 7, .fincstp), (7, 0, .fprem), (7, 1, .fyl2xp1), (7, 2, .fsqrt), (7, 3, .fsincos), (7, 4, .frndint),
            (7, 5, .fscale), (7, 6, .fsin), (7, 7, .fcos),
        ]
        for (reg, rm, mnemonic) in d9 { stack(0xd9, reg, mnemonic, rm: rm) }
        for reg in 0..<4 as Range<UInt8> {
            stack(0xda, reg, .fcmov, .ST, .STi)
            stack(0xdb, reg, .fcmov, .ST, .STi)
        }
        stack(0xda, 5, .fucompp, rm: 1)
        // FENI, FDISI and FSETPM of the 8087 and 287 do nothing.
        stack(0xdb, 4, .fnop, rm: 0)
        stack(0xdb, 4, .fnop, rm: 1)
        stack(0xdb, 4, .fnclex, rm: 2)
        stack(0xdb, 4, .fninit, rm: 3)
        stack(0xdb, 4, .fnop, rm: 4)
        stack(0xdb, 5, .fucomi, .ST, .STi)
        stack(0xdb, 6, .fcomi, .ST, .STi)
        stack(0xdd, 0, .ffree, .STi)
        stack(0xdd, 1, .fxch, .STi)
        stack(0xdd, 2, .fst, .STi)
        stack(0xdd, 3, .fstp, .STi)
        stack(0xdd, 4, .fucom, .ST, .STi)
        stack(0xdd, 5, .fucomp, .ST, .STi)
        stack(0xdf, 0, .ffreep, .STi)
        stack(0xdf, 1, .fxch, .STi)
        stack(0xdf, 2, .fstp, .STi)
        stack(0xdf, 3, .fstp, .STi)
        stack(0xdf, 4, .fnstsw, rm: 0)
        stack(0xdf, 5, .fucomip, .ST, .STi)
        stack(0xdf, 6, .fcomip, .ST, .STi)
    }

    private mutating func memory(
        _ opcode: UInt8, _ reg: UInt8, _ mnemonic: Mnemonic, _ operand: Operand, _ feature: Feature = .base
    ) {
        add(.one, opcode, mnemonic, operand, reg: reg, form: .memory, flags: .x87, feature: feature)
    }

    private mutating func stack(
        _ opcode: UInt8, _ reg: UInt8, _ mnemonic: Mnemonic, _ a: Operand = .none, _ b: Operand = .none, rm: UInt8 = 8
    ) {
        add(.one, opcode, mnemonic, a, b, reg: reg, rm: rm, form: .register, flags: .x87)
    }
}
