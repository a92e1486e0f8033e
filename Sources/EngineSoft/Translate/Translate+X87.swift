// x87: by the host's own instructions, the guest's own bytes where they name no memory. A run of them begins with a comparison of the guest's control
// word, TOP and tags with what the block was translated for - all exceptions masked, none pending -, loads as many registers of the stack as it
// needs, and ends before all that is not generated code: registers, status word, tags and pointers go to S then. Where the comparison fails, the
// interpreter goes on with the rest of the block.
// Source: SDM volume 1, chapter 8. Between runs the host's stack is empty and its control word the C library's (CHost/x87.h).

import CHost

extension BlockEmitter {
    private static func x87(_ offset: Int) -> HostAddress { HostAddress(.r15, Int(CH_X87) + offset) }
    /// With the control word in its lower half.
    private static let status = x87(0)
    private static let tags = x87(4)

    private static func field<T>(_ field: KeyPath<X87Control, T>) -> HostAddress {
        x87(MemoryLayout<X87Control>.offset(of: field).unsafelyUnwrapped)
    }

    private static func place(physical number: UInt8) -> HostAddress {
        HostAddress(.r15, Layout.x87 + Int(number) * 16)
    }

    private static func selector(_ number: Int) -> HostAddress {
        let segments = Layout.state + MemoryLayout<CPUState>.offset(of: \.segments).unsafelyUnwrapped
        let selector = MemoryLayout<SegmentRegister>.offset(of: \.selector).unsafelyUnwrapped
        return HostAddress(.r15, segments + number * MemoryLayout<SegmentRegister>.stride + selector)
    }

    // MARK: The run

    /// The host's stack has ST(0) to ST(`needs` - 1). false: nothing is emitted.
    private mutating func openStack(_ effect: FloatingEffect) -> Bool {
        guard stack.isKnown, effect.needs <= stack.height, !effect.pushes || stack.isEmpty(7) else { return false }
        if stack.isOpen {
            // A popped register's value may pass through one that is free.
            if effect.needs <= stack.depth, effect.pops == 0 || stack.depth < 8 { return true }
            closeStack()
        }
        compareShape()
        clearForeignFlags()
        stack.open(min(stack.height, max(effect.needs, depthOfRun())))
        if !stack.hasUsualControl { loadControl() }
        for number in (0..<stack.depth).reversed() { loadRegister(number) }
        return true
    }

    /// How many registers the instructions from here on need; too many are as good.
    private func depthOfRun() -> Int {
        var (above, needed) = (0, 0)
        for i in source.instructions[number...] where i.flags.contains(.x87) {
            guard let effect = FloatingEffect(i) else { continue }
            needed = max(needed, effect.needs - above)
            above += (effect.pushes ? 1 : 0) - effect.pops
        }
        return needed
    }

    /// Leaves where the guest's x87 is not as it was, or has an exception that is pending or not masked.
    private mutating func compareShape() {
        let control: UInt64 = stack.hasUsualControl ? 0x0f3f : 0x3f
        let expected: UInt64 = stack.hasUsualControl ? 0x033f : 0x3f
        let (pending, top) = (UInt64(0x8080), UInt64(0x3800))
        code.mov(.quad, .r10, Self.status)
        code.load(.r11, control | (pending | top) << 16 | 0xff << 32)
        code.arithmetic(.and, .quad, .r10, .r11)
        code.load(.r11, expected | UInt64(stack.storedTop) << 27 | UInt64(stack.storedNotEmpty) << 32)
        code.arithmetic(.cmp, .quad, .r10, .r11)
        loseHostFlags()
        leave(.ne)
    }

    /// The host may keep flags that the guest has set too, and no others (decision 87).
    private mutating func clearForeignFlags() {
        let areOwn = code.label()
        code.mov(.quad, .r11, .rax)
        code.storeFloatingStatus()
        code.arithmetic(.and, .double, .rax, 0x7f)
        code.extend(signed: false, from: .word, .double, .r10, Self.field(\.status))
        code.arithmetic(.or, .double, .rax, .r10)
        code.arithmetic(.cmp, .double, .rax, .r10)
        code.mov(.quad, .rax, .r11)
        code.jump(.e, areOwn)
        code.clearFloatingFlags()
        code.bind(areOwn)
    }

    private mutating func loadControl() {
        code.floating(0xd9, 5, Self.field(\.control))
        stack.hasLoadedControl = true
    }

    private mutating func loadRegister(_ number: Int) {
        code.floating(0xdb, 5, Self.place(physical: stack.physical(number)))
    }

    mutating func closeStack() {
        guard stack.isOpen else { return }
        store(stack)
        stack.close()
        loseHostFlags()
    }

    /// All that S lacks. R11 is lost, and the host's flags.
    mutating func store(_ state: FloatingStack) {
        guard state.isOpen else { return }
        code.mov(.quad, .r11, .rax)
        storeStatus(state, codes: 0)
        // These leave the status word's C1 undefined.
        for number in 0..<state.depth {
            if state.isChanged(number) {
                code.floating(0xdb, 7, Self.place(physical: state.physical(number)))
            } else {
                code.floating(0xdd, 3, 0)
            }
        }
        if state.hasLoadedControl { code.floating(0xd9, 5, Self.at(\.hostControlWord)) }
        if state.notEmpty != state.storedNotEmpty { code.mov(.byte, Self.tags, Int32(state.notEmpty)) }
        if let last = state.last {
            code.mov(.quad, .rax, Self.at(\.pageBase))
            code.lea(addressWidth, .rax, HostAddress(.rax, Int(last.distance)))
            code.mov(.quad, Self.field(\.instructionPointer), .rax)
            code.load(.rax, UInt64(last.opcode))
            code.mov(.word, Self.field(\.opcode), .rax)
            copySelector(Segment.cs, to: Self.field(\.instructionSelector))
        }
        if let segment = state.dataSegment { copySelector(Int(segment), to: Self.field(\.dataSelector)) }
        code.mov(.quad, .rax, .r11)
    }

    private mutating func copySelector(_ segment: Int, to place: HostAddress) {
        code.extend(signed: false, from: .word, .double, .rax, Self.selector(segment))
        code.mov(.word, place, .rax)
    }

    /// TOP, C1, exception flags, and those condition codes. RAX is lost, and the host's flags.
    private mutating func storeStatus(_ state: FloatingStack, codes: Int32) {
        let rounding: Int32 = state.rounding == .stored ? 0 : 0x200
        let fromHost: Int32 = codes | (state.hasFlags || codes != 0 ? 0x3f : 0) | (state.rounding == .host ? 0x200 : 0)
        if fromHost != 0 {
            code.storeFloatingStatus()
            code.arithmetic(.and, .double, .rax, fromHost)
            code.shift(.shl, .double, .rax, 16)
        }
        let isMoved = state.top != state.storedTop
        let cleared = (isMoved ? 0x3800 : 0) | codes | rounding
        if cleared != 0 { code.arithmetic(.and, .double, Self.status, ~(cleared << 16)) }
        if isMoved, state.top != 0 { code.arithmetic(.or, .double, Self.status, Int32(state.top) << 27) }
        if fromHost != 0 { code.arithmetic(.or, .double, Self.status, .rax) }
    }

    /// Behind an instruction that sets condition codes, and before one that reads the status word.
    private mutating func bringStatus(codes: Int32) {
        code.mov(.quad, .r11, .rax)
        storeStatus(stack, codes: codes)
        code.mov(.quad, .rax, .r11)
        stack.storeStatus()
        loseHostFlags()
    }

    /// What `store` has taken away, after an access that was missed. R11 is lost.
    mutating func load(_ state: FloatingStack) {
        guard state.isOpen else { return }
        // What follows takes S to have TOP and tags as they were before.
        if state.top != state.storedTop {
            code.arithmetic(.and, .double, Self.status, ~(0x3800 << 16))
            code.arithmetic(.or, .double, Self.status, Int32(state.storedTop) << 27)
        }
        if state.notEmpty != state.storedNotEmpty { code.mov(.byte, Self.tags, Int32(state.storedNotEmpty)) }
        code.clearFloatingFlags()
        if state.hasLoadedControl { code.floating(0xd9, 5, Self.field(\.control)) }
        for number in (0..<state.depth).reversed() {
            code.floating(0xdb, 5, Self.place(physical: state.physical(number)))
        }
        guard state.rounding == .host else { return }
        // The environment's status word is its second one of 4 bytes.
        let image = HostAddress(.r15, Layout.image)
        let word = HostAddress(.r15, Layout.image + 4)
        code.floating(0xd9, 6, image)
        code.extend(signed: false, from: .word, .double, .r11, Self.field(\.status))
        code.arithmetic(.and, .double, .r11, 0x200)
        code.arithmetic(.and, .double, word, ~0x200)
        code.arithmetic(.or, .double, word, .r11)
        code.floating(0xd9, 4, image)
    }

    // MARK: Instructions

    /// false: nothing is emitted.
    mutating func emitFloating(_ i: Instruction) -> Bool {
        guard let op = single, mode.isDisjoint(with: [.x87Blocked, .waitBlocked]), stack.isKnown else {
            return emitComparison(i)
        }
        if i.isMemory, !isReachable(op) { return false }
        switch i.mnemonic {
        // Nothing is pending within a run.
        case .fwait: return stack.isOpen
        case .fnstsw, .fnstcw, .fldcw: return stack.isOpen && emitControl(i, op)
        case .fcmov: return moveFloating(i, op)
        default: break
        }
        guard let effect = FloatingEffect(i), openStack(effect) else { return false }
        if i.isMemory { memory(op, Int(i.operands.0.size(i.operandSize)), isWrite: Self.isStore(i)) }
        compute(i, op, effect)
        return true
    }

    private static func isStore(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .fst, .fstp, .fist, .fistp, .fisttp: true
        default: false
        }
    }

    /// On an open stack, the memory operand in R10. A register that is popped keeps its value, which FXSAVE and MMX see: S has it before the host loses it.
    private mutating func compute(_ i: Instruction, _ op: Op, _ effect: FloatingEffect) {
        let popped = (0..<effect.pops).map {
            (place: Self.place(physical: stack.physical($0)), isChanged: stack.isChanged($0))
        }
        let isSplit = effect.rounding == .zero && popped.contains { $0.isChanged }
        if !isSplit {
            for (number, register) in popped.enumerated() where register.isChanged {
                code.floating(0xd9, 0, UInt8(number))
                code.floating(0xdb, 7, register.place)
            }
        }
        let form = isSplit ? Self.formWithoutPops(i) : Self.form(i)
        if i.isMemory { code.floating(form.0, form.1, operand) } else { code.floating(form.0, form.1, i.rm & 7) }
        stack.apply(effect)
        let distance = Int32(truncatingIfNeeded: Int(source.pageOffset) + Int(op.offset))
        let note = FloatingStack.Note(distance: distance, opcode: op.lastOpcode)
        stack.note(note, dataSegment: i.isMemory ? i.segment : nil)
        if i.isMemory {
            offset(op, addressWidth, to: .r11)
            code.mov(.quad, Self.field(\.dataPointer), .r11)
        }
        if effect.codes != 0 { bringStatus(codes: effect.codes) }
        for register in popped where isSplit {
            if register.isChanged { code.floating(0xdb, 7, register.place) } else { code.floating(0xdd, 3, 0) }
        }
    }

    /// Opcode and ModRM.reg; of several encodings, that which the SDM has.
    private static func form(_ i: Instruction) -> (UInt8, UInt8) {
        switch i.mnemonic {
        case .fxch: (0xd9, 1)
        case .fstp where !i.isMemory: (0xdd, 3)
        case .fcom where !i.isMemory: (0xd8, 2)
        case .fcomp where !i.isMemory: (0xd8, 3)
        default: (i.opcode, i.reg & 7)
        }
    }

    /// Opcode and ModRM.reg of what only compares or copies.
    private static func formWithoutPops(_ i: Instruction) -> (UInt8, UInt8) {
        switch i.mnemonic {
        case .fcomp where i.isMemory, .ficomp: (i.opcode, 2)
        case .fcomp, .fcompp: (0xd8, 2)
        case .fucomp, .fucompp: (0xdd, 4)
        case .fcomip: (0xdb, 6)
        case .fucomip: (0xdb, 5)
        default: (0xdd, 2)
        }
    }

    /// FCOMI and relatives have a second operation, which takes the flags.
    private mutating func emitComparison(_ i: Instruction) -> Bool {
        guard group.count == 2, !i.isMemory, stack.isKnown, mode.isDisjoint(with: [.x87Blocked, .waitBlocked]),
            let effect = FloatingEffect(i), effect.setsEFLAGS, openStack(effect)
        else { return false }
        compute(i, operations[group.lowerBound], effect)
        if areFlagsSeen {
            code.mov(.quad, .r11, .rax)
            code.lahf()
            code.mov(.quad, Self.at(\.flagA), .rax)
            code.mov(.quad, .rax, .r11)
        }
        setFlags(FlagRecipe(kind: .image, width: .quad, a: .kept))
        return true
    }

    /// By the host's condition, where it can be had without a stub.
    private mutating func moveFloating(_ i: Instruction, _ op: Op) -> Bool {
        let conditions: [UInt8] = [2, 4, 6, 10]
        let wanted = FlagSet.read(by: conditions[Int(i.reg & 3)])
        guard let effect = FloatingEffect(i) else { return false }
        guard canBringAlone, openStack(effect) else { return false }
        // C1 is left.
        if stack.rounding == .host { bringStatus(codes: 0) }
        bring(wanted)
        compute(i, op, effect)
        return true
    }

    /// FNSTSW, FNSTCW and FLDCW, within a run.
    private mutating func emitControl(_ i: Instruction, _ op: Op) -> Bool {
        if i.mnemonic == .fldcw {
            // The SDM leaves the codes undefined.
            if stack.rounding == .host { bringStatus(codes: 0) }
            memory(op, .word, isWrite: false)
            load(.word, .r11)
            code.arithmetic(.and, .double, .r11, 0x1f3f)
            code.arithmetic(.or, .double, .r11, 0x40)
            code.mov(.double, .r10, .r11)
            code.unary(.not, .double, .r10)
            code.test(.byte, .r10, 0x3f)
            loseHostFlags()
            leave(.ne)
            code.mov(.word, Self.field(\.control), .r11)
            loadControl()
            return true
        }
        let isStatus = i.mnemonic == .fnstsw
        if isStatus, !i.isMemory { willWrite(0) }
        if isStatus { bringStatus(codes: 0) }
        let word = isStatus ? Self.field(\.status) : Self.field(\.control)
        if i.isMemory {
            memory(op, .word, isWrite: true)
            code.extend(signed: false, from: .word, .double, .r11, word)
            code.mov(.word, operand, .r11)
        } else {
            code.mov(.word, .rax, word)
        }
        return true
    }
}

extension Assembler {
    /// An x87 instruction with a memory operand; `reg` is the rest of its opcode.
    mutating func floating(_ opcode: UInt8, _ reg: UInt8, _ operand: HostAddress) {
        encode(.double, UInt32(opcode), reg: reg, .memory(operand))
    }

    /// With ST(`number`).
    mutating func floating(_ opcode: UInt8, _ reg: UInt8, _ number: UInt8) {
        bytes += [opcode, 0xc0 | reg << 3 | number]
    }

    /// FNSTSW AX
    mutating func storeFloatingStatus() { bytes += [0xdf, 0xe0] }
    /// FNCLEX
    mutating func clearFloatingFlags() { bytes += [0xdb, 0xe2] }
}
