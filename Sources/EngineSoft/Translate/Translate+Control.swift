// Jumps, calls and returns. Direct ones go by the block's own chain slots, which the interpreter links; indirect ones by the jump cache. Whatever
// is checked is the interpreter's.

extension BlockEmitter {
    /// RIP needs no check and no mask (as BlockBuilder has it).
    private func isPlain(_ i: Instruction) -> Bool { is64 || mode.contains(.flat) && i.operandSize == 4 }

    /// The block's last instruction, which `group` has; with the jump that the builder has fused to it. false: nothing is emitted.
    mutating func emitEnd(_ i: Instruction) -> Bool {
        closeStack()
        if interpreted.contains(.control) { return false }
        if number + 1 < source.instructions.count { return emitFused(i, source.instructions[number + 1]) }
        guard i.outcome == .instruction, isPlain(i) else { return false }
        let op = operations[group.upperBound - 1]
        switch i.mnemonic {
        case .jmp: return jump(0, op.imm64)
        case .jcc:
            guard let taken = Int32(exactly: Int64(bitPattern: op.imm64)) else { return false }
            branch(condition(i.opcode & 15), taken, Int32(truncatingIfNeeded: op.behind))
            return true
        case .call: return call(i, op)
        case .ret: return ret(i, op)
        case .jmpIndirect: return jumpIndirect(i, op)
        case .callIndirect: return callIndirect(i, op)
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
        closeStack()
        if let way = wayInLoop(slot) {
            follow(way)
            return true
        }
        endBlock()
        chain(slot, distance)
        return true
    }

    /// Both ways. The host's flags are the condition's.
    private mutating func branch(_ holds: HostCondition, _ taken: Int32, _ behind: Int32) {
        if loop != nil, branchInLoop(holds, taken, behind) { return }
        endBlock()
        if block.chain(0).pointee.isOwnPage, let slot = slot(0) {
            load(slot)
            go(holds, 0, slot)
            return chain(1, behind)
        }
        let label = code.label()
        code.jump(holds, label)
        chain(1, behind)
        code.bind(label)
        chain(0, taken)
    }

    /// false: neither way leads to the loop.
    private mutating func branchInLoop(_ holds: HostCondition, _ taken: Int32, _ behind: Int32) -> Bool {
        switch (wayInLoop(0), wayInLoop(1)) {
        case (nil, nil): return false
        case (let way?, nil):
            code.jump(holds, way.label)
            endBlock()
            chain(1, behind)
        case (nil, let way?):
            code.jump(holds.opposite, way.label)
            endBlock()
            chain(0, taken)
        case (let far?, let near?):
            if near.isEmitted {
                code.jump(holds.opposite, near.label)
                follow(far)
            } else {
                code.jump(holds, far.label)
                follow(near)
            }
        }
        return true
    }

    /// To the block at `distance` from this one's start. On the own page its code is known once it is linked; elsewhere the link holds under a key.
    private mutating func chain(_ number: Int, _ distance: Int32) {
        guard let slot = slot(number) else { return }
        if slot.pointee.isOwnPage {
            load(slot)
        } else {
            let pages = (Int(source.pageOffset) + Int(distance)) & ~0xfff
            code.mov(.quad, .r10, Self.at(\.pageBase))
            load(slot)
            code.arithmetic(.add, addressWidth, .r10, Int32(truncatingIfNeeded: pages))
            code.mov(.quad, Self.at(\.pageBase), .r10)
            compare(.r10, slot: \.page)
            code.mov(.quad, .r10, Self.at(\.jumpKey))
            compare(.r10, slot: \.key)
        }
        go(nil, number, slot)
    }

    /// The block's own, or one of the loop's, whose jump it is alone. nil: there is no room.
    private mutating func slot(_ number: Int) -> UnsafeMutablePointer<ChainSlot>? {
        guard let part else { return block.chain(number) }
        let slot = part.versions.newSlot(block.chain(number))
        if slot == nil { isOutOfRoom = true }
        return slot
    }

    private mutating func load(_ slot: UnsafeMutablePointer<ChainSlot>) {
        code.load(.r11, UInt64(UInt(bitPattern: slot)))
    }

    /// Where the slot in R11 leads to.
    private mutating func go(_ condition: HostCondition?, _ number: Int, _ slot: UnsafeMutablePointer<ChainSlot>) {
        let site = code.patchableJump(condition, outside: slot.pointee.code)
        if let part { part.versions.exits.append((slot, site)) } else { sites[number] = site }
    }

    private mutating func compare(_ register: HostRegister, slot field: KeyPath<ChainSlot, UInt64>) {
        let offset = MemoryLayout<ChainSlot>.offset(of: field).unsafelyUnwrapped
        code.arithmetic(.cmp, .quad, register, HostAddress(.r11, offset))
        code.jump(.ne, outside: stubs.unlinked)
    }

    // MARK: CMP and TEST with Jcc

    private mutating func emitFused(_ i: Instruction, _ jcc: Instruction) -> Bool {
        guard let op = single, is64 || mode.contains(.flat), emit(i) else { return false }
        branch(condition(jcc.opcode & 15), op.fusedTarget, Int32(op.fusedBehind))
        return true
    }

    // MARK: CALL

    /// The address behind the instruction of `op`.
    private mutating func loadReturnAddress(_ op: Op, _ width: Width) {
        let distance = Int(source.pageOffset) + Int(op.offset) + Int(op.length)
        code.mov(.quad, .r11, Self.at(\.pageBase))
        code.lea(width, .r11, HostAddress(.r11, distance))
    }

    private mutating func call(_ i: Instruction, _ op: Op) -> Bool {
        guard let distance = Int32(exactly: Int64(bitPattern: op.imm64)), let width = stackWidth(i) else {
            return false
        }
        endBlock()
        memoryOfPush(width)
        loadReturnAddress(op, width)
        code.mov(width, operand, .r11)
        movePointer(width, by: -(1 << width.rawValue))
        chain(0, distance)
        return true
    }

    // MARK: Indirect

    /// The entry for the address in R10, in R11; where there is none, the interpreter goes on with the instruction.
    private mutating func findTarget() {
        code.imul(.double, .r11, .r10, Int32(bitPattern: JumpEntry.factor))
        code.shift(.shr, .double, .r11, UInt8(32 - (JumpEntry.count * JumpEntry.stride).trailingZeroBitCount))
        code.arithmetic(.and, .double, .r11, -Int32(JumpEntry.stride))
        code.arithmetic(.add, .quad, .r11, Self.at(\.jumpCache))
        code.arithmetic(.cmp, .quad, .r10, entry(\.rip))
        loseHostFlags()
        leave(.ne)
        code.mov(.quad, .r10, Self.at(\.jumpKey))
        code.arithmetic(.cmp, .quad, .r10, entry(\.key))
        leave(.ne)
    }

    private mutating func jumpToTarget() {
        code.mov(.quad, .r10, entry(\.rip))
        code.arithmetic(.and, .quad, .r10, -4096)
        code.mov(.quad, Self.at(\.pageBase), .r10)
        code.jump(entry(\.code))
    }

    private func entry<T>(_ field: KeyPath<JumpEntry, T>) -> HostAddress {
        HostAddress(.r11, MemoryLayout<JumpEntry>.offset(of: field).unsafelyUnwrapped)
    }

    private mutating func ret(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i) else { return false }
        endBlock()
        stackMemory(width, isWrite: false)
        load(width, .r10)
        findTarget()
        movePointer(width, by: 1 << width.rawValue + Int(op.imm & 0xffff))
        jumpToTarget()
        return true
    }

    /// The target in R10. false: nothing is emitted.
    private mutating func loadTarget(_ i: Instruction, _ op: Op) -> Bool {
        let width = addressWidth
        if i.isMemory {
            let load = operations[group.lowerBound]
            guard group.count == 2, isReachable(load), load.dst == Register.address else { return false }
            memory(load, width, isWrite: false)
            self.load(width, .r10)
        } else {
            guard group.count == 1, let number = Self.number(op.src) else { return false }
            code.mov(width, .r10, value(number, in: .r10))
        }
        return true
    }

    private mutating func jumpIndirect(_ i: Instruction, _ op: Op) -> Bool {
        guard i.operandSize == (is64 ? 8 : 4), loadTarget(i, op) else { return false }
        findTarget()
        endBlock()
        jumpToTarget()
        return true
    }

    private mutating func callIndirect(_ i: Instruction, _ op: Op) -> Bool {
        guard let width = stackWidth(i), loadTarget(i, op) else { return false }
        code.mov(.quad, Self.at(\.scratch2), .r10)
        memoryOfPush(width, operation: group.upperBound - 1)
        code.mov(.quad, Self.at(\.scratch3), .r10)
        code.mov(.quad, .r10, Self.at(\.scratch2))
        findTarget()
        endBlock()
        code.mov(.quad, Self.at(\.scratch2), .r11)
        code.mov(.quad, .r10, Self.at(\.scratch3))
        loadReturnAddress(op, width)
        code.mov(width, operand, .r11)
        movePointer(width, by: -(1 << width.rawValue))
        code.mov(.quad, .r11, Self.at(\.scratch2))
        jumpToTarget()
        return true
    }
}
