/// One decoded instruction.
struct Instruction {
    var entry: Int = 0
    var mnemonic: Mnemonic = .ud
    /// In a BlockSource: where it cannot be decoded, only the length counts.
    var outcome = Decoder.Outcome.instruction
    var flags: EntryFlags = []
    var operands: (Operand, Operand, Operand) = (.none, .none, .none)
    /// Bytes.
    var length: UInt8 = 0
    /// 2, 4 or 8 bytes.
    var operandSize: UInt8 = 4
    var addressSize: UInt8 = 4
    var prefixes: Prefixes = []
    /// REX.W R X B in bits 3 to 0; bit 6 set where a REX prefix is there.
    var rex: UInt8 = 0
    /// Segment of the memory operand: the override, or the default of its base.
    var segment: UInt8 = UInt8(Segment.ds)
    var hasOverride = false
    var opcode: UInt8 = 0
    var map = OpcodeMap.one
    var hasModRM = false
    var mod: UInt8 = 0
    /// With REX.R and REX.B.
    var reg: UInt8 = 0
    var rm: UInt8 = 0
    /// As `base`: an operation before leaves the offset in Register.temporary.
    static let temporaryBase: UInt8 = 18
    /// As `base`: RSP as it is after the pop, in Register.popped.
    static let poppedBase: UInt8 = 19
    /// Of a memory operand: register numbers; 16: none, 17: RIP.
    var base: UInt8 = 16
    var index: UInt8 = 16
    var scale: UInt8 = 0
    var displacement: Int64 = 0
    var immediate: UInt64 = 0
    /// The second one: ENTER's level, the selector of a far pointer.
    var immediate2: UInt64 = 0

    struct Prefixes: OptionSet {
        let rawValue: UInt8
        static let lock = Prefixes(rawValue: 1)
        static let repne = Prefixes(rawValue: 2)
        static let rep = Prefixes(rawValue: 4)
        static let operandSize = Prefixes(rawValue: 8)
        static let addressSize = Prefixes(rawValue: 16)
    }

    var isMemory: Bool { hasModRM && mod != 3 }
    var isRegister: Bool { hasModRM && mod == 3 }
    var hasREX: Bool { rex != 0 }
    var rexW: Bool { rex & 8 != 0 }
    /// Any repeat prefix.
    var repeats: Bool { !prefixes.isDisjoint(with: [.rep, .repne]) }
}
