// Integer instructions whose handlers look at sizes at run time.

extension BlockBuilder {
    mutating func emitRareInteger(_ i: Instruction) -> Bool {
        let size = i.operands.0.size(i.operandSize, is64: is64)
        switch i.mnemonic {
        case .mul: sized(i, multiply, size, isWrite: false)
        case .imul: sized(i, multiplySigned, size, isWrite: false)
        case .div: sized(i, divide, size, isWrite: false)
        case .idiv: sized(i, divideSigned, size, isWrite: false)
        case .imul2, .imul3: multiplyInto(i)
        case .shld, .shrd:
            let isCL = i.operands.2 == .CL
            sized(i, i.mnemonic == .shld ? shiftDoubleLeft : shiftDoubleRight, size, isWrite: true)
            let mask: UInt64 = size == 8 ? 63 : 31
            last.fixedCount = isCL ? nil : UInt8(truncatingIfNeeded: i.immediate & mask)
        case .xadd: sized(i, exchangeAdd, size, isWrite: true)
        case .cmpxchg: sized(i, compareExchange, size, isWrite: true)
        case .cmpxchg8b:
            if i.rexW {
                general(i, compareExchange16, size: 16, isWrite: true)
            } else {
                general(i, compareExchange8, size: 8, isWrite: true)
            }
        case .xchg: exchange(i)
        case .bswap:
            var op = op(i, byteSwap)
            op.dst = low(i, i.operandSize)
            op.size = i.operandSize
            push(op)
        case .cbw: general(i, convertHalf)
        case .cwd: general(i, convertDouble)
        case .aaa: general(i, asciiAdjustAdd)
        case .aas: general(i, asciiAdjustSubtract)
        case .aam: general(i, asciiAdjustMultiply)
        case .aad: general(i, asciiAdjustDivide)
        case .daa: general(i, decimalAdjustAdd)
        case .das: general(i, decimalAdjustSubtract)
        case .xlat: translate(i)
        case .salc: general(i, setALFromCarry)
        case .lahf: general(i, loadFlags)
        case .sahf: general(i, storeFlags)
        case .movbe, .movnti: moveSpecial(i)
        case .crc32b: sized(i, crc32, 1, isWrite: false)
        case .crc32v: sized(i, crc32, i.operandSize, isWrite: false)
        case .bt, .bts, .btr, .btc: bitTest(i)
        case .bsf: sized(i, bitScanForward, size, isWrite: false)
        case .bsr: sized(i, bitScanReverse, size, isWrite: false)
        case .popcnt: sized(i, populationCount, size, isWrite: false)
        case .tzcnt: sized(i, trailingZeros, size, isWrite: false)
        case .lzcnt: sized(i, leadingZeros, size, isWrite: false)
        case .clc: general(i, clearCarry)
        case .stc: general(i, setCarryFlag)
        case .cmc: general(i, complementCarry)
        case .cld: general(i, clearDirection)
        case .std: general(i, setDirection)
        case .pusha: general(i, pushAll)
        case .popa: general(i, popAll)
        case .enter: stackFrame(i, enterFrame)
        case .leave: stackFrame(i, leaveFrame)
        case .lfence, .mfence, .sfence: general(i, fence)
        case .clflush, .clflushopt: general(i, cacheLineFlush, size: 1)
        case .in_, .out_: portInstruction(i)
        case .ud, .ud0, .ud1, .ud2: general(i, raiseUndefined)
        default: return false
        }
        return true
    }

    private mutating func stackFrame(_ i: Instruction, _ handler: Handler) {
        general(i, handler)
        last.seg = UInt8(Segment.flatStack)
    }

    /// As `general`, with the operand's own size and its registers' places.
    private mutating func sized(_ i: Instruction, _ handler: Handler, _ size: UInt8, isWrite: Bool) {
        general(i, handler, size: UInt16(size), isWrite: isWrite, registerSize: size)
        last.size = size
        // CRC32's destination is never a byte register.
        if i.mnemonic == .crc32b { last.dst = i.reg * 8 }
    }

    private mutating func multiplyInto(_ i: Instruction) {
        let hasImmediate = i.mnemonic == .imul3
        sized(i, hasImmediate ? multiplyImmediate : multiplyRegister, i.operandSize, isWrite: false)
        if hasImmediate { last.factor = Int32(truncatingIfNeeded: i.immediate) }
    }

    private mutating func exchange(_ i: Instruction) {
        if i.operands.0 == .Zv {
            // 90 without REX.B is NOP, whatever the size.
            let place = low(i, i.operandSize)
            var op = op(i, place == Register.rax ? fence : exchangeRegisters)
            op.dst = place
            op.src = Register.rax
            op.size = i.operandSize
            return push(op)
        }
        sized(i, i.isMemory ? exchangeMemory : exchangeRegisters, i.operands.0.size(i.operandSize), isWrite: true)
    }

    /// XLAT: RBX plus AL, without sign, is the offset.
    private mutating func translate(_ i: Instruction) {
        push(op(i, translatePrepare))
        var address = i
        address.base = Instruction.temporaryBase
        var load = op(i, Handlers.binaryRM[.mov, .byte])
        setMemory(&load, address, size: 1, isWrite: false)
        load.dst = Register.rax
        push(load)
    }

    private mutating func moveSpecial(_ i: Instruction) {
        let isStore = i.operands.0 == .Mv || i.operands.0 == .My
        let size = isStore ? i.operands.0.size(i.operandSize) : i.operandSize
        if i.mnemonic == .movnti {
            var op = op(i, Handlers.binaryMR[.mov, Width(size)])
            setMemory(&op, i, size: UInt16(size), isWrite: true)
            op.src = reg(i, size)
            return push(op)
        }
        sized(i, isStore ? storeSwapped : loadSwapped, size, isWrite: isStore)
    }

    private mutating func bitTest(_ i: Instruction) {
        let change: Op.BitChange =
            i.mnemonic == .bt ? .none : i.mnemonic == .bts ? .set : i.mnemonic == .btr ? .reset : .complement
        let size = i.operandSize
        var operand = i
        if i.isMemory, i.operands.1 != .Ib {
            // The bit offset in a register moves the address by whole operands, in either direction.
            var prepare = op(i, bitTestPrepare)
            setAddress(&prepare, i)
            prepare.src = reg(i, size)
            prepare.size = size
            push(prepare)
            operand.base = Instruction.temporaryBase
            operand.index = 16
            operand.displacement = 0
        }
        sized(operand, bitTestValue, size, isWrite: change != .none)
        last.bitChange = change
        let bit = UInt8(truncatingIfNeeded: i.immediate) & (size * 8 - 1)
        last.fixedBit = i.operands.1 == .Ib ? bit : nil
    }

    private mutating func portInstruction(_ i: Instruction) {
        let isOut = i.mnemonic == .out_
        let value = isOut ? i.operands.1 : i.operands.0
        let port = isOut ? i.operands.0 : i.operands.1
        var op = op(i, isOut ? portOut : portIn)
        op.size = value == .AL ? 1 : min(i.operandSize, 4)
        // An immediate port, or 0x10000: DX.
        op.imm = port == .DX ? 0x10000 : Int32(i.immediate & 0xff)
        push(op)
    }
}
