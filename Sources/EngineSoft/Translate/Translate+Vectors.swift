// SSE: by the host's instruction of the same registers. XMM registers are in the host's from their first use in a block; at its end, and before
// all that is not generated code, they go to S. What depends on MXCSR is done under the guest's own where its control is the host's (masks set,
// to nearest, no flushes): then only the flags in it change. MMX and the rest call their operations.

/// Where MXCSR is, as RunState says between blocks.
enum VectorControl {
    /// In the host's register, with flags that CPUState does not have yet.
    static let loaded: Int32 = 1
    /// It was there before the last way out.
    static let stored: Int32 = 2
    /// RC, FZ, DAZ, the masks.
    static let controlBits: Int32 = 0xffc0
    static let hostControl: Int32 = 0x1f80
}

extension BlockEmitter {
    /// Numbers of XMM registers.
    struct VectorSet: OptionSet {
        let rawValue: UInt16
        init(rawValue: UInt16) { self.rawValue = rawValue }
        init(_ number: UInt8) { rawValue = 1 << UInt16(number & 15) }
        var numbers: [UInt8] { (0..<16).filter { rawValue >> UInt16($0) & 1 != 0 } }
    }

    struct VectorState {
        var loaded: VectorSet = []
        /// Loaded ones that S does not have.
        var changed: VectorSet = []
        var hasControl = false
    }

    private static func place(vector number: UInt8) -> HostAddress {
        HostAddress(.r15, Layout.vectors + Int(number) * 64)
    }

    // MARK: Registers

    private mutating func use(vector number: UInt8) {
        if vectors.loaded.contains(VectorSet(number)) { return }
        code.vector(prefix: nil, .two, 0x10, reg: number, .memory(Self.place(vector: number)))
        vectors.loaded.insert(VectorSet(number))
    }

    /// All of it gets a value.
    private mutating func define(vector number: UInt8) {
        vectors.loaded.insert(VectorSet(number))
        vectors.changed.insert(VectorSet(number))
    }

    private mutating func change(vector number: UInt8) {
        use(vector: number)
        define(vector: number)
    }

    mutating func storeVectors() {
        store(vectors)
        vectors.changed = []
    }

    mutating func store(_ state: VectorState) {
        for number in state.changed.numbers {
            code.vector(prefix: nil, .two, 0x11, reg: number, .memory(Self.place(vector: number)))
        }
    }

    mutating func load(_ state: VectorState) {
        for number in state.loaded.numbers {
            code.vector(prefix: nil, .two, 0x10, reg: number, .memory(Self.place(vector: number)))
        }
    }

    // MARK: Instructions

    private enum Kind { case move, pure, underControl, other }

    private static func kind(_ i: Instruction) -> Kind {
        switch i.mnemonic {
        case .movups, .movupd, .movss, .movsd, .movhlps, .movlhps, .movlps, .movlpd, .movhps, .movhpd, .movaps, .movapd,
            .movdqa, .movdqu, .movq, .movd, .lddqu, .movntps, .movntpd, .movntdq:
            return .move
        case .sqrtps, .sqrtpd, .sqrtss, .sqrtsd, .addps, .addpd, .addss, .addsd, .mulps, .mulpd, .mulss, .mulsd, .subps,
            .subpd, .subss, .subsd, .minps, .minpd, .minss, .minsd, .divps, .divpd, .divss, .divsd, .maxps, .maxpd,
            .maxss,
            .maxsd, .cmpps, .cmppd, .cmpss, .cmpsd, .cvtps2pd, .cvtpd2ps, .cvtss2sd, .cvtsd2ss, .cvtdq2ps, .cvtps2dq,
            .cvttps2dq, .cvttpd2dq, .cvtdq2pd, .cvtpd2dq, .haddpd, .haddps, .hsubpd, .hsubps, .addsubpd, .addsubps,
            .roundps, .roundpd, .roundss, .roundsd, .cvtsi2ss, .cvtsi2sd, .cvttss2si, .cvttsd2si, .cvtss2si, .cvtsd2si,
            .ucomiss, .ucomisd, .comiss, .comisd:
            return .underControl
        case .andps, .andpd, .andnps, .andnpd, .orps, .orpd, .xorps, .xorpd, .unpcklps, .unpcklpd, .unpckhps, .unpckhpd,
            .shufps, .shufpd, .punpcklbw, .punpcklwd, .punpckldq, .packsswb, .pcmpgtb, .pcmpgtw, .pcmpgtd, .packuswb,
            .punpckhbw, .punpckhwd, .punpckhdq, .packssdw, .punpcklqdq, .punpckhqdq, .pcmpeqb, .pcmpeqw, .pcmpeqd,
            .psrlw,
            .psrld, .psrlq, .paddq, .pmullw, .psubusb, .psubusw, .pminub, .pand, .paddusb, .paddusw, .pmaxub, .pandn,
            .pavgb, .psraw, .psrad, .pavgw, .pmulhuw, .pmulhw, .psubsb, .psubsw, .pminsw, .por, .paddsb, .paddsw,
            .pmaxsw,
            .pxor, .psllw, .pslld, .psllq, .pmuludq, .pmaddwd, .psadbw, .psubb, .psubw, .psubd, .psubq, .paddb, .paddw,
            .paddd, .pshufd, .pshufhw, .pshuflw, .psrldq, .pslldq, .movddup, .movsldup, .movshdup, .pshufb, .palignr,
            .movmskps, .movmskpd, .pmovmskb:
            return .pure
        default: return .other
        }
    }

    /// false: nothing is emitted.
    mutating func emitVector(_ i: Instruction) -> Bool {
        guard mode.isDisjoint(with: [.sseUndefined, .sseBlocked]), i.flags.isDisjoint(with: .mmx) else { return false }
        let kind = Self.kind(i)
        guard kind != .other, !i.isMemory || isReachable(operations[group.lowerBound]) else { return false }
        // An operation before has the operand's address, and its segment's checks.
        if i.isMemory, group.contains(where: { operations[$0].base == Register.address }) { return false }
        if kind == .move { return move(i) }
        if kind == .underControl, !vectors.hasControl {
            loadVectorControl()
            vectors.hasControl = true
        }
        switch (i.operands.0, i.operands.1) {
        case (.Vdq, .Ey): fromGeneral(i)
        case (.Gy, .Wd), (.Gy, .Wq), (.Gd, .Udq): toGeneral(i)
        case (.Udq, .Ib):
            change(vector: i.rm)
            again(i, .register(i.rm))
        default:
            switch i.mnemonic {
            case .ucomiss, .ucomisd, .comiss, .comisd: compare(i)
            default: compute(i)
            }
        }
        return true
    }

    /// The instruction itself.
    private mutating func again(_ i: Instruction, _ operand: Assembler.VectorOperand, reg: UInt8? = nil) {
        let entry = InstructionTable.shared.entries[i.entry]
        let prefix: UInt8?
        switch entry.prefix {
        case .p66: prefix = 0x66
        case .pF2: prefix = 0xf2
        case .pF3: prefix = 0xf3
        default: prefix = nil
        }
        code.vector(prefix: prefix, i.map, i.opcode, isWide: i.rexW, reg: reg ?? i.reg, operand)
        if i.operands.1 == .Ib || i.operands.2 == .Ib { code.byte(UInt8(truncatingIfNeeded: i.immediate)) }
    }

    /// The host's address of the memory operand in R10; 16 bytes that must be aligned are, or the interpreter raises what comes before all else.
    private mutating func vectorMemory(_ i: Instruction, _ size: UInt8, isWrite: Bool) {
        let op = operations[group.lowerBound]
        guard size == 16, i.flags.contains(.aligned) else { return memory(op, Int(size), isWrite: isWrite) }
        linear(op)
        code.test(.byte, .r10, 15)
        loseHostFlags()
        leave(.ne)
        lookUp(16, isWrite: isWrite, place(op))
    }

    /// V, W: the first one is changed, or written as a whole.
    private mutating func compute(_ i: Instruction) {
        if i.isMemory {
            // Stored once more where the access fails, it has the same value still.
            change(vector: i.reg)
            vectorMemory(i, i.operands.1.size(i.operandSize), isWrite: false)
            again(i, .memory(operand))
        } else if i.reg == i.rm, [.pxor, .xorps, .xorpd].contains(i.mnemonic) {
            define(vector: i.reg)
            again(i, .register(i.rm))
        } else {
            use(vector: i.rm)
            change(vector: i.reg)
            again(i, .register(i.rm))
        }
    }

    /// The operand's value in flagB too, for who looks later.
    private mutating func compare(_ i: Instruction) {
        let isDouble = i.mnemonic == .ucomisd || i.mnemonic == .comisd
        let width: Width = isDouble ? .quad : .double
        use(vector: i.reg)
        if i.isMemory {
            memory(operations[group.lowerBound], width, isWrite: false)
            again(i, .memory(operand))
            if areFlagsSeen {
                load(width, .r11)
                code.mov(.quad, Self.at(\.flagB), .r11)
            }
        } else {
            use(vector: i.rm)
            again(i, .register(i.rm))
            if areFlagsSeen { storeLow(i.rm, Self.at(\.flagB)) }
        }
        if areFlagsSeen { storeLow(i.reg, Self.at(\.flagA)) }
        setFlags(FlagRecipe(kind: .compareFloats, width: width, a: .kept, b: .kept))
    }

    /// MOVQ of the lower half.
    private mutating func storeLow(_ number: UInt8, _ place: HostAddress) {
        code.vector(prefix: 0x66, .two, 0xd6, reg: number, .memory(place))
    }

    // MARK: Between vectors and general registers

    private mutating func fromGeneral(_ i: Instruction) {
        change(vector: i.reg)
        if i.isMemory {
            memory(operations[group.lowerBound], Int(i.operands.1.size(i.operandSize)), isWrite: false)
            again(i, .memory(operand))
        } else if let home = Self.home(i.rm) {
            again(i, .register(home.rawValue))
        } else {
            again(i, .memory(Self.place(i.rm)))
        }
    }

    /// The upper half of a general register is cleared by results of 4 bytes.
    private mutating func toGeneral(_ i: Instruction) {
        willWrite(i.reg)
        let to = target(i.reg, .r11)
        if i.isMemory {
            memory(operations[group.lowerBound], Int(i.operands.1.size(i.operandSize)), isWrite: false)
            again(i, .memory(operand), reg: to.rawValue)
        } else {
            use(vector: i.rm)
            again(i, .register(i.rm), reg: to.rawValue)
        }
        finish(i.reg, to)
    }

    // MARK: Moves

    private mutating func move(_ i: Instruction) -> Bool {
        let (first, second) = (i.operands.0, i.operands.1)
        if first == .Ey || second == .Ey { return moveGeneral(i, isStore: first == .Ey) }
        let isStore = second == .Vdq
        let memory = isStore ? first : second
        guard i.isMemory else { return moveRegister(i, isStore: isStore) }
        let size = memory.size(i.operandSize)
        if isStore {
            use(vector: i.reg)
            vectorMemory(i, size, isWrite: true)
            if size == 16 {
                code.vector(prefix: nil, .two, 0x11, reg: i.reg, .memory(operand))
            } else {
                again(i, .memory(operand))
            }
            return true
        }
        let keepsRest = [.movlps, .movlpd, .movhps, .movhpd].contains(i.mnemonic)
        if keepsRest { use(vector: i.reg) }
        vectorMemory(i, size, isWrite: false)
        if size == 16 {
            code.vector(prefix: nil, .two, 0x10, reg: i.reg, .memory(operand))
        } else {
            again(i, .memory(operand))
        }
        define(vector: i.reg)
        return true
    }

    private mutating func moveRegister(_ i: Instruction, isStore: Bool) -> Bool {
        let (to, from) = isStore ? (i.rm, i.reg) : (i.reg, i.rm)
        use(vector: from)
        let keepsRest = [.movss, .movsd, .movhlps, .movlhps].contains(i.mnemonic)
        if keepsRest { use(vector: to) }
        again(i, .register(i.rm))
        define(vector: to)
        return true
    }

    /// MOVD and MOVQ.
    private mutating func moveGeneral(_ i: Instruction, isStore: Bool) -> Bool {
        let size = i.rexW ? 8 : 4
        if isStore {
            if i.isMemory {
                use(vector: i.reg)
                memory(operations[group.lowerBound], size, isWrite: true)
                again(i, .memory(operand))
                return true
            }
            willWrite(i.rm)
            use(vector: i.reg)
            let to = target(i.rm, .r11)
            again(i, .register(to.rawValue))
            finish(i.rm, to)
            return true
        }
        if i.isMemory {
            memory(operations[group.lowerBound], size, isWrite: false)
            again(i, .memory(operand))
        } else if let home = Self.home(i.rm) {
            again(i, .register(home.rawValue))
        } else {
            again(i, .memory(Self.place(i.rm)))
        }
        define(vector: i.reg)
        return true
    }
}
