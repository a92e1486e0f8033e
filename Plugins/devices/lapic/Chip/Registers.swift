extension LocalAPIC {
    // MARK: Registers

    /// Offsets in the page of 4 KiB; each register is 32 bits wide at the start of 16 bytes.
    enum Register: UInt16 {
        case id = 0x020, version = 0x030
        case taskPriority = 0x080, arbitrationPriority = 0x090, processorPriority = 0x0A0, endOfInterrupt = 0x0B0
        case remoteRead = 0x0C0, logicalDestination = 0x0D0, destinationFormat = 0x0E0, spurious = 0x0F0
        case errorStatus = 0x280
        case commandLow = 0x300, commandHigh = 0x310
        case timer = 0x320, thermal = 0x330, performance = 0x340, lint0 = 0x350, lint1 = 0x360, error = 0x370
        case initialCount = 0x380, currentCount = 0x390, divide = 0x3E0
    }

    /// SVR.
    public struct Spurious: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let enabled = Self(rawValue: 1 << 8)
        public static let focusDisabled = Self(rawValue: 1 << 9)
        static let writable: UInt32 = 0x3FF
        public var vector: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
    }

    /// ESR.
    public struct Errors: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let sendIllegalVector = Self(rawValue: 1 << 5)
        public static let receivedIllegalVector = Self(rawValue: 1 << 6)
        public static let illegalRegister = Self(rawValue: 1 << 7)
        static let known: Errors = [.sendIllegalVector, .receivedIllegalVector, .illegalRegister]
    }

    /// An entry of the local vector table.
    public struct LocalVector: Equatable, Sendable {
        public var rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let masked = Self(rawValue: 1 << 16)

        public var vector: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
        public var delivery: InterruptMessage.Delivery? { .init(rawValue: UInt8(rawValue &>> 8 & 7)) }
        public var isLevelTriggered: Bool { rawValue & 1 << 15 != 0 }

        public var isMasked: Bool {
            get { rawValue & 1 << 16 != 0 }
            set { set(16, newValue) }
        }
        /// LINT0, level triggered and fixed: from acceptance to EOI.
        public var remoteRequest: Bool {
            get { rawValue & 1 << 14 != 0 }
            set { set(14, newValue) }
        }
        /// Bits 18:17 of the timer's entry; nil for the reserved code.
        public var timerMode: TimerMode? { TimerMode(rawValue: UInt8(rawValue &>> 17 & 3)) }

        private mutating func set(_ bit: UInt32, _ value: Bool) {
            rawValue = rawValue & ~(1 &<< bit) | (value ? 1 &<< bit : 0)
        }
    }

    public enum TimerMode: UInt8, Sendable { case oneShot, periodic, deadline }

    /// The sources of the local vector table, in the order of their registers.
    public enum Source: UInt8, CaseIterable, Sendable {
        case timer, thermal, performance, lint0, lint1, error

        /// What a guest can write.
        var writable: UInt32 {
            switch self {
            case .timer: 0x7_00FF
            case .thermal, .performance: 0x1_07FF
            case .lint0, .lint1: 0x1_A7FF
            case .error: 0x1_00FF
            }
        }
    }

    /// IA32_APIC_BASE.
    public struct Base: OptionSet, Equatable, Sendable {
        public let rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public static let bootstrap = Self(rawValue: 1 << 8)
        public static let extended = Self(rawValue: 1 << 10)  // x2APIC
        public static let enabled = Self(rawValue: 1 << 11)
        public var address: UInt64 { rawValue & ~0xFFF }
    }
}
