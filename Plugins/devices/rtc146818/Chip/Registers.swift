/// The registers of the MC146818A, one type each.
extension RTC146818 {
    /// Addresses 0...9: the ten time, calendar and alarm bytes (data sheet, "Address Map").
    enum TimeRegister: Int {
        case seconds = 0, secondsAlarm, minutes, minutesAlarm, hours, hoursAlarm, dayOfWeek, dayOfMonth, month, year
    }

    /// What the DV bits say that the oscillator runs at. The other codes hold the divider chain.
    public enum TimeBase: UInt8, Sendable {
        case mhz4 = 0b000  // 4.194304 MHz
        case mhz1 = 0b001  // 1.048576 MHz
        case khz32 = 0b010  // 32.768 kHz

        /// tUC, the length of an update cycle in ns ("Update Cycle Times").
        var updateLength: UInt64 { self == .khz32 ? 1_984_000 : 248_000 }
    }

    /// Register A, address 10, without UIP (bit 7), which is derived.
    public struct RegisterA: RawRepresentable, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// DV2...DV0, bits 6:4; nil for the codes that hold the divider in reset or test it.
        public var timeBase: TimeBase? { TimeBase(rawValue: rawValue >> 4 & 0b111) }

        /// RS3...RS0, bits 3:0: the tap of the divider in Hz, 0 for none ("Periodic Interrupt Rate and Square Wave
        /// Output Frequency"). With 32.768 kHz the two fastest taps do not exist, and their codes are 256 and 128 Hz.
        public var tapFrequency: UInt64 {
            let code = UInt64(rawValue & 0b1111)
            guard let timeBase, code != 0 else { return 0 }
            return timeBase == .khz32 && code <= 2 ? 512 &>> code : 65_536 &>> code
        }
    }

    /// Register B, address 11.
    public struct RegisterB: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let daylightSaving = Self(rawValue: 1 << 0)  // DSE
        public static let hours24 = Self(rawValue: 1 << 1)  // 24/12
        public static let binary = Self(rawValue: 1 << 2)  // DM
        public static let squareWave = Self(rawValue: 1 << 3)  // SQWE
        public static let updateInterrupt = Self(rawValue: 1 << 4)  // UIE
        public static let alarmInterrupt = Self(rawValue: 1 << 5)  // AIE
        public static let periodicInterrupt = Self(rawValue: 1 << 6)  // PIE
        public static let set = Self(rawValue: 1 << 7)  // SET

        /// What the RESET pin clears.
        static let clearedByReset: Self = [.squareWave, .updateInterrupt, .alarmInterrupt, .periodicInterrupt]
    }

    /// Register C, address 12. The three flags have the positions of their enables in register B.
    public struct RegisterC: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let updateEnded = Self(rawValue: 1 << 4)  // UF
        public static let alarm = Self(rawValue: 1 << 5)  // AF
        public static let periodic = Self(rawValue: 1 << 6)  // PF
        public static let interruptRequest = Self(rawValue: 1 << 7)  // IRQF, derived
        static let flags: Self = [.updateEnded, .alarm, .periodic]
    }

    /// Register D, address 13.
    public struct RegisterD: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let validRAMAndTime = Self(rawValue: 1 << 7)  // VRT
    }
}
