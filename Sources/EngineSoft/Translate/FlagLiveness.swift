// Which instructions' status flags anybody sees. A block's end, and whatever may fault, exit or leave for the interpreter, sees all six.

struct FlagLiveness {
    /// By instruction: the flags behind it are read, or may be, before another sets them all.
    private(set) var isLive: [Bool]

    init(_ instructions: [Instruction]) {
        isLive = Array(repeating: true, count: instructions.count)
        var live = true
        for index in instructions.indices.reversed() {
            isLive[index] = live
            switch FlagLiveness.effect(instructions[index]) {
            case .sees: live = true
            case .replaces: live = false
            case .leaves: break
            }
        }
    }

    private enum Effect { case sees, replaces, leaves }

    /// Of instructions on registers that cannot fault; all others see.
    private static func effect(_ i: Instruction) -> Effect {
        if i.outcome != .instruction { return .sees }
        // LEA has an operand in memory, and goes nowhere.
        if i.isMemory, i.mnemonic != .lea, i.mnemonic != .nop { return .sees }
        switch i.mnemonic {
        case .add, .or, .and, .sub, .xor, .cmp, .test, .neg, .imul2, .imul3, .mul, .imul:
            return isMoffs(i) ? .sees : .replaces
        case .mov: return isMoffs(i) ? .sees : .leaves
        case .lea, .movzxb, .movzxw, .movsxb, .movsxw, .movsxd, .not, .nop, .bswap, .cbw, .cwd, .xchg: return .leaves
        // CF goes through: what is read of it is read of the one before.
        case .inc, .dec, .rol, .ror: return .leaves
        case .shl, .shr, .sar:
            let isFixed = i.operands.1 == .one || i.operands.1 == .Ib && i.immediate & 31 != 0
            return isFixed ? .replaces : i.operands.1 == .CL ? .leaves : .sees
        default: return .sees
        }
    }

    /// MOV with an absolute address, which has no ModRM.
    private static func isMoffs(_ i: Instruction) -> Bool {
        let operands = [i.operands.0, i.operands.1]
        return operands.contains(.Ob) || operands.contains(.Ov)
    }
}
