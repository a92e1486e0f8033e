// MUL, IMUL, DIV and IDIV: the accumulator is where the host's instructions have it. Divisions that would fault, or might, are the interpreter's.

extension BlockEmitter {
    mutating func emitMultiply(_ i: Instruction, _ op: Op) -> Bool {
        switch i.mnemonic {
        case .mul: return product(i, op, .mul)
        case .imul: return product(i, op, .imul)
        case .imul2, .imul3: return productInto(i, op)
        case .div: return quotient(i, op, isSigned: false)
        case .idiv: return quotient(i, op, isSigned: true)
        default: return false
        }
    }

    private mutating func product(_ i: Instruction, _ op: Op, _ operation: Assembler.Factor) -> Bool {
        let width = width(i)
        if i.isMemory {
            memory(op, width, isWrite: false)
            code.multiply(operation, width, operand)
        } else {
            guard let number = Self.number(op.src) else { return false }
            if let home = Self.home(number) {
                code.multiply(operation, width, home)
            } else {
                code.multiply(operation, width, Self.place(number))
            }
        }
        finishProduct(width, .register(0))
        return true
    }

    private mutating func finishProduct(_ width: Width, _ a: FlagRecipe.Input) {
        if areFlagsSeen { code.set(.b, Self.at(\.flagC)) }
        setFlags(FlagRecipe(kind: .product, width: width, a: a), host: [.carry, .overflow])
    }

    private mutating func productInto(_ i: Instruction, _ op: Op) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        let width = Width(i.operandSize)
        let hasFactor = i.mnemonic == .imul3
        var source: HostAddress?
        if i.isMemory {
            memory(op, width, isWrite: false)
            source = operand
        } else {
            guard let from = Self.number(op.src) else { return false }
            if Self.home(from) == nil { source = Self.place(from) }
        }
        let keepsRest = width == .word || !hasFactor
        let to = keepsRest ? begin(number, .r11) : target(number, .r11)
        if let source {
            if hasFactor { code.imul(width, to, source, op.factor) } else { code.imul(width, to, source) }
        } else if let home = Self.number(op.src).flatMap({ Self.home($0) }) {
            if hasFactor { code.imul(width, to, home, op.factor) } else { code.imul(width, to, home) }
        }
        finish(number, to)
        finishProduct(width, .register(number))
        return true
    }

    /// Quotients fit where the upper half is below the divisor; signed ones where it is the sign of the lower half, and the divisor neither 0
    /// nor -1.
    private mutating func quotient(_ i: Instruction, _ op: Op, isSigned: Bool) -> Bool {
        let width = width(i)
        guard width == .double || width == .quad else { return false }
        if !i.isMemory, Self.number(op.src) == nil { return false }
        willWrite(0)
        willWrite(2)
        if i.isMemory {
            memory(op, width, isWrite: false)
            load(width, .r11)
        } else if let number = Self.number(op.src) {
            code.mov(.quad, .r11, value(number, in: .r11))
        }
        loseHostFlags()
        if isSigned {
            code.lea(width, .r10, HostAddress(.r11, 1))
            code.arithmetic(.cmp, width, .r10, 1)
            leave(.be)
            code.mov(.quad, .r10, .rax)
            code.shift(.sar, width, .r10, width == .quad ? 63 : 31)
            code.arithmetic(.cmp, width, .r10, .rdx)
            leave(.ne)
        } else {
            code.arithmetic(.cmp, width, .rdx, .r11)
            leave(.ae)
        }
        code.multiply(isSigned ? .idiv : .div, width, .r11)
        return true
    }
}
