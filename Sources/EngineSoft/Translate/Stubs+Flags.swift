// Stubs that make flags of what they follow from: the host's flags, or the words of CPUState.

extension Translator {
    static func settleFlags(_ code: inout Assembler, _ stubs: Stubs) {
        code.storeGuestRegisters()
        call(&code, address(settleFlagsForCode))
        code.loadGuestRegisters()
        code.ret()
    }

    /// By kind and width; what is not made here is the interpreter's.
    static func loadFlags(_ code: inout Assembler, _ stubs: Stubs, carryAlone: Bool) {
        let (table, byWords) = (code.label(), code.label())
        var labels = [Assembler.Label?](repeating: nil, count: FlagRecipe.codeCount)
        code.mov(.double, .r11, run(\.flagKind))
        code.lea(.r10, table)
        code.jump(HostAddress(.r10, .r11, scale: 3))
        for kind in FlagRecipe.Kind.allCases {
            for width in Width.allCases {
                let label = code.label()
                code.bind(label)
                if replay(&code, kind, width, carryAlone: carryAlone) {
                    code.ret()
                    labels[Int(FlagRecipe.code(kind, width))] = label
                }
            }
        }
        code.bind(byWords)
        if carryAlone {
            let isSettled = code.label()
            code.arithmetic(.cmp, .double, run(\.flagKind), 0)
            code.jump(.e, isSettled)
            code.arithmetic(.sub, .quad, .rsp, 8)
            code.call(outside: stubs.settleFlags)
            code.arithmetic(.add, .quad, .rsp, 8)
            code.bind(isSettled)
            code.mov(.quad, .r10, BlockEmitter.carries)
            code.arithmetic(.add, .quad, .r10, .r10)
            code.ret()
        } else {
            code.storeGuestRegisters()
            call(&code, address(flagsImageForCode))
            // OF by an overflow of AL, and SAHF leaves it.
            code.arithmetic(.add, .byte, .rax, 127)
            code.sahf()
            code.loadGuestRegisters()
            code.ret()
        }
        code.bind(table)
        for label in labels { code.pointer(label ?? byWords) }
    }

    /// false: nothing is emitted.
    private static func replay(
        _ code: inout Assembler, _ kind: FlagRecipe.Kind, _ width: Width, carryAlone: Bool
    ) -> Bool {
        if carryAlone, [.increment, .decrement, .shiftLeft, .shiftRightOnce, .shiftRight, .product].contains(kind) {
            code.loadCarry(run(\.flagC))
            return true
        }
        switch kind {
        case .shiftLeft, .shiftRightOnce, .shiftRight, .product, .compareFloats: return false
        case .image:
            code.flagsOfImage(run(\.flagA))
            return true
        default: break
        }
        code.mov(.quad, .r10, run(\.flagA))
        if kind.usesB { code.mov(.quad, .r11, run(\.flagB)) }
        switch kind {
        case .subtract: code.arithmetic(.cmp, width, .r10, .r11)
        case .add: code.arithmetic(.add, width, .r10, .r11)
        case .test: code.test(width, .r10, .r11)
        case .addResult:
            code.arithmetic(.sub, width, .r10, .r11)
            code.arithmetic(.add, width, .r10, .r11)
        case .subtractResult:
            code.arithmetic(.add, width, .r10, .r11)
            code.arithmetic(.sub, width, .r10, .r11)
        case .logic: code.test(width, .r10, .r10)
        case .negate:
            code.unary(.neg, width, .r10)
            code.unary(.neg, width, .r10)
        case .addCarry:
            code.arithmetic(.sub, width, .r10, .r11)
            code.loadCarry(run(\.flagC))
            code.arithmetic(.sbb, width, .r10, 0)
            code.loadCarry(run(\.flagC))
            code.arithmetic(.adc, width, .r10, .r11)
        case .subtractBorrow:
            code.arithmetic(.add, width, .r10, .r11)
            code.loadCarry(run(\.flagC))
            code.arithmetic(.adc, width, .r10, 0)
            code.loadCarry(run(\.flagC))
            code.arithmetic(.sbb, width, .r10, .r11)
        case .increment:
            code.lea(.quad, .r10, HostAddress(.r10, -1))
            code.loadCarry(run(\.flagC))
            code.inc(width, .r10)
        case .decrement:
            code.lea(.quad, .r10, HostAddress(.r10, 1))
            code.loadCarry(run(\.flagC))
            code.dec(width, .r10)
        case .shiftLeft, .shiftRightOnce, .shiftRight, .product, .compareFloats, .image: break
        }
        return true
    }
}
