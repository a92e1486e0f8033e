// PUSH, POP and LEAVE.

extension BlockEmitter {
    /// 64-bit mode with 8 bytes, flat 32-bit segments with 4.
    func stackWidth(_ i: Instruction) -> Width? {
        if is64 { return i.operandSize == 8 ? .quad : nil }
        return mode.isSuperset(of: [.flat, .stack32]) && i.operandSize == 4 ? .double : nil
    }

    private static let stack = home(4).unsafelyUnwrapped

    /// Makes what is `distance` bytes from RSP, or from RBP, `operand`.
    mutating func stackMemory(
        _ width: Width, _ distance: Int = 0, base: UInt8 = 4, isWrite: Bool, operation: Int? = nil
    ) {
        let before = distanceOfLook
        if let before {
            let register = Self.home(base) ?? Self.stack
            if distance == before {
                code.mov(width, .r10, register)
            } else {
                code.lea(width, .r10, HostAddress(register, distance - before))
            }
        }
        let place = values.place(.register(base), distance: distance)
        lookUp(1 << width.rawValue, isWrite: isWrite, operation: operation, place, before: before ?? 0)
    }

    /// Makes a new top of the stack `operand`.
    mutating func memoryOfPush(_ width: Width, operation: Int? = nil) {
        stackMemory(width, -(1 << width.rawValue), isWrite: true, operation: operation)
    }

    mutating func movePointer(_ width: Width, by distance: Int) {
        code.lea(width, Self.stack, HostAddress(Self.stack, distance))
    }

    mutating func push(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i), !i.isMemory else { return false }
        let isImmediate = i.operands.0 == .Iz || i.operands.0 == .Ibs
        let number = Self.number(op.src)
        guard isImmediate || number != nil else { return false }
        willWrite(4)
        memoryOfPush(width)
        if let number, !isImmediate {
            code.mov(width, operand, value(number, in: .r11))
        } else {
            code.mov(width, operand, Int32(truncatingIfNeeded: op.imm64))
        }
        movePointer(width, by: -(1 << width.rawValue))
        return true
    }

    /// PUSH of memory: both accesses come before the pointer moves.
    mutating func pushMemory(_ i: Instruction, _ load: Op) -> Bool {
        guard let width = stackWidth(i) else { return false }
        willWrite(4)
        memory(load, width, isWrite: false)
        self.load(width, .r11)
        code.mov(.quad, Self.at(\.scratch2), .r11)
        memoryOfPush(width, operation: group.lowerBound + 1)
        code.mov(.quad, .r11, Self.at(\.scratch2))
        code.mov(width, operand, .r11)
        movePointer(width, by: -(1 << width.rawValue))
        return true
    }

    mutating func pop(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i), !i.isMemory, let number = Self.number(op.dst) else { return false }
        willWrite(4)
        willWrite(number)
        stackMemory(width, isWrite: false)
        // POP RSP: the value wins.
        if number != 4 { movePointer(width, by: 1 << width.rawValue) }
        let to = target(number, .r11)
        code.mov(width, to, operand)
        finish(number, to)
        return true
    }

    /// RSP is RBP, and RBP is popped.
    mutating func leaveFrame(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i) else { return false }
        willWrite(4)
        willWrite(5)
        stackMemory(width, base: 5, isWrite: false)
        code.lea(width, Self.stack, HostAddress(.rbp, 1 << width.rawValue))
        code.mov(width, .rbp, operand)
        return true
    }
}
