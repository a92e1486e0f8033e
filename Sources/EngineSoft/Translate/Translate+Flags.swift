// Status flags as the interpreter keeps them (State/Flags.swift), made of what the host's instruction left. Only where somebody sees them.

extension BlockEmitter {
    var areFlagsSeen: Bool { liveness.isLive[number] }

    /// Which rule the host's CF and OF follow.
    enum Carries {
        /// CF and OF are the host's.
        case both
        /// CF is the host's, and OF is clear.
        case carryAlone
        /// CF is the host's, and OF is CF and the result's sign apart.
        case shiftedLeft
        /// OF is the host's, and CF stays.
        case overflowAlone
        /// Both are clear.
        case none
    }

    /// Behind the host's instruction, whose flags are still there: the three words. `result` is not R10; R14 holds in its bit 4 what AF is
    /// to differ from, where `hasAux`; else AF is clear.
    mutating func keepFlags(_ width: Width, _ result: HostRegister, _ carries: Carries, hasAux: Bool) {
        switch width {
        case .quad: code.mov(.quad, BlockEmitter.result, result)
        default:
            code.extend(signed: true, from: width, .quad, .r10, result)
            code.mov(.quad, BlockEmitter.result, .r10)
        }
        if !hasAux { code.mov(.double, .r14, result) }
        keep(carries, width, result)
        code.arithmetic(.and, .double, .r14, 0x10)
        code.mov(.quad, BlockEmitter.aux, .r14)
    }

    /// Bit 63 of the word is CF; bit 62 differs from it where OF is set.
    private mutating func keep(_ carries: Carries, _ width: Width, _ result: HostRegister) {
        switch carries {
        case .none: return code.mov(.quad, BlockEmitter.carries, 0)
        case .both:
            code.set(.b, .r10)
            code.set(.o, .r11)
            code.extend(signed: false, from: .byte, .double, .r10, .r10)
            code.extend(signed: false, from: .byte, .double, .r11, .r11)
            code.arithmetic(.xor, .double, .r11, .r10)
            code.lea(.quad, .r10, HostAddress(.r11, .r10, scale: 1))
        case .carryAlone:
            code.set(.b, .r10)
            code.extend(signed: false, from: .byte, .double, .r10, .r10)
            code.lea(.quad, .r10, HostAddress(.r10, .r10, scale: 1))
        case .shiftedLeft:
            code.set(.b, .r10)
            code.extend(signed: false, from: .byte, .double, .r10, .r10)
            code.mov(.quad, .r11, BlockEmitter.result)
            code.shift(.shr, .quad, .r11, 63)
            code.lea(.quad, .r10, HostAddress(.r11, .r10, scale: 1))
        case .overflowAlone:
            code.set(.o, .r11)
            code.extend(signed: false, from: .byte, .double, .r11, .r11)
            code.mov(.quad, .r10, BlockEmitter.carries)
            code.shift(.shr, .quad, .r10, 63)
            code.arithmetic(.xor, .double, .r11, .r10)
            code.lea(.quad, .r10, HostAddress(.r11, .r10, scale: 1))
        }
        code.shift(.shl, .quad, .r10, 62)
        code.mov(.quad, BlockEmitter.carries, .r10)
    }

    /// Puts the guest's CF into the host's, by way of R10.
    mutating func loadCarry() {
        code.mov(.quad, .r10, BlockEmitter.carries)
        code.arithmetic(.add, .quad, .r10, .r10)
    }

    /// Computes a condition; the host's condition that then holds where it does. nil: PF is asked for.
    mutating func condition(_ number: UInt8) -> HostCondition? {
        let isInverted = number & 1 != 0
        switch number >> 1 {
        case 0:
            code.mov(.quad, .r10, BlockEmitter.carries)
            code.lea(.quad, .r11, HostAddress(.r10, .r10, scale: 0))
            code.arithmetic(.xor, .quad, .r10, .r11)
        case 1: code.arithmetic(.cmp, .quad, BlockEmitter.carries, 0)
        case 2:
            code.arithmetic(.cmp, .quad, BlockEmitter.result, 0)
            return isInverted ? .ne : .e
        case 3:
            code.arithmetic(.cmp, .quad, BlockEmitter.result, 1)
            code.arithmetic(.sbb, .quad, .r11, .r11)
            code.arithmetic(.or, .quad, .r11, BlockEmitter.carries)
        case 4:
            code.mov(.quad, .r10, BlockEmitter.result)
            code.arithmetic(.xor, .quad, .r10, BlockEmitter.aux)
        case 6, 7:
            code.mov(.quad, .r10, BlockEmitter.carries)
            code.lea(.quad, .r11, HostAddress(.r10, .r10, scale: 0))
            code.arithmetic(.xor, .quad, .r10, .r11)
            code.arithmetic(.xor, .quad, .r10, BlockEmitter.result)
            code.arithmetic(.xor, .quad, .r10, BlockEmitter.aux)
            if number >> 1 == 7 {
                code.arithmetic(.cmp, .quad, BlockEmitter.result, 1)
                code.arithmetic(.sbb, .quad, .r11, .r11)
                code.arithmetic(.or, .quad, .r11, .r10)
            }
        default: return nil
        }
        return isInverted ? .ns : .s
    }
}
