// Which operations an instruction becomes.

extension BlockBuilder {
    mutating func emit(_ i: Instruction) {
        if emitInteger(i) || emitControl(i) || emitString(i) || emitRareInteger(i) || emitSystem(i) || emitVector(i)
            || emitX87(i)
        {
            return
        }
        // In the table, and nobody's: undefined here.
        general(i, undefinedOpcode)
    }

    /// Loads 2, 4 or 8 bytes into all of a general register.
    static func wordLoad(_ size: UInt8) -> Handler {
        size == 8 ? Handlers.binaryRM[.mov, .quad] : Handlers.extendM[signed: false, from: Width(size), to: .quad]
    }

    // MARK: The common instructions

    private mutating func emitInteger(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .add: binary(i, .add)
        case .or: binary(i, .or)
        case .adc: binary(i, .adc)
        case .sbb: binary(i, .sbb)
        case .and: binary(i, .and)
        case .sub: binary(i, .sub)
        case .xor: binary(i, .xor)
        case .cmp: binary(i, .cmp)
        case .test: binary(i, .test)
        case .mov: binary(i, .mov)
        case .inc: unary(i, .inc)
        case .dec: unary(i, .dec)
        case .neg: unary(i, .neg)
        case .not: unary(i, .not)
        case .rol: shift(i, .rol)
        case .ror: shift(i, .ror)
        case .rcl: shift(i, .rcl)
        case .rcr: shift(i, .rcr)
        case .shl: shift(i, .shl)
        case .shr: shift(i, .shr)
        case .sar: shift(i, .sar)
        case .movzxb: extend(i, from: 1, isSigned: false)
        case .movzxw: extend(i, from: 2, isSigned: false)
        case .movsxb: extend(i, from: 1, isSigned: true)
        case .movsxw: extend(i, from: 2, isSigned: true)
        case .movsxd: extend(i, from: 4, isSigned: true)
        case .lea: lea(i)
        case .nop, .prefetch: push(op(i, noOperation))
        case .cmov: cmov(i)
        case .set: set(i)
        case .push: pushOperand(i)
        case .pop: popOperand(i)
        default: return false
        }
        return true
    }

    /// Sizes of the first two operands that the table leaves to the operand size.
    private func size(_ i: Instruction) -> UInt8 { i.operands.0.size(i.operandSize, is64: is64) }

    private mutating func binary(_ i: Instruction, _ operation: Binary) {
        let size = size(i)
        let width = Width(size)
        switch (i.operands.0, i.operands.1) {
        case (.AL, .Ib), (.rAX, .Iz):
            registerImmediate(i, operation, width, Register.rax)
        case (.Zb, .Ib): registerImmediate(i, operation, width, low(i, 1))
        case (.Zv, .Iv):
            if size == 8 {
                var op = op(i, moveImmediate64)
                op.dst = low(i, 8)
                op.imm64 = i.immediate
                push(op)
            } else {
                registerImmediate(i, operation, width, low(i, size))
            }
        case (.Eb, .Ib), (.Ev, .Iz), (.Ev, .Ibs):
            if i.isMemory {
                var op = op(i, Handlers.binaryMI[operation, width])
                setMemory(&op, i, size: UInt16(size), isWrite: operation.writes)
                op.imm = Int32(truncatingIfNeeded: Int64(bitPattern: i.immediate))
                push(op)
            } else {
                registerImmediate(i, operation, width, rm(i, size))
            }
        case (.Eb, .Gb), (.Ev, .Gv):
            if i.isMemory {
                var op = op(i, Handlers.binaryMR[operation, width])
                setMemory(&op, i, size: UInt16(size), isWrite: operation.writes)
                op.src = reg(i, size)
                push(op)
            } else {
                registers(i, operation, width, rm(i, size), reg(i, size))
            }
        case (.Gb, .Eb), (.Gv, .Ev):
            if i.isMemory {
                var op = op(i, Handlers.binaryRM[operation, width])
                setMemory(&op, i, size: UInt16(size), isWrite: false)
                op.dst = reg(i, size)
                push(op)
            } else {
                registers(i, operation, width, reg(i, size), rm(i, size))
            }
        case (.AL, .Ob), (.rAX, .Ov):
            var op = op(i, Handlers.binaryRM[operation, width])
            setMemory(&op, i, size: UInt16(size), isWrite: false)
            op.dst = Register.rax
            push(op)
        default:
            var op = op(i, Handlers.binaryMR[operation, width])
            setMemory(&op, i, size: UInt16(i.operands.1.size(i.operandSize)), isWrite: true)
            op.src = Register.rax
            push(op)
        }
    }

    private mutating func registerImmediate(_ i: Instruction, _ operation: Binary, _ width: Width, _ place: UInt8) {
        var op = op(i, Handlers.binaryRI[operation, width])
        op.dst = place
        op.imm = Int32(truncatingIfNeeded: Int64(bitPattern: i.immediate))
        push(op)
    }

    private mutating func registers(
        _ i: Instruction, _ operation: Binary, _ width: Width, _ destination: UInt8, _ source: UInt8
    ) {
        var op = op(i, Handlers.binaryRR[operation, width])
        op.dst = destination
        op.src = source
        push(op)
    }

    private mutating func unary(_ i: Instruction, _ operation: Unary) {
        let size = size(i)
        let width = Width(size)
        if i.isMemory {
            var op = op(i, Handlers.unaryM[operation, width])
            setMemory(&op, i, size: UInt16(size), isWrite: true)
            push(op)
        } else {
            var op = op(i, Handlers.unaryR[operation, width])
            op.dst = i.operands.0 == .Zv ? low(i, size) : rm(i, size)
            push(op)
        }
    }

    private mutating func shift(_ i: Instruction, _ operation: Shift) {
        let size = size(i)
        let width = Width(size)
        let byCL = i.operands.1 == .CL
        let mask: UInt64 = size == 8 ? 63 : 31
        let count = i.operands.1 == .one ? 1 : i.immediate & mask
        if i.isMemory {
            if !byCL, count == 0 { return touch(i, size) }
            var op = op(i, Handlers.shiftM[operation, width])
            setMemory(&op, i, size: UInt16(size), isWrite: true)
            op.imm = byCL ? 0 : Int32(truncatingIfNeeded: count)
            return push(op)
        }
        let place = rm(i, size)
        if !byCL, count == 0 { return registers(i, .mov, width, place, place) }
        var op = op(i, byCL ? Handlers.shiftRC[operation, width] : Handlers.shiftRI[operation, width])
        op.dst = place
        op.imm = Int32(truncatingIfNeeded: count)
        push(op)
    }

    /// A shift of memory by 0: the operand is accessed and nothing changes.
    private mutating func touch(_ i: Instruction, _ size: UInt8) {
        var op = op(i, touchHandlers[Width(size).rawValue])
        setMemory(&op, i, size: UInt16(size), isWrite: true)
        push(op)
    }

    private mutating func extend(_ i: Instruction, from: UInt8, isSigned: Bool) {
        let table = i.isMemory ? Handlers.extendM : Handlers.extendR
        var op = op(i, table[signed: isSigned, from: Width(from), to: Width(i.operandSize)])
        if i.isMemory { setMemory(&op, i, size: UInt16(from), isWrite: false) } else { op.src = rm(i, from) }
        op.dst = reg(i, i.operandSize)
        push(op)
    }

    private mutating func lea(_ i: Instruction) {
        let plainSize: UInt8 = is64 ? 8 : 4
        guard i.addressSize == plainSize, let address = plainOffset(i) else {
            // Masked to the address size.
            var prepare = op(i, leaPrepare)
            setAddress(&prepare, i)
            prepare.setForm(i)
            push(prepare)
            var op = op(i, Handlers.lea[Width(i.operandSize)])
            op.base = Register.address
            op.dst = reg(i, i.operandSize)
            return push(op)
        }
        var op = op(i, Handlers.lea[Width(i.operandSize)])
        (op.base, op.index, op.scale, op.disp) = address
        op.dst = reg(i, i.operandSize)
        push(op)
    }

    private mutating func cmov(_ i: Instruction) {
        var source = rm(i, i.operandSize)
        if i.isMemory {
            // The operand is read whatever the condition says.
            var load = op(i, Self.wordLoad(i.operandSize))
            setMemory(&load, i, size: UInt16(i.operandSize), isWrite: false)
            load.dst = Register.address
            push(load)
            source = Register.address
        }
        var op = op(i, Handlers.cmov[Width(i.operandSize), i.opcode & 15])
        op.dst = reg(i, i.operandSize)
        op.src = source
        push(op)
    }

    private mutating func set(_ i: Instruction) {
        if i.isMemory {
            var op = op(i, setMemoryByte)
            setMemory(&op, i, size: 1, isWrite: true)
            op.condition = i.opcode & 15
            return push(op)
        }
        var op = op(i, Handlers.set[i.opcode & 15])
        op.dst = rm(i, 1)
        push(op)
    }
}

/// MOV r64, imm64.
private let moveImmediate64: Handler = { s, p in
    s.put(p.op.pointee.dst, p.op.pointee.imm64)
    return next(s, p)
}

private let noOperation: Handler = { s, p in next(s, p) }

private let touchHandlers: [Handler] = [
    { s, p in s.modify(p, linear(s, p), as: UInt8.self, { $0 }) ? next(s, p) : abort(s, p) },
    { s, p in s.modify(p, linear(s, p), as: UInt16.self, { $0 }) ? next(s, p) : abort(s, p) },
    { s, p in s.modify(p, linear(s, p), as: UInt32.self, { $0 }) ? next(s, p) : abort(s, p) },
    { s, p in s.modify(p, linear(s, p), as: UInt64.self, { $0 }) ? next(s, p) : abort(s, p) },
]

/// The offset of LEA where it needs a mask.
private let leaPrepare: Handler = { s, p in
    let op = p.op
    var offset = s[op.pointee.base] &+ s[op.pointee.index] &<< UInt64(op.pointee.scale)
    offset = offset &+ UInt64(bitPattern: Int64(op.pointee.disp)) &+ UInt64(bitPattern: Int64(op.pointee.imm)) &<< 32
    switch op.pointee.addressSize {
    case 2: offset &= 0xffff
    case 4: offset &= 0xffff_ffff
    default: break
    }
    s[Register.address] = offset
    return next(s, p)
}

private let setMemoryByte: Handler = { s, p in
    let value: UInt8 = s.cpu.condition(p.op.pointee.condition) ? 1 : 0
    return s.write(p, linear(s, p), value) ? next(s, p) : abort(s, p)
}
