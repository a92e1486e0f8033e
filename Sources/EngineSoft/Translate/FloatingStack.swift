// What is known of the guest's x87 while a block is emitted, and what an instruction does to it. TOP and the tags are those that the CPU had when
// the block was translated, and follow from there; the code compares them before it relies on them.

/// The guest's registers that the host's x87 has in place of S: the upper ones of its stack, each as the same ST(i).
struct FloatingStack: Equatable {
    /// false: something that is not followed here has changed TOP or the tags.
    var isKnown = true
    /// Physical number of ST(0).
    private(set) var top: UInt8
    /// A bit for each physical register.
    private(set) var notEmpty: UInt8
    /// TOP and the tags as S has them.
    private(set) var storedTop: UInt8
    private(set) var storedNotEmpty: UInt8
    /// Precision is 64 bits, rounding to nearest, all is masked: the host's own control word.
    let hasUsualControl: Bool

    /// Between its beginning in S and its end there: the host has `depth` registers, and its flags are those of the guest or some of them.
    private(set) var isOpen = false
    private(set) var depth = 0
    /// Physical registers that S does not have.
    private(set) var changed: UInt8 = 0
    /// The host has the guest's control word.
    var hasLoadedControl = false
    /// The host may have exception flags that S has not.
    private(set) var hasFlags = false
    private(set) var rounding = Rounding.stored
    /// What FIP and FOP are to be.
    private(set) var last: Note?
    /// What FDS is to be: a segment's number.
    private(set) var dataSegment: UInt8?

    /// Where C1 is.
    enum Rounding { case stored, zero, host }

    struct Note: Equatable {
        /// From the beginning of the block's page.
        var distance: Int32
        var opcode: UInt16
    }

    init(_ x87: X87Control) {
        top = UInt8(truncatingIfNeeded: x87.status >> 11 & 7)
        notEmpty = x87.notEmpty
        (storedTop, storedNotEmpty) = (top, notEmpty)
        hasUsualControl = x87.control & 0x0f3f == 0x033f
    }

    // MARK: Registers

    func physical(_ number: Int) -> UInt8 { (top &+ UInt8(truncatingIfNeeded: number)) & 7 }
    func isEmpty(_ number: Int) -> Bool { notEmpty >> physical(number) & 1 == 0 }
    func isChanged(_ number: Int) -> Bool { changed >> physical(number) & 1 != 0 }

    /// ST(0) and on, as far as they are not empty.
    var height: Int { (0..<8).first { isEmpty($0) } ?? 8 }

    mutating func open(_ depth: Int) { (isOpen, self.depth) = (true, depth) }

    /// All is in S.
    mutating func close() {
        (isOpen, depth, changed, hasLoadedControl) = (false, 0, 0, false)
        (storedTop, storedNotEmpty) = (top, notEmpty)
        (hasFlags, rounding, last, dataSegment) = (false, .stored, nil, nil)
    }

    /// The status word is in S.
    mutating func storeStatus() { (storedTop, hasFlags, rounding) = (top, false, .stored) }

    mutating func apply(_ effect: FloatingEffect) {
        if effect.pushes {
            top = (top &- 1) & 7
            notEmpty |= 1 << top
            depth += 1
        }
        for number in effect.writes { changed |= 1 << physical(number) }
        for _ in 0..<effect.pops { pop() }
        if effect.hasFlags { hasFlags = true }
        rounding = effect.rounding ?? rounding
    }

    private mutating func pop() {
        notEmpty &= ~(1 << top)
        changed &= ~(1 << top)
        top = (top &+ 1) & 7
        depth -= 1
    }

    mutating func note(_ note: Note, dataSegment: UInt8?) {
        last = note
        self.dataSegment = dataSegment ?? self.dataSegment
    }

    // MARK: Instructions that are called

    /// An instruction that is not emitted; all is in S.
    mutating func follow(_ i: Instruction) {
        if i.outcome != .instruction || !i.flags.isDisjoint(with: .mmx) { isKnown = false }
        guard isKnown else { return }
        switch i.mnemonic {
        case .fnstcw, .fnstsw, .fldcw, .fnclex, .fwait, .fnop, .fnstenv: break
        case .fsin, .fcos, .frndint, .f2xm1, .fsqrt, .fchs, .fabs: isKnown = !isEmpty(0)
        case .fprem, .fprem1, .fscale: isKnown = !isEmpty(0) && !isEmpty(1)
        // They write all of it, or what this does not tell apart.
        case .fxrstor, .fxsave, .xrstor, .xsave: isKnown = false
        case _ where i.flags.contains(.x87): isKnown = false
        default: break
        }
    }
}

/// What an instruction does, on a stack that neither runs over nor under.
struct FloatingEffect {
    /// So many registers, from ST(0) on, have to be there.
    var needs = 0
    var pushes = false
    /// Numbers behind a push and before pops.
    var writes: [Int] = []
    var pops = 0
    var hasFlags = false
    /// nil: it leaves C1.
    var rounding: FloatingStack.Rounding?
    /// Condition codes that it sets, as bits of the status word.
    var codes: Int32 = 0
    var setsEFLAGS = false

    private static let comparison: Int32 = 0x4500

    /// nil: it is called.
    init?(_ i: Instruction) {
        let number = i.isMemory ? 0 : Int(i.rm & 7)
        switch i.mnemonic {
        case .fadd, .fmul, .fsub, .fsubr, .fdiv, .fdivr, .fiadd, .fimul, .fisub, .fisubr, .fidiv, .fidivr:
            self.init(
                needs: number + 1, writes: [i.opcode == 0xdc && !i.isMemory ? number : 0], hasFlags: true,
                rounding: .host)
        // With ST(0) itself the result is what is popped.
        case .faddp, .fmulp, .fsubp, .fsubrp, .fdivp, .fdivrp:
            if number == 0 { return nil }
            self.init(needs: number + 1, writes: [number], pops: 1, hasFlags: true, rounding: .host)
        case .fcom, .fucom, .ficom: self.init(comparing: number, pops: 0)
        case .fcomp, .fucomp, .ficomp: self.init(comparing: number, pops: 1)
        case .fcompp, .fucompp: self.init(comparing: 1, pops: 2)
        case .ftst: self.init(comparing: 0, pops: 0)
        case .fxam: self.init(needs: 1, rounding: .stored, codes: FloatingEffect.comparison | 0x200)
        case .fcomi, .fucomi: self.init(needs: number + 1, hasFlags: true, rounding: .zero, setsEFLAGS: true)
        case .fcomip, .fucomip: self.init(needs: number + 1, pops: 1, hasFlags: true, rounding: .zero, setsEFLAGS: true)
        case .fld where !i.isMemory: self.init(needs: number + 1, pushes: true, writes: [0], rounding: .zero)
        case .fld, .fild: self.init(pushes: true, writes: [0], hasFlags: true, rounding: .zero)
        case .fld1, .fldl2t, .fldl2e, .fldpi, .fldlg2, .fldln2, .fldz:
            self.init(pushes: true, writes: [0], rounding: .zero)
        case .fst where !i.isMemory, .fstp where !i.isMemory:
            self.init(needs: number + 1, writes: [number], pops: i.mnemonic == .fstp ? 1 : 0, rounding: .zero)
        case .fst, .fist: self.init(needs: 1, hasFlags: true, rounding: .host)
        case .fstp, .fistp, .fisttp: self.init(needs: 1, pops: 1, hasFlags: true, rounding: .host)
        case .fxch: self.init(needs: number + 1, writes: [0, number], rounding: .zero)
        case .fchs, .fabs: self.init(needs: 1, writes: [0], rounding: .zero)
        case .fsqrt, .frndint, .f2xm1: self.init(needs: 1, writes: [0], hasFlags: true, rounding: .host)
        case .fscale: self.init(needs: 2, writes: [0], hasFlags: true, rounding: .host)
        case .fpatan, .fyl2x, .fyl2xp1: self.init(needs: 2, writes: [1], pops: 1, hasFlags: true, rounding: .host)
        case .fcmov: self.init(needs: number + 1, writes: [0])
        default: return nil
        }
    }

    private init(
        needs: Int = 0, pushes: Bool = false, writes: [Int] = [], pops: Int = 0, hasFlags: Bool = false,
        rounding: FloatingStack.Rounding? = nil, codes: Int32 = 0, setsEFLAGS: Bool = false
    ) {
        (self.needs, self.pushes, self.writes, self.pops) = (needs, pushes, writes, pops)
        (self.hasFlags, self.rounding, self.codes, self.setsEFLAGS) = (hasFlags, rounding, codes, setsEFLAGS)
    }

    private init(comparing number: Int, pops: Int) {
        self.init(needs: number + 1, pops: pops, hasFlags: true, rounding: .zero, codes: FloatingEffect.comparison)
    }
}
