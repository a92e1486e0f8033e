// Shifts and rotates.

extension BlockEmitter {
    mutating func emitShift(_ i: Instruction, _ op: Op) -> Bool {
        let operation: Assembler.Shift
        switch i.mnemonic {
        case .shl: operation = .shl
        case .shr: operation = .shr
        case .sar: operation = .sar
        case .rol: operation = .rol
        case .ror: operation = .ror
        default: return false
        }
        let width = width(i)
        let byCL = i.operands.1 == .CL
        if i.isMemory { return byCL ? false : shiftMemory(i, op, operation, width) }
        guard let number = Self.number(op.dst) else { return false }
        if byCL { return shiftByCL(operation, width, number) }
        let count = UInt8(truncatingIfNeeded: op.imm)
        if count == 0 { return shiftByNothing(width, number) }
        guard Int(count) < 8 << width.rawValue else { return false }
        if operation == .rol || operation == .ror { return rotate(operation, width, number, count) }
        let a = begin(number, .r11)
        code.shift(operation, width, a, count)
        finish(number, a)
        finishShift(operation, width, count, .register(number))
        return true
    }

    /// All that is left of it is that 32-bit operations clear the upper half.
    private mutating func shiftByNothing(_ width: Width, _ number: UInt8) -> Bool {
        guard width == .double else { return true }
        willWrite(number)
        let a = begin(number, .r11)
        code.mov(.double, a, a)
        finish(number, a)
        return true
    }

    private mutating func finishShift(
        _ operation: Assembler.Shift, _ width: Width, _ count: UInt8, _ a: FlagRecipe.Input
    ) {
        if areFlagsSeen { code.set(.b, Self.at(\.flagC)) }
        let kind: FlagRecipe.Kind =
            operation == .shl ? .shiftLeft : operation == .shr && count == 1 ? .shiftRightOnce : .shiftRight
        let host = count == 1 ? FlagSet.all : FlagSet.all.subtracting(.overflow)
        setFlags(FlagRecipe(kind: kind, width: width, a: a), host: host)
    }

    private mutating func shiftMemory(_ i: Instruction, _ op: Op, _ operation: Assembler.Shift, _ width: Width) -> Bool
    {
        let count = UInt8(truncatingIfNeeded: op.imm)
        // Of 0, the operand is accessed; and 0 in the operation would stand for CL.
        let fixed: UInt8 =
            i.operands.1 == .one ? 1 : UInt8(truncatingIfNeeded: i.immediate) & (width == .quad ? 63 : 31)
        guard fixed != 0, fixed == count, Int(count) < 8 << width.rawValue, operation != .rol, operation != .ror else {
            return false
        }
        memory(op, width, isWrite: true)
        load(width, .r11)
        code.shift(operation, width, .r11, count)
        code.mov(width, operand, .r11)
        if areFlagsSeen { code.mov(.quad, Self.at(\.flagA), .r11) }
        finishShift(operation, width, count, .kept)
        return true
    }

    /// CF is the last bit that went round, OF that and its neighbour apart, whatever the count; the other flags stay.
    private mutating func rotate(_ operation: Assembler.Shift, _ width: Width, _ number: UInt8, _ count: UInt8) -> Bool
    {
        guard areFlagsSeen else {
            let a = begin(number, .r11)
            code.shift(operation, width, a, count)
            finish(number, a)
            flags = FlagState()
            return true
        }
        endBlock()
        vectors.loaded = []
        let isSettled = code.label()
        code.arithmetic(.cmp, .double, Self.at(\.flagKind), 0)
        code.jump(.e, isSettled)
        code.call(outside: stubs.settleFlags)
        code.bind(isSettled)
        let a = begin(number, .r11)
        code.shift(operation, width, a, count)
        finish(number, a)
        // Bit 63 of the word is CF; bit 62 differs from it where OF is set.
        let bits = UInt8(8 << width.rawValue)
        code.mov(.quad, .r10, a)
        if operation == .ror {
            if bits < 64 { code.shift(.shl, .quad, .r10, 64 - bits) }
            code.shift(.shr, .quad, .r10, 62)
        } else {
            if a != .r11 { code.mov(.quad, .r11, a) }
            code.shift(.shr, .quad, .r10, bits - 1)
            code.arithmetic(.and, .double, .r10, 1)
            code.arithmetic(.and, .double, .r11, 1)
            code.lea(.quad, .r10, HostAddress(.r10, .r11, scale: 1))
        }
        code.shift(.shl, .quad, .r10, 62)
        code.mov(.quad, Self.carries, .r10)
        flags = FlagState()
        return true
    }

    /// A count of 0 leaves the flags.
    private mutating func shiftByCL(_ operation: Assembler.Shift, _ width: Width, _ number: UInt8) -> Bool {
        let isRotation = operation == .rol || operation == .ror
        guard areFlagsSeen else {
            let a = begin(number, .r11)
            if width == .double { code.mov(.double, a, a) }
            code.shift(operation, width, a)
            finish(number, a)
            flags = FlagState()
            return true
        }
        guard !isRotation, width == .double || width == .quad, number != 1, Self.home(number) != nil else {
            return false
        }
        storeFlags()
        let a = begin(number, .r11)
        let isNothing = code.label()
        code.mov(.double, .r10, .rcx)
        if width == .double { code.mov(.double, a, a) }
        code.shift(operation, width, a)
        code.set(.b, .r11)
        code.arithmetic(.and, .double, .r10, width == .quad ? 63 : 31)
        code.jump(.e, isNothing)
        code.mov(.byte, Self.at(\.flagC), .r11)
        code.mov(.quad, Self.at(\.flagA), a)
        let kind: FlagRecipe.Kind = operation == .shl ? .shiftLeft : .shiftRight
        code.mov(.double, Self.at(\.flagKind), Int32(bitPattern: FlagRecipe.code(kind, width)))
        if operation == .shr {
            code.arithmetic(.cmp, .double, .r10, 1)
            code.jump(.ne, isNothing)
            let once = FlagRecipe.code(.shiftRightOnce, width)
            code.mov(.double, Self.at(\.flagKind), Int32(bitPattern: once))
        }
        code.bind(isNothing)
        flags = FlagState()
        return true
    }
}
