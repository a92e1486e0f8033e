// Which instructions are emitted; MOV and arithmetic. The rest calls its operations, and so do forms with AH, CH, DH and BH, and
// addresses that need a check.

import Core

extension BlockEmitter {
    /// false: nothing is emitted, and the instruction calls its operations.
    mutating func emit(_ i: Instruction) -> Bool {
        guard i.outcome == .instruction else { return false }
        if !interpreted.isEmpty, interpreted.contains(Self.family(i)) { return false }
        if i.prefixes.contains(.lock) { return emitLocked(i) }
        if i.flags.contains(.sse) { return emitVector(i) }
        if i.flags.contains(.x87) { return emitFloating(i) }
        guard let op = single else { return emitPair(i) }
        if isMemoryOperand(i), !isReachable(op) { return false }
        return emitInteger(i, op) || emitShift(i, op) || emitMultiply(i, op)
    }

    /// Of all that does not end a block.
    private static func family(_ i: Instruction) -> TranslationFamily {
        if i.prefixes.contains(.lock) { return .locked }
        if i.flags.contains(.sse) { return .sse }
        if i.flags.contains(.x87) { return .x87 }
        switch i.mnemonic {
        case .push, .pop, .leave: return .stack
        case .shl, .shr, .sar, .rol, .ror, .shld, .shrd: return .shift
        case .mul, .imul, .imul2, .imul3, .div, .idiv: return .multiply
        default: return .integer
        }
    }

    /// MOV with an absolute address has no ModRM.
    private func isMemoryOperand(_ i: Instruction) -> Bool {
        i.isMemory && i.mnemonic != .nop && i.mnemonic != .prefetch || [.Ob, .Ov].contains(i.operands.0)
            || [.Ob, .Ov].contains(i.operands.1)
    }

    func width(_ i: Instruction) -> Width { Width(i.operands.0.size(i.operandSize, is64: is64)) }

    private mutating func emitInteger(_ i: Instruction, _ op: Op) -> Bool {
        let width = width(i)
        switch i.mnemonic {
        case .nop, .prefetch: return true
        case .mov: return binary(i, op, nil, width)
        case .add: return binary(i, op, .add, width)
        case .or: return binary(i, op, .or, width)
        case .adc: return binary(i, op, .adc, width)
        case .sbb: return binary(i, op, .sbb, width)
        case .and, .test: return binary(i, op, .and, width)
        case .sub, .cmp: return binary(i, op, .sub, width)
        case .xor: return binary(i, op, .xor, width)
        case .inc, .dec, .neg, .not: return unary(i, op, width)
        case .movzxb: return extend(i, op, from: .byte, signed: false)
        case .movzxw: return extend(i, op, from: .word, signed: false)
        case .movsxb: return extend(i, op, from: .byte, signed: true)
        case .movsxw: return extend(i, op, from: .word, signed: true)
        case .movsxd: return extend(i, op, from: .double, signed: true)
        case .lea: return lea(i, op)
        case .cmov: return conditionalMove(i, op)
        case .set: return setByte(i, op)
        case .xchg: return exchange(i, op, width)
        case .bswap: return swapBytes(i, op)
        case .cbw, .cwd: return extendAccumulator(i)
        case .push: return push(i, op)
        case .pop: return pop(i, op)
        case .leave: return leaveFrame(i, op)
        default: return false
        }
    }

    /// Two operations: one that loads the operand, and one that uses it.
    private mutating func emitPair(_ i: Instruction) -> Bool {
        guard group.count == 2, i.isMemory else { return false }
        let (first, second) = (operations[group.lowerBound], operations[group.lowerBound + 1])
        guard isReachable(first), first.dst == Register.address else { return false }
        switch i.mnemonic {
        case .cmov: return conditionalMove(i, first, second)
        case .push: return pushMemory(i, first)
        default: return false
        }
    }

    // MARK: Two operands

    /// `operation` nil: MOV.
    private mutating func binary(
        _ i: Instruction, _ op: Op, _ operation: Assembler.Arithmetic?, _ width: Width
    ) -> Bool {
        switch (i.operands.0, i.operands.1) {
        case (.Zv, .Iv) where width == .quad:
            guard let number = Self.number(op.dst) else { return false }
            willWrite(number)
            let register = target(number, .r11)
            code.load(register, op.imm64)
            finish(number, register)
            return true
        case (.AL, .Ib), (.rAX, .Iz), (.Zb, .Ib), (.Zv, .Iv):
            return toRegister(i, operation, width, op.dst, .immediate(op.imm))
        case (.Eb, .Ib), (.Ev, .Iz), (.Ev, .Ibs):
            if i.isMemory { return toMemory(i, op, operation, width, .immediate(op.imm)) }
            return toRegister(i, operation, width, op.dst, .immediate(op.imm))
        case (.Eb, .Gb), (.Ev, .Gv):
            guard let number = Self.number(op.src) else { return false }
            if i.isMemory { return toMemory(i, op, operation, width, .register(number)) }
            return toRegister(i, operation, width, op.dst, .register(number))
        case (.Gb, .Eb), (.Gv, .Ev):
            if i.isMemory { return fromMemory(i, op, operation, width) }
            guard let number = Self.number(op.src) else { return false }
            return toRegister(i, operation, width, op.dst, .register(number))
        case (.AL, .Ob), (.rAX, .Ov): return fromMemory(i, op, operation, width)
        case (.Ob, .AL), (.Ov, .rAX): return toMemory(i, op, operation, width, .register(0))
        default: return false
        }
    }

    private mutating func toRegister(
        _ i: Instruction, _ operation: Assembler.Arithmetic?, _ width: Width, _ place: UInt8, _ source: Source
    ) -> Bool {
        guard let number = Self.number(place) else { return false }
        guard let operation else {
            move(width, number, source)
            return true
        }
        if i.mnemonic == .cmp || i.mnemonic == .test {
            compare(i.mnemonic == .test, width, .register(number), source)
            return true
        }
        let takesCarry = operation == .adc || operation == .sbb
        if takesCarry { bring(.carry) }
        if takesCarry, areFlagsSeen { code.set(.b, Self.at(\.flagC)) }
        var b = source.input
        if areFlagsSeen, source == .register(number), operation.usesSecondOperand {
            code.mov(.quad, Self.at(\.flagB), value(number, in: .r11))
            b = .kept
        }
        let a = begin(number, .r11)
        arithmetic(operation, width, a, source)
        finish(number, a)
        setFlags(recipe(operation, width, .register(number), b))
        return true
    }

    /// CMP, or TEST, of a register of the guest or of the host, whose value is kept where somebody sees the flags.
    private mutating func compare(_ isTest: Bool, _ width: Width, _ first: Source, _ second: Source) {
        guard areFlagsSeen else {
            flags = FlagState()
            return
        }
        let a: HostRegister
        switch first {
        case .register(let guest): a = value(guest, in: .r11)
        case .host(let register): a = register
        case .immediate: return
        }
        guard isTest else {
            arithmetic(.cmp, width, a, second)
            return setFlags(FlagRecipe(kind: .subtract, width: width, a: first.input, b: second.input))
        }
        switch second {
        case .register(let guest):
            if let home = Self.home(guest) { code.test(width, a, home) } else { code.test(width, Self.place(guest), a) }
        case .immediate(let value): code.test(width, a, value)
        case .host(let register): code.test(width, a, register)
        }
        if first == second { return setFlags(FlagRecipe(kind: .logic, width: width, a: first.input)) }
        setFlags(FlagRecipe(kind: .test, width: width, a: first.input, b: second.input))
    }

    /// `a`: the result.
    func recipe(
        _ operation: Assembler.Arithmetic, _ width: Width, _ a: FlagRecipe.Input, _ b: FlagRecipe.Input
    ) -> FlagRecipe {
        switch operation {
        case .add: FlagRecipe(kind: .addResult, width: width, a: a, b: b)
        case .sub: FlagRecipe(kind: .subtractResult, width: width, a: a, b: b)
        case .adc: FlagRecipe(kind: .addCarry, width: width, a: a, b: b)
        case .sbb: FlagRecipe(kind: .subtractBorrow, width: width, a: a, b: b)
        default: FlagRecipe(kind: .logic, width: width, a: a)
        }
    }

    private mutating func move(_ width: Width, _ number: UInt8, _ source: Source) {
        willWrite(number)
        let isWhole = width == .double || width == .quad
        let to = isWhole ? target(number, .r11) : begin(number, .r11)
        switch source {
        case .register(let guest):
            if let home = Self.home(guest) { code.mov(width, to, home) } else { code.mov(width, to, Self.place(guest)) }
        case .immediate(let value):
            switch width {
            case .double: code.load(to, UInt64(UInt32(bitPattern: value)))
            default: code.mov(width, to, value)
            }
        case .host(let register): code.mov(width, to, register)
        }
        finish(number, to)
    }

    private mutating func fromMemory(
        _ i: Instruction, _ op: Op, _ operation: Assembler.Arithmetic?, _ width: Width
    ) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        guard let operation else {
            willWrite(number)
            memory(op, width, isWrite: false)
            let isWhole = width == .double || width == .quad
            let to = isWhole ? target(number, .r11) : begin(number, .r11)
            code.mov(width, to, operand)
            finish(number, to)
            return true
        }
        let takesCarry = operation == .adc || operation == .sbb
        if takesCarry { keepCarryAside() }
        memory(op, width, isWrite: false)
        load(width, .r11)
        if areFlagsSeen, operation.usesSecondOperand { code.mov(.quad, Self.at(\.flagB), .r11) }
        if i.mnemonic == .cmp {
            compare(false, width, .register(number), number: number)
            return true
        }
        if takesCarry { takeCarry() }
        let a = begin(number, .r10)
        code.arithmetic(operation, width, a, .r11)
        finish(number, a)
        setFlags(recipe(operation, width, .register(number), .kept))
        return true
    }

    /// CMP of a guest's register with R11, which is kept.
    private mutating func compare(_ isTest: Bool, _ width: Width, _ first: Source, number: UInt8) {
        guard areFlagsSeen else {
            flags = FlagState()
            return
        }
        let a = value(number, in: .r10)
        code.arithmetic(.cmp, width, a, .r11)
        setFlags(FlagRecipe(kind: .subtract, width: width, a: .register(number), b: .kept))
    }

    /// Behind a memory access: CF as it was kept aside, and for the recipe.
    private mutating func takeCarry() {
        if areFlagsSeen { keepCarryBehindAccess(.r10) }
        code.loadCarry(Self.at(\.scratchCarry))
    }

    /// From aside to `flagC`; the host's flags stay.
    mutating func keepCarryBehindAccess(_ temporary: HostRegister) {
        code.extend(signed: false, from: .byte, .double, temporary, Self.at(\.scratchCarry))
        code.mov(.byte, Self.at(\.flagC), temporary)
    }

    private mutating func toMemory(
        _ i: Instruction, _ op: Op, _ operation: Assembler.Arithmetic?, _ width: Width, _ source: Source
    ) -> Bool {
        guard let operation else {
            memory(op, width, isWrite: true)
            store(width, source)
            return true
        }
        let writes = i.mnemonic != .cmp && i.mnemonic != .test
        let takesCarry = operation == .adc || operation == .sbb
        if takesCarry { keepCarryAside() }
        memory(op, width, isWrite: writes)
        guard areFlagsSeen else {
            flags = FlagState()
            if writes, !takesCarry {
                change(operation, width, source)
            } else if writes {
                carryInto(operation, width, source)
            }
            return true
        }
        load(width, .r11)
        guard writes else {
            if operation == .and {
                arithmetic(.and, width, .r11, source)
                code.mov(.quad, Self.at(\.flagA), .r11)
                setFlags(FlagRecipe(kind: .logic, width: width, a: .kept))
            } else {
                code.mov(.quad, Self.at(\.flagA), .r11)
                compare(false, width, .host(.r11), source)
            }
            return true
        }
        if takesCarry {
            // R10 is the address: by way of R11, which is loaded again.
            keepCarryBehindAccess(.r11)
            load(width, .r11)
            code.loadCarry(Self.at(\.scratchCarry))
        }
        arithmetic(operation, width, .r11, source)
        code.mov(width, operand, .r11)
        code.mov(.quad, Self.at(\.flagA), .r11)
        setFlags(recipe(operation, width, .kept, source.input))
        return true
    }

    /// `[R10] = source`
    private mutating func store(_ width: Width, _ source: Source) {
        switch source {
        case .register(let guest): code.mov(width, operand, value(guest, in: .r11))
        case .immediate(let value): code.mov(width, operand, value)
        case .host(let register): code.mov(width, operand, register)
        }
    }

    /// `operation [R10], source`
    private mutating func change(_ operation: Assembler.Arithmetic, _ width: Width, _ source: Source) {
        switch source {
        case .register(let guest): code.arithmetic(operation, width, operand, value(guest, in: .r11))
        case .immediate(let value): code.arithmetic(operation, width, operand, value)
        case .host(let register): code.arithmetic(operation, width, operand, register)
        }
    }

    private mutating func carryInto(_ operation: Assembler.Arithmetic, _ width: Width, _ source: Source) {
        if case .register(let guest) = source, Self.home(guest) == nil {
            code.mov(.quad, .r11, Self.place(guest))
            code.loadCarry(Self.at(\.scratchCarry))
            return code.arithmetic(operation, width, operand, .r11)
        }
        code.loadCarry(Self.at(\.scratchCarry))
        change(operation, width, source)
    }
}

extension Assembler.Arithmetic {
    /// The flags do not follow from the result alone.
    var usesSecondOperand: Bool { self != .and && self != .or && self != .xor }
}
