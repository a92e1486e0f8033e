// CMOV and SETcc; XCHG, BSWAP, CBW and CWD.

extension BlockEmitter {
    // MARK: Conditions

    mutating func conditionalMove(_ i: Instruction, _ op: Op) -> Bool {
        guard !i.isMemory, i.operandSize != 2, let number = Self.number(op.dst), let from = Self.number(op.src) else {
            return false
        }
        let holds = condition(i.opcode & 15)
        willWrite(number)
        let to = begin(number, .r11)
        if let home = Self.home(from) {
            code.cmov(holds, Width(i.operandSize), to, home)
        } else {
            code.cmov(holds, Width(i.operandSize), to, Self.place(from))
        }
        finish(number, to)
        return true
    }

    mutating func conditionalMove(_ i: Instruction, _ load: Op, _ op: Op) -> Bool {
        guard i.operandSize != 2, let number = Self.number(op.dst) else { return false }
        let width = Width(i.operandSize)
        memory(load, width, isWrite: false)
        self.load(width, .r11)
        code.mov(.quad, Self.at(\.scratch2), .r11)
        let holds = condition(i.opcode & 15)
        willWrite(number)
        let to = begin(number, .r11)
        code.cmov(holds, width, to, Self.at(\.scratch2))
        finish(number, to)
        return true
    }

    mutating func setByte(_ i: Instruction, _ op: Op) -> Bool {
        if i.isMemory {
            let holds = condition(i.opcode & 15)
            code.set(holds, Self.at(\.scratchCarry))
            memory(op, .byte, isWrite: true)
            code.mov(.byte, .r11, Self.at(\.scratchCarry))
            code.mov(.byte, operand, .r11)
            return true
        }
        guard let number = Self.number(op.dst) else { return false }
        let holds = condition(i.opcode & 15)
        willWrite(number)
        if let home = Self.home(number) { code.set(holds, home) } else { code.set(holds, Self.place(number)) }
        return true
    }

    // MARK: Exchanges

    mutating func exchange(_ i: Instruction, _ op: Op, _ width: Width) -> Bool {
        if i.isMemory { return exchangeMemory(i, op, width) }
        guard let a = Self.number(op.dst), let b = Self.number(op.src) else { return false }
        // 90 without REX.B is NOP, whatever the size.
        if a == b, width != .double || i.operands.0 == .Zv { return true }
        willWrite(a)
        willWrite(b)
        code.mov(.quad, .r11, value(a, in: .r11))
        let x = begin(a, .r10)
        if let home = Self.home(b) { code.mov(width, x, home) } else { code.mov(width, x, Self.place(b)) }
        finish(a, x)
        let y = begin(b, .r10)
        code.mov(width, y, .r11)
        finish(b, y)
        return true
    }

    mutating func swapBytes(_ i: Instruction, _ op: Op) -> Bool {
        guard i.operandSize != 2, let number = Self.number(op.dst) else { return false }
        willWrite(number)
        let a = begin(number, .r11)
        code.bswap(Width(i.operandSize), a)
        finish(number, a)
        return true
    }

    mutating func extendAccumulator(_ i: Instruction) -> Bool {
        willWrite(i.mnemonic == .cwd ? 2 : 0)
        code.extendAccumulator(Width(i.operandSize), isDouble: i.mnemonic == .cwd)
        return true
    }
}
