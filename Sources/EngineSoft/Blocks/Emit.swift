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

    /// 0 to 3 for 1, 2, 4, 8 bytes.
    static func widthIndex(_ size: UInt8) -> Int { size.trailingZeroBitCount & 3 }

    // MARK: The common instructions

    private mutating func emitInteger(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .add: binary(i, 0)
        case .or: binary(i, 1)
        case .adc: binary(i, 2)
        case .sbb: binary(i, 3)
        case .and: binary(i, 4)
        case .sub: binary(i, 5)
        case .xor: binary(i, 6)
        case .cmp: binary(i, 7)
        case .test: binary(i, 8)
        case .mov: binary(i, 9)
        case .inc: unary(i, 0)
        case .dec: unary(i, 1)
        case .neg: unary(i, 2)
        case .not: unary(i, 3)
        case .rol: shift(i, 0)
        case .ror: shift(i, 1)
        case .rcl: shift(i, 2)
        case .rcr: shift(i, 3)
        case .shl: shift(i, 4)
        case .shr: shift(i, 5)
        case .sar: shift(i, 6)
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

    private mutating func binary(_ i: Instruction, _ operation: Int) {
        let size = size(i)
        let index = operation * 4 + Self.widthIndex(size)
        switch (i.operands.0, i.operands.1) {
        case (.AL, .Ib), (.rAX, .Iz):
            registerImmediate(i, index, Register.rax)
        case (.Zb, .Ib): registerImmediate(i, index, low(i, 1))
        case (.Zv, .Iv):
            if size == 8 {
                var op = op(i, moveImmediate64)
                op.dst = low(i, 8)
                op.imm64 = i.immediate
                push(op)
            } else {
                registerImmediate(i, index, low(i, size))
            }
        case (.Eb, .Ib), (.Ev, .Iz), (.Ev, .Ibs):
            if i.isMemory {
                var op = op(i, Handlers.binaryMI[index])
                setMemory(&op, i, size: UInt16(size), isWrite: operation < 7 || operation == 9)
                op.imm = Int32(truncatingIfNeeded: Int64(bitPattern: i.immediate))
                push(op)
            } else {
                registerImmediate(i, index, rm(i, size))
            }
        case (.Eb, .Gb), (.Ev, .Gv):
            if i.isMemory {
                var op = op(i, Handlers.binaryMR[index])
                setMemory(&op, i, size: UInt16(size), isWrite: operation < 7 || operation == 9)
                op.src = reg(i, size)
                push(op)
            } else {
                registers(i, index, rm(i, size), reg(i, size))
            }
        case (.Gb, .Eb), (.Gv, .Ev):
            if i.isMemory {
                var op = op(i, Handlers.binaryRM[index])
                setMemory(&op, i, size: UInt16(size), isWrite: false)
                op.dst = reg(i, size)
                push(op)
            } else {
                registers(i, index, reg(i, size), rm(i, size))
            }
        case (.AL, .Ob), (.rAX, .Ov):
            var op = op(i, Handlers.binaryRM[index])
            setMemory(&op, i, size: UInt16(size), isWrite: false)
            op.dst = Register.rax
            push(op)
        default:
            var op = op(i, Handlers.binaryMR[index])
            setMemory(&op, i, size: UInt16(i.operands.1.size(i.operandSize)), isWrite: true)
            op.src = Register.rax
            push(op)
        }
    }

    private mutating func registerImmediate(_ i: Instruction, _ index: Int, _ place: UInt8) {
        var op = op(i, Handlers.binaryRI[index])
        op.dst = place
        op.imm = Int32(truncatingIfNeeded: Int64(bitPattern: i.immediate))
        push(op)
    }

    private mutating func registers(_ i: Instruction, _ index: Int, _ destination: UInt8, _ source: UInt8) {
        var op = op(i, Handlers.binaryRR[index])
        op.dst = destination
        op.src = source
        push(op)
    }

    private mutating func unary(_ i: Instruction, _ operation: Int) {
        let size = size(i)
        let index = operation * 4 + Self.widthIndex(size)
        if i.isMemory {
            var op = op(i, Handlers.unaryM[index])
            setMemory(&op, i, size: UInt16(size), isWrite: true)
            push(op)
        } else {
            var op = op(i, Handlers.unaryR[index])
            op.dst = i.operands.0 == .Zv ? low(i, size) : rm(i, size)
            push(op)
        }
    }

    private mutating func shift(_ i: Instruction, _ operation: Int) {
        let size = size(i)
        let index = operation * 4 + Self.widthIndex(size)
        let byCL = i.operands.1 == .CL
        let mask: UInt64 = size == 8 ? 63 : 31
        let count = i.operands.1 == .one ? 1 : i.immediate & mask
        if i.isMemory {
            if !byCL, count == 0 { return touch(i, size) }
            var op = op(i, Handlers.shiftM[index])
            setMemory(&op, i, size: UInt16(size), isWrite: true)
            op.imm = byCL ? 0 : Int32(truncatingIfNeeded: count)
            return push(op)
        }
        let place = rm(i, size)
        if !byCL, count == 0 { return registers(i, 9 * 4 + Self.widthIndex(size), place, place) }
        var op = op(i, byCL ? Handlers.shiftRC[index] : Handlers.shiftRI[index])
        op.dst = place
        op.imm = Int32(truncatingIfNeeded: count)
        push(op)
    }

    /// A shift of memory by 0: the operand is accessed and nothing changes.
    private mutating func touch(_ i: Instruction, _ size: UInt8) {
        var op = op(i, Handlers.binaryMI[1 * 4 + Self.widthIndex(size)])
        op.run = touchHandlers[Self.widthIndex(size)]
        setMemory(&op, i, size: UInt16(size), isWrite: true)
        push(op)
    }

    private mutating func extend(_ i: Instruction, from: UInt8, isSigned: Bool) {
        let to = Self.widthIndex(i.operandSize) - 1
        let index = (isSigned ? 9 : 0) + Self.widthIndex(from) * 3 + to
        var op = op(i, i.isMemory ? Handlers.extendM[index] : Handlers.extendR[index])
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
            prepare.extra = UInt16(i.addressSize)
            push(prepare)
            var op = op(i, Handlers.lea[Self.widthIndex(i.operandSize) - 1])
            op.base = Register.address
            op.dst = reg(i, i.operandSize)
            return push(op)
        }
        var op = op(i, Handlers.lea[Self.widthIndex(i.operandSize) - 1])
        (op.base, op.index, op.scale, op.disp) = address
        op.dst = reg(i, i.operandSize)
        push(op)
    }

    private mutating func cmov(_ i: Instruction) {
        let index = (Self.widthIndex(i.operandSize) - 1) * 16 + Int(i.opcode & 15)
        var source = rm(i, i.operandSize)
        if i.isMemory {
            // The operand is read whatever the condition says.
            var load = op(i, Handlers.extendM[Self.plainLoad(i.operandSize)])
            if i.operandSize == 8 { load.run = Handlers.binaryRM[9 * 4 + 3] }
            setMemory(&load, i, size: UInt16(i.operandSize), isWrite: false)
            load.dst = Register.address
            push(load)
            source = Register.address
        }
        var op = op(i, Handlers.cmov[index])
        op.dst = reg(i, i.operandSize)
        op.src = source
        push(op)
    }

    /// In Handlers.extendM: zero extension of 2 or 4 bytes to 8.
    private static func plainLoad(_ size: UInt8) -> Int { widthIndex(size) * 3 + 2 }

    private mutating func set(_ i: Instruction) {
        if i.isMemory {
            var op = op(i, setMemoryByte)
            setMemory(&op, i, size: 1, isWrite: true)
            op.imm = Int32(i.opcode & 15)
            return push(op)
        }
        var op = op(i, Handlers.set[Int(i.opcode & 15)])
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

/// The offset of LEA where it needs a mask; extra: address size.
private let leaPrepare: Handler = { s, p in
    let op = p.op
    var offset = s[op.pointee.base] &+ s[op.pointee.index] &<< UInt64(op.pointee.scale)
    offset = offset &+ UInt64(bitPattern: Int64(op.pointee.disp)) &+ UInt64(bitPattern: Int64(op.pointee.imm)) &<< 32
    switch op.pointee.extra {
    case 2: offset &= 0xffff
    case 4: offset &= 0xffff_ffff
    default: break
    }
    s[Register.address] = offset
    return next(s, p)
}

private let setMemoryByte: Handler = { s, p in
    let value: UInt8 = s.cpu.condition(UInt8(truncatingIfNeeded: p.imm)) ? 1 : 0
    return s.write(p, linear(s, p), value) ? next(s, p) : abort(s, p)
}
