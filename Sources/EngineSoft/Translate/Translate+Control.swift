// Direct jumps and calls, and blocks that just go on: by the block's own chain slots, which the interpreter links. Indirect jumps, returns
// and whatever is checked are the interpreter's operations.

extension BlockEmitter {
    /// RIP needs no check and no mask (as BlockBuilder has it).
    private func isPlain(_ i: Instruction) -> Bool { is64 || mode.contains(.flat) && i.operandSize == 4 }

    /// The block's last instruction, which `group` has; with the jump that the builder has fused to it. false: nothing is emitted.
    mutating func emitEnd(_ i: Instruction) -> Bool {
        if number + 1 < source.instructions.count { return emitFused(i, source.instructions[number + 1]) }
        guard let op = single, isPlain(i) else { return false }
        switch i.mnemonic {
        case .jmp: return jump(0, op.imm64)
        case .jcc:
            guard let taken = Int32(exactly: Int64(bitPattern: op.imm64)), let holds = condition(i.opcode & 15) else {
                return false
            }
            branch(holds, taken, Int32(truncatingIfNeeded: op.behind))
            return true
        case .call: return call(i, op)
        default: return false
        }
    }

    /// Behind the last instruction of a block that no jump ends.
    mutating func emitFallThrough(_ op: Op) -> Bool {
        guard is64 || mode.contains(.flat) else { return false }
        return jump(1, op.imm64)
    }

    private mutating func jump(_ slot: Int, _ offset: UInt64) -> Bool {
        guard let distance = Int32(exactly: Int64(bitPattern: offset)) else { return false }
        storeDirty()
        chain(slot, distance)
        return true
    }

    /// Both ways. The host's flags are the condition's.
    private mutating func branch(_ holds: HostCondition, _ taken: Int32, _ behind: Int32) {
        storeDirty()
        let label = code.label()
        code.jump(holds, label)
        chain(1, behind)
        code.bind(label)
        chain(0, taken)
    }

    /// Registers are stored.
    private mutating func chain(_ slot: Int, _ distance: Int32) {
        code.arithmetic(.add, addressWidth, HostAddress(.r15, Int(Register.rip)), distance)
        code.load(.r11, UInt64(UInt(bitPattern: chainSlot(slot))))
        code.jump(outside: stubs.chain)
    }

    // MARK: CMP and TEST with Jcc

    private mutating func emitFused(_ i: Instruction, _ jcc: Instruction) -> Bool {
        guard let op = single, is64 || mode.contains(.flat) else { return false }
        let behind = Int32(op.fusedBehind)
        if i.isMemory {
            // PF alone is not told by the words in a few instructions.
            guard jcc.opcode >> 1 & 7 != 5, emit(i), let holds = condition(jcc.opcode & 15) else { return false }
            branch(holds, op.fusedTarget, behind)
            return true
        }
        guard emit(i), let holds = HostCondition(rawValue: jcc.opcode & 15) else { return false }
        compareAgain(i, op)
        branch(holds, op.fusedTarget, behind)
        return true
    }

    // MARK: CALL

    private mutating func call(_ i: Instruction, _ op: Op) -> Bool {
        guard let distance = Int32(exactly: Int64(bitPattern: op.imm64)), let width = stackWidth(i) else {
            return false
        }
        let pointer = use(4)
        let size = 1 << width.rawValue
        code.lea(width, .r10, HostAddress(pointer, -size))
        let mark = lookUp(width, isWrite: true)
        code.mov(.quad, .r11, HostAddress(.r15, Int(Register.rip)))
        code.arithmetic(.add, width, .r11, Int32(op.offset) + Int32(op.length))
        code.mov(width, HostAddress(.r10), .r11)
        code.lea(width, change(4), HostAddress(pointer, -size))
        storeDirty()
        chain(0, distance)
        resume(mark)
        return true
    }
}
