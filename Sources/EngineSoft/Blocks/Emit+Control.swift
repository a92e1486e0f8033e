// Near control flow and the stack.

extension BlockBuilder {
    /// RIP needs no check and no mask behind a direct jump: 64-bit code, and 32-bit code in flat segments.
    private func jumpsPlainly(_ i: Instruction) -> Bool { is64 || (mode.contains(.flat) && i.operandSize == 4) }

    /// PUSH, POP, CALL and RET of the plain kind: 64-bit mode with 8 bytes, flat 32-bit mode with 4.
    private enum Stack { case plain64, plain32, other }
    private func stack(_ size: UInt8) -> Stack {
        guard mode.isDisjoint(with: [.alignment, .dataBreakpoints]) else { return .other }
        if is64 { return size == 8 ? .plain64 : .other }
        return mode.isSuperset(of: [.flat, .stack32]) && size == 4 ? .plain32 : .other
    }

    mutating func emitControl(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .jcc: jcc(i)
        case .jmp: direct(i, plain: jumpDirect, checked: jumpDirectChecked)
        case .call:
            switch stack(i.operandSize) {
            case .plain64: direct(i, plain: callDirect64, checked: callDirectChecked)
            case .plain32: direct(i, plain: callDirect32, checked: callDirectChecked)
            case .other: direct(i, plain: callDirectChecked, checked: callDirectChecked)
            }
        case .jcxz, .loop, .loope, .loopne: direct(i, plain: loopOrJCXZ, checked: loopOrJCXZ)
        case .jmpIndirect: indirect(i, isCall: false)
        case .callIndirect: indirect(i, isCall: true)
        case .ret:
            var op = op(i, returnChecked)
            if jumpsPlainly(i) {
                switch stack(i.operandSize) {
                case .plain64: op.run = return64
                case .plain32: op.run = return32
                case .other: break
                }
            }
            op.seg = UInt8(Segment.flatStack)
            op.imm = Int32(truncatingIfNeeded: i.immediate)
            op.size = i.operandSize
            push(op)
        default: return false
        }
        return true
    }

    /// The address size and the opcode are for LOOP and JCXZ.
    private mutating func direct(_ i: Instruction, plain: Handler, checked: Handler) {
        var op = op(i, jumpsPlainly(i) ? plain : checked)
        let target = UInt64(length) &+ UInt64(i.length) &+ i.immediate
        op.imm64 = target
        op.seg = UInt8(Segment.flatStack)
        op.size = i.operandSize
        op.setForm(i)
        op.opcode = i.opcode
        noteTarget(0, target)
        noteTarget(1, UInt64(length) &+ UInt64(i.length))
        push(op)
    }

    private mutating func jcc(_ i: Instruction) {
        let target = UInt64(length) &+ UInt64(i.length) &+ i.immediate
        let behind = UInt64(length) &+ UInt64(i.length)
        noteTarget(0, target)
        noteTarget(1, behind)
        guard jumpsPlainly(i) else {
            var op = op(i, jccChecked)
            op.imm64 = target
            op.size = i.operandSize
            op.condition = i.opcode & 15
            return push(op)
        }
        if fuse(i, target, behind) { return }
        var op = op(i, Handlers.jcc[i.opcode & 15])
        op.imm64 = target
        op.behind = UInt32(truncatingIfNeeded: behind)
        push(op)
    }

    /// Makes one operation of the CMP or TEST before and this jump.
    private mutating func fuse(_ i: Instruction, _ target: UInt64, _ behind: UInt64) -> Bool {
        guard count > 1, Int(operations[count - 1].number) == instructionCount - 1,
            let signed = Int32(exactly: Int64(bitPattern: target)),
            let fused = Fusion.shared.of(last.run, i.opcode & 15)
        else { return false }
        last.run = unthunked(fused)
        last.fusedTarget = signed
        last.fusedBehind = UInt16(truncatingIfNeeded: behind)
        return true
    }

    private mutating func indirect(_ i: Instruction, isCall: Bool) {
        let size = i.operandSize
        var place = rm(i, size)
        if i.isMemory {
            var load = op(i, Self.wordLoad(size))
            setMemory(&load, i, size: UInt16(size), isWrite: false)
            load.dst = Register.address
            push(load)
            place = Register.address
        }
        let isPlain = jumpsPlainly(i)
        var op: Op
        switch (isCall, isPlain, stack(size)) {
        case (false, true, _) where is64: op = self.op(i, jumpRegister64)
        case (false, true, _): op = self.op(i, jumpRegister32)
        case (true, true, .plain64): op = self.op(i, callRegister64)
        case (true, true, .plain32): op = self.op(i, callRegister32)
        default: op = self.op(i, isCall ? callRegisterChecked : jumpRegisterChecked)
        }
        op.src = place
        op.seg = UInt8(Segment.flatStack)
        op.size = size
        push(op)
    }

    // MARK: Stack

    mutating func pushOperand(_ i: Instruction) {
        let size = i.operandSize
        var op = op(i, pushChecked)
        op.size = size
        switch i.operands.0 {
        case .Iz, .Ibs:
            op.imm64 = i.immediate
            switch stack(size) {
            case .plain64: op.run = pushImmediate64
            case .plain32: op.run = pushImmediate32
            case .other: op.run = pushImmediateChecked
            }
        default:
            op.src = i.operands.0 == .Zv ? low(i, size) : rm(i, size)
            if i.isMemory {
                var load = self.op(i, Self.wordLoad(size))
                setMemory(&load, i, size: UInt16(size), isWrite: false)
                load.dst = Register.address
                push(load)
                op.src = Register.address
            }
            switch stack(size) {
            case .plain64: op.run = push64
            case .plain32: op.run = push32
            case .other: break
            }
        }
        op.seg = UInt8(Segment.flatStack)
        push(op)
    }

    mutating func popOperand(_ i: Instruction) {
        let size = i.operandSize
        if i.isMemory {
            var load = op(i, popLoad)
            load.seg = UInt8(Segment.flatStack)
            load.size = size
            push(load)
            var after = i
            if i.base == 4 { after.base = Instruction.poppedBase }
            var store = op(i, popStore)
            setMemory(&store, after, size: UInt16(size), isWrite: true)
            store.size = size
            return push(store)
        }
        var op = op(i, popChecked)
        op.dst = i.operands.0 == .Zv ? low(i, size) : rm(i, size)
        op.seg = UInt8(Segment.flatStack)
        op.size = size
        switch stack(size) {
        case .plain64: op.run = pop64
        case .plain32: op.run = pop32
        case .other: break
        }
        push(op)
    }
}

/// Which handlers have a form fused with a conditional jump.
struct Fusion {
    static let shared = Fusion()
    private var tables: [UInt: (FusedTable, Binary, Width)] = [:]

    private init() {
        for operation in [Binary.cmp, .test] {
            for width in Width.allCases {
                for (from, to) in [
                    (Handlers.binaryRR, Handlers.fusedRR), (Handlers.binaryRI, Handlers.fusedRI),
                    (Handlers.binaryRM, Handlers.fusedRM), (Handlers.binaryMI, Handlers.fusedMI),
                ] {
                    let code = unsafeBitCast(unthunked(from[operation, width]), to: UInt.self)
                    tables[code] = (to, operation, width)
                }
            }
        }
    }

    func of(_ handler: Handler, _ condition: UInt8) -> Handler? {
        guard let (table, operation, width) = tables[unsafeBitCast(handler, to: UInt.self)] else { return nil }
        return table[operation, width, condition]
    }
}
