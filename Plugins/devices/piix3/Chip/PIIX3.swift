import PCIConfiguration

/// Intel PIIX3 (82371SB), function 0: PCI interrupts to ISA lines, their edge/level register, reset control, and the two
/// ports of advanced power management.
///
/// Source: Intel 82371FB (PIIX) and 82371SB (PIIX3) data sheet (290550), 2.2 and 2.5. Comments name its registers.
///
/// Departures, and who needs them:
/// - A soft reset (RCPU without SRST) is told apart, and is for the machine to decide on.
///
/// Not modelled: what the bus, decode and management registers do (they keep what is written), SMI, and the motherboard's own
/// interrupt and DMA routes. DMA controllers, timer, NMI ports and interrupt controllers are chips of their own.
public struct PIIX3: Sendable {
    // MARK: Registers

    /// Ports beside configuration space.
    public enum Port: UInt16, Sendable {
        case apmControl = 0xB2
        case apmStatus = 0xB3
        /// Edge or level of interrupts 0 to 7, and 8 to 15.
        case edgeLevel1 = 0x4D0
        case edgeLevel2 = 0x4D1
        case resetControl = 0xCF9
    }

    /// RC, port 0xCF9.
    public struct ResetControl: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// SRST: the whole system, not the processor alone.
        public static let systemReset = Self(rawValue: 1 << 1)
        /// RCPU: resets where it goes from 0 to 1.
        public static let resetCPU = Self(rawValue: 1 << 2)
        static let kept: Self = [.systemReset, .resetCPU]
    }

    static let routes: UInt32 = 0x60

    // MARK: State: a snapshot is exactly this and the configuration space

    public struct State: Equatable, Sendable {
        public var configuration: ConfigurationSpace.State
        public var resetControl: ResetControl = []
        public var apmControl: UInt8 = 0
        public var apmStatus: UInt8 = 0
        /// ELCR: bit n set: interrupt n is level triggered.
        public var edgeLevel: UInt16 = 0
    }

    public private(set) var configuration: ConfigurationSpace
    private var resetControl: ResetControl = []
    private var apmControl: UInt8 = 0
    private var apmStatus: UInt8 = 0
    public private(set) var edgeLevel: UInt16 = 0

    /// Host side: the levels of PIRQ A to D in bits 3:0, 1 where asserted. Not state: PCI functions drive them.
    public var pirqs: UInt8 = 0

    public init() throws(LayoutError) {
        var layout = ConfigurationSpace.Layout(
            .function, .init(vendor: 0x8086, device: 0x7000, classCode: 0x06_01_00))
        try layout.redefine(0x04, width: 2, reset: 0x0007, writable: 0x0108)  // PCICMD
        try layout.redefine(0x0C, width: 2, reset: 0)
        try layout.redefine(0x3C, width: 1, reset: 0)
        for (offset, width, reset, writable) in Self.registers {
            try layout.define(offset, width: width, reset: reset, writable: writable)
        }
        configuration = ConfigurationSpace(layout)
    }

    /// Offset, width, reset value and writable bits.
    private static let registers: [(UInt32, UInt32, UInt32, UInt32)] = [
        (0x4C, 1, 0x4D, 0xFF),  // IORT
        (0x4E, 2, 0x0003, 0x01FF),  // XBCS
        (0x60, 4, 0x8080_8080, 0x8F8F_8F8F),  // PIRQRC
        (0x69, 1, 0x02, 0xFE),  // TOM
        (0x6A, 2, 0x0000, 0x0001),  // MSTAT
        (0x70, 1, 0x80, 0xEF),  // MBIRQ
        (0x76, 2, 0x0C0C, 0x8F8F),  // MBDMA
        (0x78, 2, 0x0002, 0xFFFF),  // PCSC
        (0x80, 1, 0x00, 0x7F),  // APICBASE
        (0x82, 1, 0x00, 0x0F),  // DLC
        (0xA0, 1, 0x08, 0x1F),  // SMICNTL
        (0xA2, 2, 0x0000, 0x01FF),  // SMIEN
        (0xA4, 4, 0x0000_0000, 0xE000_FFFF),  // SEE
        (0xA8, 1, 0x0F, 0xFF),  // FTMR
        (0xAA, 2, 0x0000, 0x01FF),  // SMIREQ
        (0xAC, 1, 0x00, 0xFF),  // CTLTMR
        (0xAE, 1, 0x00, 0xFF),  // CTHTMR
    ]

    public var state: State {
        State(
            configuration: configuration.state, resetControl: resetControl, apmControl: apmControl,
            apmStatus: apmStatus, edgeLevel: edgeLevel)
    }

    /// PWROK and PCIRST#.
    public mutating func reset() {
        configuration.reset()
        (resetControl, apmControl, apmStatus, edgeLevel) = ([], 0, 0, 0)
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.edgeLevel & ~Self.levelCapable == 0, saved.resetControl.isSubset(of: .kept),
            configuration.restore(saved.configuration)
        else { return false }
        (resetControl, apmControl, apmStatus) = (saved.resetControl, saved.apmControl, saved.apmStatus)
        edgeLevel = saved.edgeLevel
        return true
    }

    // MARK: Guest side

    /// Configuration space.
    public func read(_ offset: UInt32, width: UInt32) -> UInt32 { configuration.read(offset, width: width) }

    /// Configuration space. `lines` is to be read again.
    public mutating func write(_ offset: UInt32, width: UInt32, _ value: UInt32) {
        configuration.write(offset, width: width, value)
    }

    /// Has no side effect, so that it is the peek too.
    public func read(_ port: Port) -> UInt8 {
        switch port {
        case .apmControl: apmControl
        case .apmStatus: apmStatus
        case .edgeLevel1: UInt8(truncatingIfNeeded: edgeLevel)
        case .edgeLevel2: UInt8(truncatingIfNeeded: edgeLevel >> 8)
        case .resetControl: resetControl.rawValue
        }
    }

    /// What a write to a port asks for.
    public enum Request: Equatable, Sendable {
        case nothing
        /// The processor alone, by INIT.
        case softReset
        case hardReset
        /// A command for system management: what was written to 0xB2.
        case apm(UInt8)
        /// `edgeLevel` has changed.
        case edgeLevel
    }

    public mutating func write(_ port: Port, _ value: UInt8) -> Request {
        let before = edgeLevel
        switch port {
        case .apmControl:
            apmControl = value
            return .apm(value)
        case .apmStatus: apmStatus = value
        case .edgeLevel1: edgeLevel = (edgeLevel & 0xFF00 | UInt16(value)) & Self.levelCapable
        case .edgeLevel2: edgeLevel = (edgeLevel & 0x00FF | UInt16(value) << 8) & Self.levelCapable
        case .resetControl: return writeResetControl(ResetControl(rawValue: value).intersection(.kept))
        }
        return edgeLevel == before ? .nothing : .edgeLevel
    }

    private mutating func writeResetControl(_ value: ResetControl) -> Request {
        let rises = value.contains(.resetCPU) && !resetControl.contains(.resetCPU)
        resetControl = value
        guard rises else { return .nothing }
        return value.contains(.systemReset) ? .hardReset : .softReset
    }

    /// Interrupts 0, 1, 2, 8 and 13 are edges for ever.
    private static let levelCapable: UInt16 = 0xDEF8

    // MARK: Pins, derived from the state and never stored

    /// The ISA interrupt to which PIRQRC leads PIRQ A to D (0...3); nil: none, or a reserved one.
    public func route(_ pirq: Int) -> UInt8? {
        guard (0..<4).contains(pirq) else { return nil }
        let register = UInt8(truncatingIfNeeded: read(Self.routes &+ UInt32(pirq), width: 1))
        guard register & 0x80 == 0 else { return nil }
        return Self.levelCapable &>> UInt16(register & 0xF) & 1 != 0 ? register & 0xF : nil
    }

    /// The interrupt lines that PIRQs assert: bit n is ISA interrupt n.
    public var lines: UInt16 {
        var result: UInt16 = 0
        for pirq in 0..<4 where pirqs &>> UInt8(pirq) & 1 != 0 {
            if let line = route(pirq) { result |= 1 &<< UInt16(line) }
        }
        return result
    }
}
