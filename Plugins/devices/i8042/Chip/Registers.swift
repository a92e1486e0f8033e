// The controller's registers (IBM PS/2 Hardware Interface Technical Reference, "Keyboard/Auxiliary Device Controller").

extension I8042 {
    /// The two ports: 0x60 and 0x64 of a PC.
    public enum Port: UInt8, Sendable { case data, statusOrCommand }

    /// Port 0x64, read.
    public struct Status: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let outputFull = Self(rawValue: 1 << 0)  // OBF
        public static let inputFull = Self(rawValue: 1 << 1)  // IBF: never, what is written is taken at once
        public static let systemFlag = Self(rawValue: 1 << 2)
        public static let command = Self(rawValue: 1 << 3)  // the last write was to 0x64
        public static let unlocked = Self(rawValue: 1 << 4)
        public static let auxiliary = Self(rawValue: 1 << 5)  // the output is the auxiliary device's
        public static let timeout = Self(rawValue: 1 << 6)
        public static let parity = Self(rawValue: 1 << 7)
    }

    /// Byte 0 of the controller's RAM: commands 0x20 and 0x60.
    public struct CommandByte: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let keyboardInterrupt = Self(rawValue: 1 << 0)
        public static let auxiliaryInterrupt = Self(rawValue: 1 << 1)
        public static let systemFlag = Self(rawValue: 1 << 2)
        public static let keyboardOff = Self(rawValue: 1 << 4)
        public static let auxiliaryOff = Self(rawValue: 1 << 5)
        public static let translate = Self(rawValue: 1 << 6)
    }

    /// The output port: commands 0xD0 and 0xD1.
    public struct OutputPort: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let notReset = Self(rawValue: 1 << 0)
        public static let a20 = Self(rawValue: 1 << 1)
        public static let auxiliaryData = Self(rawValue: 1 << 2)
        public static let auxiliaryClock = Self(rawValue: 1 << 3)  // 1: held low, the device is off
        public static let irq1 = Self(rawValue: 1 << 4)
        public static let irq12 = Self(rawValue: 1 << 5)
        public static let keyboardClock = Self(rawValue: 1 << 6)  // 1: held low, the device is off
        public static let keyboardData = Self(rawValue: 1 << 7)
    }

    /// What the next byte at port 0x60 is for.
    public enum Expecting: Equatable, Sendable {
        /// The keyboard.
        case nothing
        /// A byte of RAM, 0...31.
        case ram(UInt8)
        case outputPort
        case keyboardOutput
        case auxiliaryOutput
        case auxiliary
        /// A password's bytes, until a 0.
        case password

        /// The command that waits for a byte; 0: none.
        public var command: UInt8 {
            switch self {
            case .nothing: 0
            case .ram(let address): 0x60 | address
            case .outputPort: 0xD1
            case .keyboardOutput: 0xD2
            case .auxiliaryOutput: 0xD3
            case .auxiliary: 0xD4
            case .password: 0xA5
            }
        }

        /// Nil: the command takes no byte.
        public init?(command: UInt8) {
            switch command {
            case 0: self = .nothing
            case 0x60...0x7F: self = .ram(command & 0x1F)
            case 0xA5: self = .password
            case 0xD1: self = .outputPort
            case 0xD2: self = .keyboardOutput
            case 0xD3: self = .auxiliaryOutput
            case 0xD4: self = .auxiliary
            default: return nil
            }
        }
    }
}
