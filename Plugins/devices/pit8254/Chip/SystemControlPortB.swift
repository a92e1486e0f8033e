/// Port 0x61 of a PC: the speaker, counter 2's gate, and the timer's outputs.
///
/// Source: IBM PC/AT technical reference, "System Board"; 82371 (PIIX) data sheet, NMI status and control register.
/// Not modelled: NMI. Its enables (bits 2 and 3) read back as written, its sources (bits 6 and 7) read 0.
///
/// Bit 0 is not kept here: it is counter 2's GATE, which the PIT's own state holds, so that the two cannot disagree.
public struct SystemControlPortB: Sendable {
    // MARK: Registers

    public struct Control: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let gate2 = Self(rawValue: 1 << 0)
        public static let speakerData = Self(rawValue: 1 << 1)
        public static let parityCheckDisable = Self(rawValue: 1 << 2)
        public static let channelCheckDisable = Self(rawValue: 1 << 3)
        /// Read only: toggles at each refresh request, a rising edge of OUT1.
        public static let refreshToggle = Self(rawValue: 1 << 4)
        /// Read only: OUT2.
        public static let output2 = Self(rawValue: 1 << 5)
    }

    private static let kept: Control = [.speakerData, .parityCheckDisable, .channelCheckDisable]

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        /// Bits 3:1.
        public var control: Control = []
        public init() {}
    }

    public private(set) var state = State()

    public init() {}

    /// Clears the port. The PIT's own reset lowers GATE2.
    public mutating func reset() { state = State() }

    /// Takes over a saved state. False, and nothing changes, where it holds a bit that is not kept here.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.control.isSubset(of: Self.kept) else { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// A read of the port; it has no side effect, so that it is the peek too.
    public func read(_ timer: PIT8254, at now: UInt64) -> UInt8 {
        var value = state.control
        if timer.gate(2) { value.insert(.gate2) }
        if timer.risingEdges(1, at: now) & 1 != 0 { value.insert(.refreshToggle) }
        if timer.output(2, at: now) { value.insert(.output2) }
        return value.rawValue
    }

    public mutating func write(_ value: UInt8, to timer: inout PIT8254, at now: UInt64) {
        let control = Control(rawValue: value)
        state.control = control.intersection(Self.kept)
        timer.setGate(2, control.contains(.gate2), at: now)
    }

    // MARK: Pins, derived from the state and never stored

    /// The speaker's level: OUT2, while its data bit lets it through.
    public func speaker(_ timer: PIT8254, at now: UInt64) -> Bool {
        state.control.contains(.speakerData) && timer.output(2, at: now)
    }
}
