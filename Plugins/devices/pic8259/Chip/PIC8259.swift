/// 8259A programmable interrupt controller: one chip. `PIC8259Pair.swift` cascades two of them as a PC does.
///
/// Source: Intel 8259A data sheet (231468); where it is silent, application note AP-59 and the PIIX data sheet.
/// The chip has no clock: all that it does happens at a pin's change, an access or an acknowledge.
///
/// Not modelled: the three CALL bytes of MCS-80/85 mode (an acknowledge answers as in 8086 mode); the freeze of the
/// requests between a poll command and its read; which half of a cascade the buffered mode's M/S bit names (the
/// `role` strap decides: the PC BIOS itself programs its only chip as "buffered slave").
public struct PIC8259: Sendable {
    // MARK: Registers

    /// ICW1, offset 0 with bit 4 set.
    public struct InitializationWord1: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let word4Needed = Self(rawValue: 1 << 0)  // IC4
        public static let single = Self(rawValue: 1 << 1)  // SNGL
        public static let callInterval4 = Self(rawValue: 1 << 2)  // ADI, MCS-80/85 only
        public static let levelTriggered = Self(rawValue: 1 << 3)  // LTIM
    }

    /// ICW4, offset 1.
    public struct InitializationWord4: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let mode8086 = Self(rawValue: 1 << 0)  // uPM
        public static let automaticEnd = Self(rawValue: 1 << 1)  // AEOI
        public static let bufferedMaster = Self(rawValue: 1 << 2)  // M/S
        public static let buffered = Self(rawValue: 1 << 3)  // BUF
        public static let specialFullyNested = Self(rawValue: 1 << 4)  // SFNM
    }

    /// OCW2 bits 7:5 (R, SL, EOI): a code, every value of which has a meaning.
    enum EndCommand: UInt8 {
        case clearRotateInAutomaticEnd = 0b000
        case nonSpecificEnd = 0b001
        case noOperation = 0b010
        case specificEnd = 0b011
        case setRotateInAutomaticEnd = 0b100
        case rotateOnNonSpecificEnd = 0b101
        case setPriority = 0b110
        case rotateOnSpecificEnd = 0b111
    }

    /// OCW3, offset 0 with bits 4:3 = 01.
    struct OperationWord3: OptionSet {
        let rawValue: UInt8
        static let readInService = Self(rawValue: 1 << 0)  // RIS
        static let readRegister = Self(rawValue: 1 << 1)  // RR
        static let poll = Self(rawValue: 1 << 2)  // P
        static let specialMask = Self(rawValue: 1 << 5)  // SMM
        static let enableSpecialMask = Self(rawValue: 1 << 6)  // ESMM
    }

    /// What the next write to offset 1 is: the initialization sequence of the data sheet's figure 6.
    public enum Stage: UInt8, Sendable {
        /// Power-up. A write to offset 1 is the mask, so that a probe of it finds the chip; nothing is requested.
        case uninitialized
        case word2, word3, word4
        case ready
    }

    /// The SP/EN pin's strap in non-buffered mode: what ICW3 means.
    public enum Role: UInt8, Sendable { case master, slave }

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var stage = Stage.uninitialized
        public var word1: InitializationWord1 = []
        /// ICW2 bits 7:3. Bits 2:0 are zero.
        public var vectorBase: UInt8 = 0
        /// ICW3. Master: a bit for each input that has a slave. Slave: its identity in bits 2:0.
        public var cascade: UInt8 = 0
        public var word4: InitializationWord4 = []
        /// IMR.
        public var mask: UInt8 = 0
        /// ISR.
        public var inService: UInt8 = 0
        /// The edge sense latches: inputs that rose and were neither acknowledged nor dropped since.
        public var edgeLatch: UInt8 = 0
        /// The levels of the inputs IR7...IR0, kept so that a restored machine sees no false edge.
        public var lines: UInt8 = 0
        /// Inputs that are level triggered although LTIM is clear: this chip's ELCR (PIIX).
        public var levelControl: UInt8 = 0
        /// The input with the lowest priority, 0...7; the next one (modulo 8) has the highest.
        public var lowestPriority: UInt8 = 7
        public var rotatesInAutomaticEnd = false
        public var specialMask = false
        /// A read of offset 0 gives ISR instead of IRR.
        public var readsInService = false
        /// The next read is a poll, unless an OCW3 without P comes first.
        public var pollPending = false
        public init() {}
    }

    public private(set) var state = State()
    public let role: Role
    /// Levels whose service ended since `takeEnded()`. A notice on its way to the owner, not state of the chip.
    private var ended: UInt8 = 0

    public init(role: Role = .master) { self.role = role }

    /// Power-up values. The inputs keep their levels: others drive them.
    public mutating func reset() {
        let lines = state.lines
        state = State()
        state.lines = lines
        ended = 0
    }

    /// Takes over a saved state. False, and nothing changes, where it is one that no chip can be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.lowestPriority < 8, saved.vectorBase & 0b111 == 0,
            saved.edgeLatch & ~saved.lines == 0, role == .master || saved.cascade < 8,
            saved.word1.rawValue & 0xF0 == 0, saved.word4.rawValue & 0xE0 == 0,
            saved.stage != .word3 || !saved.word1.contains(.single),
            saved.stage != .word4 || saved.word1.contains(.word4Needed)
        else { return false }
        state = saved
        ended = 0
        return true
    }

    // MARK: Guest side

    /// A read of A0 = `offset` (bit 0 counts). With a poll pending either offset is the poll, and acknowledges.
    public mutating func read(_ offset: UInt8) -> UInt8 {
        let value = peek(offset)
        if state.pollPending {
            state.pollPending = false
            _ = acceptHighest()
        }
        return value
    }

    /// What `read` would answer, without the poll's acknowledge.
    public func peek(_ offset: UInt8) -> UInt8 {
        if state.pollPending { return pollWord }
        if offset & 1 == 1 { return state.mask }
        return state.readsInService ? state.inService : requests
    }

    public mutating func write(_ offset: UInt8, _ value: UInt8) {
        if offset & 1 == 1 {
            writeData(value)
        } else if value & 0b1_0000 != 0 {
            startInitialization(value)
        } else if value & 0b1000 != 0 {
            writeOperationWord3(OperationWord3(rawValue: value))
        } else {
            writeOperationWord2(value)
        }
    }

    /// Poll word: bit 7 request present, bits 2:0 its level. The data sheet leaves 2:0 open where there is none;
    /// they read 7 as in a default acknowledge.
    private var pollWord: UInt8 {
        guard let level = requestedLevel else { return 7 }
        return 0x80 | level
    }

    /// "Initialization Command Words", effects a to f. That ISR and the rotation in AEOI clear too is AP-59's.
    private mutating func startInitialization(_ value: UInt8) {
        ended |= state.inService
        let (lines, levelControl, word4) = (state.lines, state.levelControl, state.word4)
        state = State()
        state.lines = lines
        state.levelControl = levelControl
        state.word1 = InitializationWord1(rawValue: value & 0x0F)
        state.word4 = state.word1.contains(.word4Needed) ? word4 : []
        state.cascade = role == .slave ? 7 : 0
        state.stage = .word2
    }

    private mutating func writeData(_ value: UInt8) {
        switch state.stage {
        case .uninitialized, .ready:
            state.mask = value
        case .word2:
            state.vectorBase = value & 0xF8
            state.stage = state.word1.contains(.single) ? stageAfterWord3 : .word3
        case .word3:
            state.cascade = role == .slave ? value & 0b111 : value
            state.stage = stageAfterWord3
        case .word4:
            state.word4 = InitializationWord4(rawValue: value & 0x1F)
            state.stage = .ready
        }
    }

    private var stageAfterWord3: Stage { state.word1.contains(.word4Needed) ? .word4 : .ready }

    private mutating func writeOperationWord2(_ value: UInt8) {
        let level = value & 0b111
        // Three bits: every code exists.
        switch EndCommand(rawValue: value >> 5) ?? .noOperation {
        case .clearRotateInAutomaticEnd: state.rotatesInAutomaticEnd = false
        case .setRotateInAutomaticEnd: state.rotatesInAutomaticEnd = true
        case .noOperation: break
        case .setPriority: state.lowestPriority = level
        case .nonSpecificEnd: endHighest(rotating: false)
        case .rotateOnNonSpecificEnd: endHighest(rotating: true)
        case .specificEnd: end(level)
        case .rotateOnSpecificEnd:
            end(level)
            state.lowestPriority = level
        }
    }

    private mutating func writeOperationWord3(_ word: OperationWord3) {
        state.pollPending = word.contains(.poll)
        if word.contains(.readRegister) { state.readsInService = word.contains(.readInService) }
        if word.contains(.enableSpecialMask) { state.specialMask = word.contains(.specialMask) }
    }

    /// Non-specific EOI. A masked level in special mask mode is out of its reach ("Special Mask Mode").
    private mutating func endHighest(rotating: Bool) {
        guard let level = highestPriority(of: blocking) else { return }
        end(level)
        if rotating { state.lowestPriority = level }
    }

    private mutating func end(_ level: UInt8) {
        let bit = bit(level)
        ended |= state.inService & bit
        state.inService &= ~bit
    }

    // MARK: Host side

    /// Input `line` (0...7; others are ignored) goes to `level`. A fall before the acknowledge takes an edge's request
    /// back.
    public mutating func setLine(_ line: UInt8, _ level: Bool) {
        guard line < 8 else { return }
        let bit = bit(line)
        if level {
            state.edgeLatch |= bit & ~state.lines
            state.lines |= bit
        } else {
            state.edgeLatch &= ~bit
            state.lines &= ~bit
        }
    }

    /// Sets the ELCR of this chip. Which bits a guest may set is the owner's business.
    public mutating func setLevelControl(_ lines: UInt8) { state.levelControl = lines }

    /// The CPU's INTA cycle for a chip on its own: the vector. With nothing requested it is the default level 7,
    /// and no level is in service.
    public mutating func acknowledge() -> UInt8 { vector(of: acceptLevel()) }

    /// First half of the INTA cycle: the level that goes into service, or 7 (which then does not).
    mutating func acceptLevel() -> UInt8 { acceptHighest() ?? 7 }

    /// What the chip puts on the bus for `level`: T7...T3 of ICW2 and the level.
    func vector(of level: UInt8) -> UInt8 { state.vectorBase | (level & 0b111) }

    /// Whether this master leaves the vector of `level` to a slave: ICW3, unless the chip is single.
    func hasSlave(on level: UInt8) -> Bool { slaveInputs & bit(level) != 0 }

    /// Whether this slave answers to `identity` on the cascade lines. A single chip answers to every INTA.
    func answers(to identity: UInt8) -> Bool {
        state.stage == .ready && (state.word1.contains(.single) || state.cascade == identity)
    }

    /// Levels (a bit each) whose service ended since the last call: by EOI, automatic EOI or ICW1.
    public mutating func takeEnded() -> UInt8 {
        defer { ended = 0 }
        return ended
    }

    /// Puts the highest requested level into service; nil where there is none.
    private mutating func acceptHighest() -> UInt8? {
        guard let level = requestedLevel else { return nil }
        state.edgeLatch &= ~bit(level)
        state.inService |= bit(level)
        if state.word4.contains(.automaticEnd) {
            end(level)
            if state.rotatesInAutomaticEnd { state.lowestPriority = level }
        }
        return level
    }

    // MARK: Pins, derived from the state and never stored

    /// INT. It follows the requests: a line that drops or is masked takes it back (a guest may mask and then enable
    /// interrupts, and expects none).
    public var interruptRequested: Bool { requestedLevel != nil }

    /// IRR: not affected by the mask.
    public var requests: UInt8 {
        let levelTriggered = state.word1.contains(.levelTriggered) ? 0xFF : state.levelControl
        return state.edgeLatch | (state.lines & levelTriggered)
    }

    /// The level that an acknowledge would put into service.
    public var requestedLevel: UInt8? {
        guard state.stage == .ready, let request = highestPriority(of: requests & ~state.mask) else { return nil }
        guard let served = highestPriority(of: blocking) else { return request }
        if rank(request) < rank(served) { return request }
        return request == served && nestsSlave(on: request) ? request : nil
    }

    /// In-service levels that hold back their own and lower priorities. In special mask mode a masked one does not.
    private var blocking: UInt8 { state.specialMask ? state.inService & ~state.mask : state.inService }

    /// "Special Fully Nested Mode": a slave in service is not locked out of its master.
    private func nestsSlave(on level: UInt8) -> Bool {
        state.word4.contains(.specialFullyNested) && hasSlave(on: level)
    }

    private var slaveInputs: UInt8 { role == .master && !state.word1.contains(.single) ? state.cascade : 0 }

    /// 0 for the highest priority, 7 for the lowest.
    private func rank(_ level: UInt8) -> UInt8 { (level &- state.lowestPriority &- 1) & 0b111 }

    private func highestPriority(of levels: UInt8) -> UInt8? {
        guard levels != 0 else { return nil }
        let first = (state.lowestPriority &+ 1) & 0b111
        let rotated = (levels &>> first) | (levels &<< ((8 &- first) & 0b111))
        return (UInt8(truncatingIfNeeded: rotated.trailingZeroBitCount) &+ first) & 0b111
    }

    private func bit(_ level: UInt8) -> UInt8 { 1 &<< (level & 0b111) }
}
