// MOV, arithmetic, shifts by a fixed count, extensions, LEA, CMOV, SETcc, IMUL, PUSH and POP. The rest calls its operations, and so do
// forms with AH, CH, DH and BH, LOCK, and addresses that need a check.

extension BlockEmitter {
    /// false: nothing is emitted, and the instruction calls its operations.
    mutating func emit(_ i: Instruction) -> Bool {
        guard let op = single, i.outcome == .instruction, !i.prefixes.contains(.lock), isReachable(i) else {
            return false
        }
        let size = i.operands.0.size(i.operandSize, is64: is64)
        switch i.mnemonic {
        case .nop: return true
        case .mov: return binary(i, op, nil, Width(size))
        case .add: return binary(i, op, .add, Width(size))
        case .or: return binary(i, op, .or, Width(size))
        case .adc: return binary(i, op, .adc, Width(size))
        case .sbb: return binary(i, op, .sbb, Width(size))
        case .and, .test: return binary(i, op, .and, Width(size))
        case .sub, .cmp: return binary(i, op, .sub, Width(size))
        case .xor: return binary(i, op, .xor, Width(size))
        case .inc, .dec, .neg, .not: return unary(i, op, Width(size))
        case .shl, .shr, .sar: return shift(i, op, Width(size))
        case .movzxb: return extend(i, op, from: .byte, signed: false)
        case .movzxw: return extend(i, op, from: .word, signed: false)
        case .movsxb: return extend(i, op, from: .byte, signed: true)
        case .movsxw: return extend(i, op, from: .word, signed: true)
        case .movsxd: return extend(i, op, from: .double, signed: true)
        case .lea: return lea(i, op)
        case .cmov: return conditionalMove(i, op)
        case .set: return setByte(i, op)
        case .push: return push(i, op)
        case .pop: return pop(i, op)
        default: return false
        }
    }

    /// A memory operand needs no check beyond the TLB's: the builder has made no operation for its address, and it is not one that another
    /// leaves.
    private func isReachable(_ i: Instruction) -> Bool {
        if !i.isMemory { return true }
        guard let op = single, is64 || mode.contains(.flat) else { return false }
        let isBase = op.base == Register.zero || op.base == Register.rip || BlockEmitter.number(op.base) != nil
        return isBase && (op.index == Register.zero || BlockEmitter.number(op.index) != nil)
    }

    // MARK: Two operands

    private enum Source {
        case register(HostRegister)
        case immediate(Int32)
    }

    /// `operation` nil: MOV.
    private mutating func binary(
        _ i: Instruction, _ op: Op, _ operation: Assembler.Arithmetic?, _ width: Width
    ) -> Bool {
        switch (i.operands.0, i.operands.1) {
        case (.Zv, .Iv) where width == .quad:
            guard let number = Self.number(op.dst) else { return false }
            code.load(define(number), op.imm64)
            return true
        case (.AL, .Ib), (.rAX, .Iz), (.Zb, .Ib), (.Zv, .Iv):
            return toRegister(i, operation, width, op.dst, .immediate(op.imm))
        case (.Eb, .Ib), (.Ev, .Iz), (.Ev, .Ibs):
            if i.isMemory { return toMemory(i, op, operation, width, .immediate(op.imm)) }
            return toRegister(i, operation, width, op.dst, .immediate(op.imm))
        case (.Eb, .Gb), (.Ev, .Gv):
            guard let number = Self.number(op.src) else { return false }
            if i.isMemory { return toMemory(i, op, operation, width, .register(use(number))) }
            return toRegister(i, operation, width, op.dst, .register(use(number)))
        case (.Gb, .Eb), (.Gv, .Ev):
            if i.isMemory { return fromMemory(i, op, operation, width) }
            guard let number = Self.number(op.src) else { return false }
            return toRegister(i, operation, width, op.dst, .register(use(number)))
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
        let writes = i.mnemonic != .cmp && i.mnemonic != .test
        if !writes, !areFlagsSeen { return true }
        let a = writes ? change(number) : use(number)
        guard writes else {
            code.mov(.quad, .r11, a)
            compute(operation, width, .r11, source)
            return true
        }
        compute(operation, width, a, source)
        return true
    }

    private mutating func move(_ width: Width, _ number: UInt8, _ source: Source) {
        let isWhole = width == .double || width == .quad
        switch source {
        case .register(let from): code.mov(width, isWhole ? define(number) : change(number), from)
        case .immediate(let value):
            let to = isWhole ? define(number) : change(number)
            switch width {
            case .double: code.load(to, UInt64(UInt32(bitPattern: value)))
            default: code.mov(width, to, value)
            }
        }
    }

    /// `a` becomes `a operation source`, with the guest's flags; then it goes to the host's address on top of the stack, where `isStored`, which
    /// is taken off. `a` is not R10; a source there is lost, and no source of ADC and SBB.
    private mutating func compute(
        _ operation: Assembler.Arithmetic, _ width: Width, _ a: HostRegister, _ source: Source, isStored: Bool = false
    ) {
        let isLogic = operation == .and || operation == .or || operation == .xor
        if areFlagsSeen, !isLogic {
            // AF is told by bit 4 of both operands and of the result.
            code.mov(.quad, .r14, a)
            switch source {
            case .register(let b): code.arithmetic(.xor, .double, .r14, b)
            case .immediate(let value): code.arithmetic(.xor, .double, .r14, value)
            }
        }
        if operation == .adc || operation == .sbb { loadCarry() }
        switch source {
        case .register(let b): code.arithmetic(operation, width, a, b)
        case .immediate(let value): code.arithmetic(operation, width, a, value)
        }
        if isStored {
            // Neither POP nor MOV changes flags.
            code.pop(.r10)
            code.mov(width, HostAddress(.r10), a)
        }
        if areFlagsSeen { keepFlags(width, a, isLogic ? .none : .both, hasAux: !isLogic) }
    }

    private mutating func fromMemory(
        _ i: Instruction, _ op: Op, _ operation: Assembler.Arithmetic?, _ width: Width
    ) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        let isWhole = width == .double || width == .quad
        if operation != nil || !isWhole { _ = use(number) }
        let mark = memory(op, width, isWrite: false)
        switch operation {
        case nil: code.mov(width, isWhole ? define(number) : change(number), HostAddress(.r10))
        case let operation? where i.mnemonic == .cmp:
            code.mov(width, .r10, HostAddress(.r10))
            code.mov(.quad, .r11, use(number))
            compute(operation, width, .r11, .register(.r10))
        case let operation?:
            code.mov(width, .r11, HostAddress(.r10))
            compute(operation, width, change(number), .register(.r11))
        }
        resume(mark)
        return true
    }

    private mutating func toMemory(
        _ i: Instruction, _ op: Op, _ operation: Assembler.Arithmetic?, _ width: Width, _ source: Source
    ) -> Bool {
        let writes = i.mnemonic != .cmp && i.mnemonic != .test
        let mark = memory(op, width, isWrite: writes)
        guard let operation else {
            switch source {
            case .register(let from): code.mov(width, HostAddress(.r10), from)
            case .immediate(let value): code.mov(width, HostAddress(.r10), value)
            }
            resume(mark)
            return true
        }
        code.mov(width, .r11, HostAddress(.r10))
        // What makes the flags needs R10.
        if writes { code.push(.r10) }
        compute(operation, width, .r11, source, isStored: writes)
        resume(mark)
        return true
    }

    /// The host's flags of a CMP or TEST of registers that has been emitted.
    mutating func compareAgain(_ i: Instruction, _ op: Op) {
        let width = Width(i.operands.0.size(i.operandSize, is64: is64))
        guard let a = Self.number(op.dst).map({ use($0) }) else { return }
        let isTest = i.mnemonic == .test
        if i.operands.1 == .Gb || i.operands.1 == .Gv || i.operands.1 == .Eb || i.operands.1 == .Ev {
            guard let b = Self.number(op.src).map({ use($0) }) else { return }
            if isTest { code.test(width, a, b) } else { code.arithmetic(.cmp, width, a, b) }
        } else if isTest {
            code.test(width, a, op.imm)
        } else {
            code.arithmetic(.cmp, width, a, op.imm)
        }
    }

    // MARK: One operand

    private mutating func unary(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        guard !i.isMemory, let number = Self.number(op.dst) else { return false }
        let a = change(number)
        if areFlagsSeen, i.mnemonic != .not {
            code.mov(.quad, .r14, a)
            if i.mnemonic != .neg { code.arithmetic(.xor, .double, .r14, 1) }
        }
        switch i.mnemonic {
        case .inc: code.inc(width, a)
        case .dec: code.dec(width, a)
        case .neg: code.unary(.neg, width, a)
        default:
            code.unary(.not, width, a)
            return true
        }
        if areFlagsSeen { keepFlags(width, a, i.mnemonic == .neg ? .both : .overflowAlone, hasAux: true) }
        return true
    }

    private mutating func shift(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        guard !i.isMemory, i.operands.1 != .CL, width == .double || width == .quad, let number = Self.number(op.dst)
        else { return false }
        let count = UInt8(truncatingIfNeeded: op.imm)
        // OF of SHR by 1 is the operand's sign; a shift by 0 is a move.
        let isPlain = !areFlagsSeen || i.mnemonic != .shr || count != 1
        guard count != 0, count < 64, isPlain else { return false }
        let a = change(number)
        switch i.mnemonic {
        case .shl: code.shift(.shl, width, a, count)
        case .shr: code.shift(.shr, width, a, count)
        default: code.shift(.sar, width, a, count)
        }
        if areFlagsSeen { keepFlags(width, a, i.mnemonic == .shl ? .shiftedLeft : .carryAlone, hasAux: false) }
        return true
    }

    private mutating func extend(_ i: Instruction, _ op: Op, from: Width, signed: Bool) -> Bool {
        guard let number = Self.number(op.dst) else { return false }
        let to = Width(i.operandSize)
        if to == .word { return false }
        if i.isMemory {
            let mark = memory(op, from, isWrite: false)
            code.extend(signed: signed, from: from, to, define(number), HostAddress(.r10))
            resume(mark)
            return true
        }
        guard let source = Self.number(op.src) else { return false }
        let value = use(source)
        code.extend(signed: signed, from: from, to, define(number), value)
        return true
    }

    private mutating func lea(_ i: Instruction, _ op: Op) -> Bool {
        guard let number = Self.number(op.dst), i.operandSize != 2 else { return false }
        offset(op)
        code.mov(Width(i.operandSize), define(number), .r10)
        return true
    }

    private mutating func conditionalMove(_ i: Instruction, _ op: Op) -> Bool {
        guard !i.isMemory, i.operandSize != 2, let to = Self.number(op.dst), let from = Self.number(op.src) else {
            return false
        }
        let (source, target) = (use(from), change(to))
        guard let holds = condition(i.opcode & 15) else { return false }
        code.cmov(holds, Width(i.operandSize), target, source)
        return true
    }

    private mutating func setByte(_ i: Instruction, _ op: Op) -> Bool {
        guard !i.isMemory, let number = Self.number(op.dst) else { return false }
        let target = change(number)
        guard let holds = condition(i.opcode & 15) else { return false }
        code.set(holds, target)
        return true
    }

    // MARK: Stack

    /// 64-bit mode with 8 bytes, flat 32-bit segments with 4.
    func stackWidth(_ i: Instruction) -> Width? {
        if is64 { return i.operandSize == 8 ? .quad : nil }
        return mode.isSuperset(of: [.flat, .stack32]) && i.operandSize == 4 ? .double : nil
    }

    private mutating func push(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i), !i.isMemory else { return false }
        let isImmediate = i.operands.0 == .Iz || i.operands.0 == .Ibs
        var value = HostRegister.r11
        if !isImmediate {
            guard let number = Self.number(op.src) else { return false }
            value = use(number)
        }
        let pointer = use(4)
        let size = 1 << width.rawValue
        code.lea(width, .r10, HostAddress(pointer, -size))
        let mark = lookUp(width, isWrite: true)
        if isImmediate { code.load(.r11, op.imm64) }
        code.mov(width, HostAddress(.r10), value)
        code.lea(width, pointer, HostAddress(pointer, -size))
        _ = change(4)
        resume(mark)
        return true
    }

    private mutating func pop(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i), !i.isMemory, let number = Self.number(op.dst) else { return false }
        let pointer = use(4)
        code.mov(width, .r10, pointer)
        let mark = lookUp(width, isWrite: false)
        code.mov(width, .r11, HostAddress(.r10))
        let size = 1 << width.rawValue
        code.lea(width, pointer, HostAddress(pointer, size))
        _ = change(4)
        // POP RSP: the value wins.
        code.mov(.quad, define(number), .r11)
        resume(mark)
        return true
    }
}
