// What others see as one access: XCHG with memory, and LOCK. An operand that is not aligned is the interpreter's: over the end of a cache line the
// host's kernel may refuse or slow down what others would have to wait for.

extension BlockEmitter {
    /// The flags are lost.
    private mutating func mustBeAligned(_ width: Width) {
        guard width != .byte else { return }
        if operand.displacement != 0 {
            code.lea(.quad, .r10, operand)
            operand = HostAddress(.r10)
        }
        code.test(.byte, .r10, Int32(1 << width.rawValue) - 1)
        loseHostFlags()
        leave(.ne)
    }

    mutating func exchangeMemory(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        willWrite(number)
        memory(op, width, isWrite: true)
        mustBeAligned(width)
        let a = begin(number, .r11)
        code.xchg(width, operand, a)
        finish(number, a)
        return true
    }

    /// false: nothing is emitted.
    mutating func emitLocked(_ i: Instruction) -> Bool {
        guard let op = single, i.isMemory, isReachable(op) else { return false }
        let width = width(i)
        switch i.mnemonic {
        case .xchg: return exchangeMemory(i, op, width)
        case .add, .or, .and, .sub, .xor: return lockedArithmetic(i, op, width)
        case .inc, .dec: return lockedCount(i, op, width)
        case .xadd: return exchangeAdd(i, op, width)
        case .cmpxchg: return compareExchange(i, op, width)
        default: return false
        }
    }

    /// Where somebody sees the flags, they follow from what XADD brings, and from the result of others by a loop: that is the interpreter's.
    private mutating func lockedArithmetic(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        let operation: Assembler.Arithmetic
        switch i.mnemonic {
        case .add: operation = .add
        case .or: operation = .or
        case .and: operation = .and
        case .sub: operation = .sub
        default: operation = .xor
        }
        let isImmediate = i.operands.1 != .Gb && i.operands.1 != .Gv
        let number = Self.number(op.src)
        guard isImmediate || number != nil else { return false }
        if areFlagsSeen { return lockedSum(op, width, operation, isImmediate ? nil : number) }
        memory(op, width, isWrite: true)
        mustBeAligned(width)
        if let number, !isImmediate {
            let b = value(number, in: .r11)
            code.lock()
            code.arithmetic(operation, width, operand, b)
        } else {
            code.lock()
            code.arithmetic(operation, width, operand, op.imm)
        }
        flags = FlagState()
        return true
    }

    private mutating func lockedSum(
        _ op: Op, _ width: Width, _ operation: Assembler.Arithmetic, _ number: UInt8?
    ) -> Bool {
        guard operation == .add || operation == .sub else { return false }
        memory(op, width, isWrite: true)
        mustBeAligned(width)
        if let number { code.mov(.quad, .r11, value(number, in: .r11)) } else { code.mov(.quad, .r11, op.imm) }
        code.mov(.quad, Self.at(\.flagB), .r11)
        if operation == .sub { code.unary(.neg, width, .r11) }
        code.lock()
        code.xadd(width, operand, .r11)
        code.mov(.quad, Self.at(\.flagA), .r11)
        let kind: FlagRecipe.Kind = operation == .add ? .add : .subtract
        setFlags(FlagRecipe(kind: kind, width: width, a: .kept, b: .kept), host: [])
        return true
    }

    private mutating func lockedCount(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        let isIncrement = i.mnemonic == .inc
        if areFlagsSeen { keepCarryAside() }
        memory(op, width, isWrite: true)
        mustBeAligned(width)
        guard areFlagsSeen else {
            code.lock()
            if isIncrement { code.inc(width, operand) } else { code.dec(width, operand) }
            flags = FlagState()
            return true
        }
        keepCarryBehindAccess(.r11)
        code.mov(.quad, .r11, isIncrement ? 1 : -1)
        code.lock()
        code.xadd(width, operand, .r11)
        code.lea(.quad, .r11, HostAddress(.r11, isIncrement ? 1 : -1))
        code.mov(.quad, Self.at(\.flagA), .r11)
        let kind: FlagRecipe.Kind = isIncrement ? .increment : .decrement
        setFlags(FlagRecipe(kind: kind, width: width, a: .kept), host: [])
        return true
    }

    private mutating func exchangeAdd(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        memory(op, width, isWrite: true)
        mustBeAligned(width)
        let a = begin(number, .r11)
        if areFlagsSeen { code.mov(.quad, Self.at(\.flagB), a) }
        code.lock()
        code.xadd(width, operand, a)
        finish(number, a)
        setFlags(FlagRecipe(kind: .add, width: width, a: .register(number), b: .kept))
        return true
    }

    /// The accumulator is compared with what it then is: the operand, unless they were the same.
    private mutating func compareExchange(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        memory(op, width, isWrite: true)
        mustBeAligned(width)
        let b = value(number, in: .r11)
        if areFlagsSeen { code.mov(.quad, Self.at(\.flagA), .rax) }
        code.lock()
        code.cmpxchg(width, operand, b)
        setFlags(FlagRecipe(kind: .subtract, width: width, a: .kept, b: .register(0)))
        return true
    }
}
