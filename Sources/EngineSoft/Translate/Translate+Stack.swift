// PUSH, POP and LEAVE.

extension BlockEmitter {
    /// 64-bit mode with 8 bytes, flat 32-bit segments with 4.
    func stackWidth(_ i: Instruction) -> Width? {
        if is64 { return i.operandSize == 8 ? .quad : nil }
        return mode.isSuperset(of: [.flat, .stack32]) && i.operandSize == 4 ? .double : nil
    }

    private static let stack = home(4).unsafelyUnwrapped

    /// The host's address of a new top of the stack in R10.
    mutating func memoryOfPush(_ width: Width) {
        code.lea(width, .r10, HostAddress(Self.stack, -(1 << width.rawValue)))
        lookUp(1 << width.rawValue, isWrite: true)
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
            code.mov(width, HostAddress(.r10), value(number, in: .r11))
        } else {
            code.mov(width, HostAddress(.r10), Int32(truncatingIfNeeded: op.imm64))
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
        code.lea(width, .r10, HostAddress(Self.stack, -(1 << width.rawValue)))
        lookUp(1 << width.rawValue, isWrite: true, operation: group.lowerBound + 1)
        code.mov(.quad, .r11, Self.at(\.scratch2))
        code.mov(width, HostAddress(.r10), .r11)
        movePointer(width, by: -(1 << width.rawValue))
        return true
    }

    mutating func pop(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i), !i.isMemory, let number = Self.number(op.dst) else { return false }
        willWrite(4)
        willWrite(number)
        code.mov(width, .r10, Self.stack)
        lookUp(1 << width.rawValue, isWrite: false)
        // POP RSP: the value wins.
        if number != 4 { movePointer(width, by: 1 << width.rawValue) }
        let to = target(number, .r11)
        code.mov(width, to, HostAddress(.r10))
        finish(number, to)
        return true
    }

    /// RSP is RBP, and RBP is popped.
    mutating func leaveFrame(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i) else { return false }
        willWrite(4)
        willWrite(5)
        code.mov(width, .r10, .rbp)
        lookUp(1 << width.rawValue, isWrite: false)
        code.lea(width, Self.stack, HostAddress(.rbp, 1 << width.rawValue))
        code.mov(width, .rbp, HostAddress(.r10))
        return true
    }
}
