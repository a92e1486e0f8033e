// What an operation keeps beside its registers, address and place in the block: 48 bits, under a name for each kind of operation. Names
// of one kind do not overlap.

extension Op {
    /// How an instruction was written, as far as its handler asks.
    struct Form: OptionSet {
        let rawValue: UInt8
        /// The operand in ModRM.rm is in memory.
        static let memory = Form(rawValue: 1)
        static let rep = Form(rawValue: 2)
        static let repne = Form(rawValue: 4)
        // The address size.
        static let address16 = Form(rawValue: 0x20)
        static let address32 = Form(rawValue: 0x40)
        static let address64 = Form(rawValue: 0x80)
    }

    // MARK: Of most kinds

    /// Of the operand, in bytes.
    var size: UInt8 {
        get { UInt8(truncatingIfNeeded: small) }
        set { small = small & 0xff00 | UInt16(newValue) }
    }

    var form: Form {
        get { Form(rawValue: UInt8(truncatingIfNeeded: small &>> 8)) }
        set { small = small & 0xff | UInt16(newValue.rawValue) &<< 8 }
    }

    var isMemory: Bool { form.contains(.memory) }
    /// 2, 4 or 8
    var addressSize: UInt8 { form.rawValue &>> 4 }

    mutating func setForm(_ i: Instruction) {
        form = Form(rawValue: i.addressSize &<< 4)
        if i.isMemory { form.insert(.memory) }
        if i.prefixes.contains(.rep) { form.insert(.rep) }
        if i.prefixes.contains(.repne) { form.insert(.repne) }
    }

    /// The second immediate: ENTER's level, the selector of a far pointer.
    var imm2: UInt32 {
        get { large }
        set { large = newValue }
    }

    /// Which of the things that the handler serves: the number of a segment, control or debug register, an exit's reason, 0 or 1.
    var which: Int {
        get { Int(large) }
        set { large = UInt32(truncatingIfNeeded: newValue) }
    }

    // MARK: Address operations: `size` would not hold the 576 bytes of XSAVE

    var accessSize: UInt16 {
        get { small }
        set { small = newValue }
    }
    var accessAddressSize: UInt8 {
        get { dst }
        set { dst = newValue }
    }
    var isWrite: Bool {
        get { src != 0 }
        set { src = newValue ? 1 : 0 }
    }

    // MARK: Integer instructions

    /// The third operand of IMUL.
    var factor: Int32 {
        get { Int32(bitPattern: large) }
        set { large = UInt32(bitPattern: newValue) }
    }

    /// SHLD and SHRD; nil: CL.
    var fixedCount: UInt8? {
        get { large & 0x100 != 0 ? UInt8(truncatingIfNeeded: large) : nil }
        set { large = newValue.map { 0x100 | UInt32($0) } ?? 0 }
    }

    enum BitChange: UInt8 { case none, set, reset, complement }
    /// BT, BTS, BTR, BTC
    var bitChange: BitChange {
        get { BitChange(rawValue: UInt8(truncatingIfNeeded: large &>> 16 & 3)).unsafelyUnwrapped }
        set { large = large & 0xffff | UInt32(newValue.rawValue) &<< 16 }
    }
    /// And their bit's number; nil: a register's.
    var fixedBit: UInt8? {
        get { large & 0x100 != 0 ? UInt8(truncatingIfNeeded: large) : nil }
        set { large = large & ~0xffff | (newValue.map { 0x100 | UInt32($0) } ?? 0) }
    }

    // MARK: Jumps: `imm64` is the taken target from the block's start

    /// A condition code, of the checked Jcc, SETcc to memory and FCMOVcc.
    var condition: UInt8 {
        get { UInt8(truncatingIfNeeded: small &>> 8) }
        set { small = small & 0xff | UInt16(newValue) &<< 8 }
    }

    /// LOOP and JCXZ
    var opcode: UInt8 {
        get { UInt8(truncatingIfNeeded: large) }
        set { large = UInt32(newValue) }
    }

    /// Jcc: the instruction behind it, from the block's start.
    var behind: UInt32 {
        get { large }
        set { large = newValue }
    }

    /// Both targets of a jump that is fused with the comparison before it, which may need `imm` and `disp`.
    var fusedTarget: Int32 {
        get { Int32(bitPattern: large) }
        set { large = UInt32(bitPattern: newValue) }
    }
    var fusedBehind: UInt16 {
        get { small }
        set { small = newValue }
    }

    // MARK: x87

    /// The number of CHost's function.
    var function: UInt32 {
        get { large & 0xffff }
        set { large = large & ~0xffff | newValue & 0xffff }
    }
    /// As FOP has it.
    var lastOpcode: UInt16 {
        get { UInt16(truncatingIfNeeded: large &>> 16) }
        set { large = large & 0xffff | UInt32(newValue) &<< 16 }
    }

    // MARK: Vectors: `imm64` is the handler that raises; CHost reads these (chost_simd.h)

    /// `isWide`: REX.W.
    mutating func setVector(immediate: UInt8, isWide: Bool) {
        large = UInt32(immediate) | (isWide ? 0x100 : 0)
    }
}
