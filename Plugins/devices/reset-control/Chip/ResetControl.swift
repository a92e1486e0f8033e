/// Two of the three ports by which PC guests reboot: 0x92 (system control port A) and 0xCF9 (reset control register). The
/// chip only; `ResetControlPlugin.swift` connects it, with `KeyboardController` for the third.
///
/// Sources: PS/2 hardware interface technical reference, "System Control Port A"; 82371SB (PIIX3) data sheet, RC register;
/// ICH10 data sheet, 13.7.5, RST_CNT.
///
/// Not modelled:
/// - A20. Bit 1 of port 0x92 is kept and masks nothing; it is set after reset, which is how the machine starts.
/// - Kinds of reset. The CPU alone (INIT), the system (SRST) and a power cycle (FULL_RST) all reset the machine as
///   RESET does.
public struct ResetControl: Sendable {
    // MARK: Registers

    public enum Register: Sendable { case systemControlA, resetControl }

    /// Port 0x92.
    public struct SystemControlA: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Resets where it goes from 0 to 1.
        public static let fastReset = Self(rawValue: 1 << 0)
        public static let a20 = Self(rawValue: 1 << 1)

        static let kept: Self = [.fastReset, .a20]
    }

    /// Port 0xCF9.
    public struct ResetControlRegister: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// SRST: the system, not the CPU alone.
        public static let systemReset = Self(rawValue: 1 << 1)
        /// RCPU: resets where it goes from 0 to 1; never reads as 1.
        public static let resetCPU = Self(rawValue: 1 << 2)
        /// FULL_RST of the ICH: with a power cycle.
        public static let fullReset = Self(rawValue: 1 << 3)

        static let kept: Self = [.systemReset, .resetCPU, .fullReset]
    }

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var systemControlA: SystemControlA = .a20
        public var resetControl: ResetControlRegister = []
        public init() {}
    }

    public private(set) var state = State()

    public init() {}

    public mutating func reset() { state = State() }

    /// Takes over a saved state. False, and nothing changes, where it holds a bit that no register has.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.systemControlA.isSubset(of: SystemControlA.kept),
            saved.resetControl.isSubset(of: ResetControlRegister.kept)
        else { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// Has no side effect, so that it is the peek too.
    public func read(_ register: Register) -> UInt8 {
        switch register {
        case .systemControlA: state.systemControlA.rawValue
        case .resetControl: state.resetControl.subtracting(.resetCPU).rawValue
        }
    }

    /// True: the write pulses the machine's reset.
    public mutating func write(_ register: Register, _ value: UInt8) -> Bool {
        switch register {
        case .systemControlA:
            let old = state.systemControlA
            state.systemControlA = SystemControlA(rawValue: value).intersection(.kept)
            return state.systemControlA.subtracting(old).contains(.fastReset)
        case .resetControl:
            let old = state.resetControl
            state.resetControl = ResetControlRegister(rawValue: value).intersection(.kept)
            return state.resetControl.subtracting(old).contains(.resetCPU)
        }
    }
}
