// What an instruction table entry says of an operand. Names as in the SDM's opcode map (volume 2, appendix A): E ModRM register or
// memory, G ModRM.reg, I immediate, J relative target, M memory only, O moffs, R register in ModRM.rm, S segment, C control, D debug,
// V XMM in reg, W XMM or memory, U XMM in rm, P MMX in reg, Q MMX or memory, N MMX in rm, X and Y string operands, Z register in the
// opcode's low bits. Sizes: b 1, w 2, d 4, q 8, dq 16, v operand size, y 4 or 8, z 2 or 4.
enum Operand: UInt8 {
    case none
    case Eb, Ew, Ed, Eq, Ev, Ey
    case Gb, Gw, Gd, Gv, Gy
    /// Register in rm, 4 bytes or 8 in 64-bit mode: MOV CR and DR.
    case Ry
    case M, Mb, Mw, Md, Mq, Mdq
    /// Memory of the operand size; y: 4 or 8 bytes.
    case Mv, My
    /// Pseudo-descriptor (limit and base), a pair for BOUND, a far pointer.
    case Ms, Ma, Mp
    case Ib, Iw, Iz, Iv
    /// A byte, sign-extended to the operand size.
    case Ibs
    case Jb, Jz, Ap
    case Ob, Ov
    case Sw, Cy, Dy
    case Zb, Zv
    case AL, rAX, CL, DX, one
    case ES, CS, SS, DS, FS, GS
    case Xb, Xv, Yb, Yv
    case Vdq, Wdq, Wq, Wd, Ww, Udq
    case Pq, Qq, Qd, Nq
    /// x87: ST(0), ST(i), and memory operands of float, integer, BCD, environment and state.
    case ST, STi
    case Mf32, Mf64, Mf80, Mi16, Mi32, Mi64, Mbcd, Menv, Mstate
    /// FXSAVE's 512 bytes, XSAVE's area.
    case Mfx, Mxsave

    /// Whether a ModRM byte follows the opcode because of it.
    var needsModRM: Bool {
        switch self {
        case .none, .Ib, .Iw, .Iz, .Iv, .Ibs, .Jb, .Jz, .Ap, .Ob, .Ov, .Zb, .Zv, .AL, .rAX, .CL, .DX, .one, .ES, .CS,
            .SS,
            .DS, .FS, .GS, .Xb, .Xv, .Yb, .Yv, .ST:
            false
        default: true
        }
    }

    /// Bytes of the operand, given the operand size; 0: not fixed by it.
    func size(_ operandSize: UInt8, is64: Bool = false) -> UInt8 {
        switch self {
        case .Eb, .Gb, .Mb, .Ib, .Ibs, .Jb, .Ob, .Zb, .AL, .CL, .one, .Xb, .Yb: 1
        case .Ew, .Gw, .Mw, .Iw, .Sw, .DX, .ES, .CS, .SS, .DS, .FS, .GS, .Ww, .Mi16: 2
        case .Ed, .Gd, .Md, .Wd, .Qd, .Mf32, .Mi32: 4
        case .Eq, .Mq, .Wq, .Pq, .Qq, .Nq, .Mf64, .Mi64: 8
        case .Mdq, .Vdq, .Wdq, .Udq: 16
        case .Mf80, .Mbcd: 10
        case .Ev, .Gv, .Mv, .Iv, .Ov, .Zv, .rAX, .Xv, .Yv: operandSize
        case .Ey, .Gy, .My: operandSize == 8 ? 8 : 4
        case .Ry, .Cy, .Dy: is64 ? 8 : 4
        case .Iz, .Jz: min(operandSize, 4)
        default: 0
        }
    }
}
