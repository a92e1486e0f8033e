// INC, DEC, NEG and NOT; extensions and LEA.

extension BlockEmitter {
    mutating func unary(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        if i.isMemory { return unaryMemory(i, op, width) }
        guard let number = Self.number(op.dst) else { return false }
        if i.mnemonic == .not { willWrite(number) }
        let keepsCarry = i.mnemonic == .inc || i.mnemonic == .dec
        if keepsCarry, areFlagsSeen { keepCarry() }
        let carry = flags.host.intersection(.carry)
        let a = begin(number, .r11)
        apply(i.mnemonic, width, a)
        finish(number, a)
        finishUnary(i, width, .register(number), carry)
        return true
    }

    private mutating func apply(_ mnemonic: Mnemonic, _ width: Width, _ a: HostRegister) {
        switch mnemonic {
        case .inc: code.inc(width, a)
        case .dec: code.dec(width, a)
        case .neg: code.unary(.neg, width, a)
        default: code.unary(.not, width, a)
        }
    }

    private mutating func finishUnary(_ i: Instruction, _ width: Width, _ a: FlagRecipe.Input, _ carry: FlagSet) {
        let kind: FlagRecipe.Kind
        switch i.mnemonic {
        case .inc: kind = .increment
        case .dec: kind = .decrement
        case .neg: kind = .negate
        default: return
        }
        let host: FlagSet = kind == .negate ? .all : FlagSet.all.subtracting(.carry).union(carry)
        setFlags(FlagRecipe(kind: kind, width: width, a: a), host: host)
    }

    private mutating func unaryMemory(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        let keepsCarry = i.mnemonic == .inc || i.mnemonic == .dec
        if keepsCarry, areFlagsSeen { keepCarryAside() }
        memory(op, width, isWrite: true)
        if keepsCarry, areFlagsSeen { keepCarryBehindAccess(.r11) }
        load(width, .r11)
        apply(i.mnemonic, width, .r11)
        code.mov(width, operand, .r11)
        if i.mnemonic != .not, areFlagsSeen { code.mov(.quad, Self.at(\.flagA), .r11) }
        finishUnary(i, width, .kept, [])
        return true
    }

    mutating func extend(_ i: Instruction, _ op: Op, from: Width, signed: Bool) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        let width = Width(i.operandSize)
        if width == .word || from == .double && width == .double { return false }
        if i.isMemory {
            willWrite(number)
            memory(op, from, isWrite: false)
            let to = target(number, .r11)
            code.extend(signed: signed, from: from, width, to, operand)
            finish(number, to)
            return true
        }
        let to = target(number, .r11)
        if let guest = Self.number(op.src) {
            willWrite(number)
            let source = value(guest, in: .r11)
            code.extend(signed: signed, from: from, width, to, source)
        } else {
            // AH, CH, DH and BH: shifted down without flags is a load of what has been stored.
            guard from == .byte else { return false }
            willWrite(number)
            let guest = op.src >> 3
            code.mov(.quad, Self.at(\.scratch), value(guest, in: .r11))
            let byte = Self.at(\.scratch)
            code.extend(signed: signed, from: .byte, width, to, HostAddress(.r15, Int(byte.displacement) + 1))
        }
        finish(number, to)
        return true
    }

    mutating func lea(_ i: Instruction, _ op: Op) -> Bool {
        guard let number = Self.number(op.dst), i.operandSize != 2 else { return false }
        willWrite(number)
        let to = target(number, .r11)
        offset(op, Width(i.operandSize), to: to)
        finish(number, to)
        return true
    }
}
