/// The keyboard controller of a PC (8042, ports 0x60 and 0x64) with no keyboard at its connector and no auxiliary port: the
/// chip only.
///
/// Sources: IBM PC/AT technical reference, "Keyboard Controller" (status register, commands); PS/2 hardware interface
/// technical reference, "Keyboard and Auxiliary Device Controller" (status bits 5 and 6, commands A4 to A9).
///
/// Departures, and who needs them:
/// - It starts as firmware leaves it, with the self-test passed: guests that boot without firmware.
/// - It answers at once, also where a real one waits some milliseconds for a keyboard: Linux polls for half a second for
///   an answer that does not come.
///
/// Not modelled: what is beyond its own pins but the reset line. A20 is a bit of the output port that masks nothing. An
/// answer replaces one that the guest has not read.
public struct KeyboardController: Sendable {
    // MARK: Registers

    /// Port 0x64, read.
    public struct Status: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let outputFull = Self(rawValue: 1 << 0)
        /// The self-test has passed.
        public static let systemFlag = Self(rawValue: 1 << 2)
        /// The last write was to port 0x64.
        public static let command = Self(rawValue: 1 << 3)
        /// The keyboard lock is open.
        public static let unlocked = Self(rawValue: 1 << 4)
        /// Nothing answered at a connector.
        public static let timeout = Self(rawValue: 1 << 6)

        static let kept: Self = [.outputFull, .systemFlag, .command, .unlocked, .timeout]
    }

    /// Byte 0 of the controller's memory.
    public struct CommandByte: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let interrupt = Self(rawValue: 1 << 0)
        public static let systemFlag = Self(rawValue: 1 << 2)
        public static let keyboardDisabled = Self(rawValue: 1 << 4)
        public static let translates = Self(rawValue: 1 << 6)
    }

    /// Commands that have the next byte at port 0x60 for themselves.
    private static let writesMemory: ClosedRange<UInt8> = 0x60...0x7F
    private static let writesOutputPort: UInt8 = 0xD1, writesOutputBuffer: UInt8 = 0xD2

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var status: Status = [.systemFlag, .unlocked]
        /// What port 0x60 reads, whether or not it has been read before.
        public var output: UInt8 = 0
        /// 20 to 3F read it, 60 to 7F write it.
        public var memory: SIMD32<UInt8>
        /// Bit 0: the system is not in reset; bit 1: A20.
        public var outputPort: UInt8 = 0xC3
        /// The command that waits for its byte at port 0x60; 0: none does.
        public var waiting: UInt8 = 0

        public init() {
            memory = .zero
            memory[0] = CommandByte([.translates, .systemFlag, .interrupt]).rawValue
        }
    }

    public private(set) var state = State()

    public init() {}

    public mutating func reset() { state = State() }

    /// Takes over a saved state. False, and nothing changes, where it is none that the controller gets into.
    public mutating func restore(_ saved: State) -> Bool {
        let mayWait = Self.writesMemory.contains(saved.waiting) || [0, 0xD1, 0xD2].contains(saved.waiting)
        guard saved.status.isSubset(of: .kept), saved.outputPort & 1 != 0, mayWait else { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// Port 0x64.
    public var status: UInt8 { state.status.rawValue }

    /// Port 0x60, without the effect of reading it.
    public var peekedData: UInt8 { state.output }

    /// Port 0x60.
    public mutating func readData() -> UInt8 {
        state.status.remove(.outputFull)
        return state.output
    }

    /// Port 0x60. True: the write pulses the machine's reset.
    public mutating func writeData(_ value: UInt8) -> Bool {
        let command = state.waiting
        state.waiting = 0
        state.status.remove(.command)
        switch command {
        case Self.writesMemory:
            state.memory[Int(command & 31)] = value
            if command == 0x60 { systemFlag = commandByte.contains(.systemFlag) }
        case Self.writesOutputPort:
            state.outputPort = value | 1
            return value & 1 == 0
        case Self.writesOutputBuffer: answer(value)
        default:
            // For the keyboard, whose interface this enables: RESEND, which the controller says where nobody answers.
            state.memory[0] &= ~CommandByte.keyboardDisabled.rawValue
            answer(0xFE, .timeout)
        }
        return false
    }

    /// Port 0x64. True: the write pulses the machine's reset.
    public mutating func writeCommand(_ command: UInt8) -> Bool {
        state.waiting = 0
        state.status.insert(.command)
        switch command {
        case 0x20...0x3F: answer(state.memory[Int(command & 31)])
        case Self.writesMemory, Self.writesOutputPort, Self.writesOutputBuffer: state.waiting = command
        // No password; no auxiliary port: its clock line is stuck low.
        case 0xA4: answer(0xF1)
        case 0xA9: answer(0x01)
        case 0xAA:
            systemFlag = true
            answer(0x55)
        // The lines to the keyboard are as they should be: nothing pulls them down.
        case 0xAB: answer(0x00)
        case 0xAD: state.memory[0] |= CommandByte.keyboardDisabled.rawValue
        case 0xAE: state.memory[0] &= ~CommandByte.keyboardDisabled.rawValue
        // Not locked, second 256 KB of RAM on the board.
        case 0xC0: answer(0xA0)
        case 0xD0: answer(state.outputPort & ~0x10 | (interruptAsserted ? 0x10 : 0))
        // Clock and data of the keyboard are high.
        case 0xE0: answer(0x03)
        // F0 to FF pulse those of output bits 3:0 whose bit is 0. Output bit 0 is the system's reset.
        case 0xF0...0xFF: return command & 1 == 0
        default: break
        }
        return false
    }

    private var commandByte: CommandByte { CommandByte(rawValue: state.memory[0]) }

    private var systemFlag: Bool {
        get { state.status.contains(.systemFlag) }
        set {
            if newValue { state.status.insert(.systemFlag) } else { state.status.remove(.systemFlag) }
            let flag = CommandByte.systemFlag.rawValue
            state.memory[0] = newValue ? state.memory[0] | flag : state.memory[0] & ~flag
        }
    }

    private mutating func answer(_ value: UInt8, _ condition: Status = []) {
        state.output = value
        state.status.remove(.timeout)
        state.status.formUnion([.outputFull, condition])
    }

    // MARK: Pins, derived from the state and never stored

    /// IRQ 1.
    public var interruptAsserted: Bool { state.status.contains(.outputFull) && commandByte.contains(.interrupt) }
}
