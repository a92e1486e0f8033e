// Status flags in a block: the host's while they last, and a recipe for whoever looks later (FlagRecipe.swift).

extension BlockEmitter {
    var areFlagsSeen: Bool { liveness.isLive[number] }

    // MARK: What an instruction has left

    /// The flags are those of `recipe`, and the host's are the same as far as `host` says. Where nobody sees them, there are none.
    mutating func setFlags(_ recipe: FlagRecipe, host: FlagSet = .all) {
        flags = areFlagsSeen ? FlagState(recipe: recipe, host: host) : FlagState()
    }

    /// The host's flags are another instruction's now.
    mutating func loseHostFlags() { flags.host = [] }

    /// A guest register gets another value, and the flags stay: what they follow from is kept.
    mutating func willWrite(_ guest: UInt8) {
        guard var recipe = flags.recipe, areFlagsSeen else { return }
        if recipe.a == .register(guest) {
            keep(.register(guest), Self.at(\.flagA), .r10)
            recipe.a = .kept
        }
        if recipe.b == .register(guest) {
            keep(.register(guest), Self.at(\.flagB), .r10)
            recipe.b = .kept
        }
        flags.recipe = recipe
    }

    private mutating func keep(_ input: FlagRecipe.Input, _ place: HostAddress, _ temporary: HostRegister) {
        switch input {
        case .none, .kept: break
        case .register(let guest): code.mov(.quad, place, value(guest, in: temporary))
        case .immediate(let value): code.mov(.quad, place, value)
        }
    }

    /// Into RunState, without a change of the host's flags.
    mutating func storeFlags() {
        store(flags, .r10)
        flags.recipe = nil
    }

    mutating func store(_ state: FlagState, _ temporary: HostRegister) {
        guard let recipe = state.recipe else { return }
        keep(recipe.a, Self.at(\.flagA), temporary)
        keep(recipe.b, Self.at(\.flagB), temporary)
        code.mov(.double, Self.at(\.flagKind), Int32(bitPattern: recipe.code))
    }

    // MARK: Who reads them

    /// Makes the host's flags those of the guest. R10 and R11 are lost.
    mutating func bring(_ wanted: FlagSet) {
        if flags.host.isSuperset(of: wanted) { return }
        if let recipe = flags.recipe {
            if let made = computeAgain(recipe) ?? computeWithCarry(recipe, wanted) {
                flags.host = made
                return
            }
        }
        storeFlags()
        call(stub: wanted == .carry ? stubs.loadCarry : stubs.loadFlags)
        flags.host = wanted == .carry ? .carry : .all
    }

    /// nil: not of this kind.
    private mutating func computeAgain(_ recipe: FlagRecipe) -> FlagSet? {
        let width = recipe.width
        switch recipe.kind {
        case .logic:
            let a = first(recipe.a)
            code.test(width, a, a)
        case .subtract:
            let a = first(recipe.a)
            second(.cmp, width, a, recipe.b)
        case .add:
            firstAlone(recipe.a)
            second(.add, width, .r10, recipe.b)
        case .addResult, .subtractResult:
            let isSum = recipe.kind == .addResult
            firstAlone(recipe.a)
            second(isSum ? .sub : .add, width, .r10, recipe.b)
            second(isSum ? .add : .sub, width, .r10, recipe.b)
        case .negate:
            firstAlone(recipe.a)
            code.unary(.neg, width, .r10)
            code.unary(.neg, width, .r10)
        case .test:
            let a = first(recipe.a)
            switch recipe.b {
            case .register(let guest):
                let b = value(guest, in: .r11)
                code.test(width, a, b)
            case .immediate(let value): code.test(width, a, value)
            default: code.test(width, Self.at(\.flagB), a)
            }
        case .image: code.flagsOfImage(Self.at(\.flagA))
        default: return nil
        }
        return .all
    }

    /// Of kinds with a result and a carry that is kept: what is wanted alone, if that is cheaper than the stub. nil: it is not.
    private mutating func computeWithCarry(_ recipe: FlagRecipe, _ wanted: FlagSet) -> FlagSet? {
        guard recipe.kind.usesCarry else { return nil }
        let ofResult: FlagSet = [.zero, .sign, .parity]
        let isStep = recipe.kind == .increment || recipe.kind == .decrement
        // CF of an addition is none that was kept.
        let keepsCarry = isStep || !recipe.kind.usesB
        if ofResult.isSuperset(of: wanted) {
            let a = first(recipe.a)
            code.test(recipe.width, a, a)
            return ofResult
        }
        guard keepsCarry else { return nil }
        if wanted == .carry {
            code.loadCarry(Self.at(\.flagC))
            return .carry
        }
        if wanted.contains(.overflow) {
            guard isStep, !wanted.contains(.carry) else { return nil }
            firstAlone(recipe.a)
            code.lea(.quad, .r10, HostAddress(.r10, recipe.kind == .increment ? -1 : 1))
            if recipe.kind == .increment { code.inc(recipe.width, .r10) } else { code.dec(recipe.width, .r10) }
            return ofResult.union(.overflow)
        }
        // BT leaves ZF.
        code.extend(signed: false, from: .byte, .double, .r11, Self.at(\.flagC))
        let a = first(recipe.a)
        code.test(recipe.width, a, a)
        code.bit(0, .double, .r11)
        return [.zero, .carry]
    }

    /// The host's flags can be made without a stub, which would end a run of x87. The host's own do not count: both versions of a block decide alike.
    var canBringAlone: Bool {
        switch flags.recipe?.kind {
        case .logic, .subtract, .add, .addResult, .subtractResult, .negate, .test, .image: true
        default: false
        }
    }

    /// In R10.
    private mutating func firstAlone(_ input: FlagRecipe.Input) {
        let a = first(input)
        if a != .r10 { code.mov(.quad, .r10, a) }
    }

    private mutating func first(_ input: FlagRecipe.Input) -> HostRegister {
        switch input {
        case .register(let guest): return value(guest, in: .r10)
        case .immediate(let value): code.mov(.quad, .r10, value)
        default: code.mov(.quad, .r10, Self.at(\.flagA))
        }
        return .r10
    }

    private mutating func second(
        _ operation: Assembler.Arithmetic, _ width: Width, _ a: HostRegister, _ input: FlagRecipe.Input
    ) {
        switch input {
        case .register(let guest): arithmetic(operation, width, a, .register(guest))
        case .immediate(let value): code.arithmetic(operation, width, a, value)
        default: code.arithmetic(operation, width, a, Self.at(\.flagB))
        }
    }

    /// The host's condition that holds where the guest's does; the host's flags are made for it.
    mutating func condition(_ number: UInt8) -> HostCondition {
        bring(.read(by: number))
        return HostCondition(rawValue: number & 15).unsafelyUnwrapped
    }

    /// CF into `flagC`, for INC and DEC, which leave it. The host's flags stay as they are or become the guest's.
    mutating func keepCarry() {
        if let kind = flags.recipe?.kind {
            switch kind {
            case .increment, .decrement, .shiftLeft, .shiftRightOnce, .shiftRight, .product: return
            default: break
            }
        } else if !flags.host.contains(.carry) {
            storeVectors()
            closeStack()
            vectors.loaded = []
            let isKept = code.label()
            code.arithmetic(.cmp, .double, Self.at(\.flagKind), Int32(bitPattern: FlagRecipe.firstKeepingCarry))
            code.jump(.ae, isKept)
            code.call(outside: stubs.loadCarry)
            code.set(.b, Self.at(\.flagC))
            code.bind(isKept)
            flags.host = []
            return
        }
        bring(.carry)
        code.set(.b, Self.at(\.flagC))
    }

    /// CF to where a memory access leaves it.
    mutating func keepCarryAside() {
        bring(.carry)
        code.set(.b, Self.at(\.scratchCarry))
    }
}
