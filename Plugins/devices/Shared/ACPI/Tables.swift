/// The tables of ACPI but for the name space. Source: ACPI 6.5, 5.2; MCFG: PCI Firmware Specification 3.2; WAET: Microsoft.
/// Each is a description whose `bytes` have a zero checksum and zero addresses: `ACPITableSet` links them.
public protocol ACPITable {
    var signature: String { get }
    var revision: UInt8 { get }
    /// What follows the header of 36 bytes.
    var body: [UInt8] { get }
}

extension ACPITable {
    /// Header and body. The OEM's names are this program's.
    public var bytes: [UInt8] {
        let body = body
        return [UInt8](fixed: signature, 4) + UInt32(clamping: body.count + 36).littleEndianBytes + [revision, 0]
            + [UInt8](fixed: "BCKPLN", 6, filler: 0x20) + [UInt8](fixed: "BACKPLNE", 8) + UInt32(1).littleEndianBytes
            + [UInt8](fixed: "BPLN", 4) + UInt32(1).littleEndianBytes + body
    }
}

/// DSDT or SSDT.
public struct DefinitionBlock: ACPITable, Equatable, Sendable {
    public var signature: String
    /// 1: AML integers have 32 bits; from 2 on 64.
    public var revision: UInt8
    public var terms: [AML]
    public var body: [UInt8] { AML(terms).bytes }

    public init(signature: String = "DSDT", revision: UInt8 = 2, _ terms: [AML]) {
        (self.signature, self.revision, self.terms) = (signature, revision, terms)
    }
}

/// Fixed description table: revision 1 (116 bytes) and 3 (244 bytes, with the reset register).
public struct FixedDescription: ACPITable, Equatable, Sendable {
    public struct Flags: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let wbinvd = Self(rawValue: 1 << 0)
        public static let allCPUsHaveC1 = Self(rawValue: 1 << 2)
        /// The button is a device of the name space (a control method), not in PM1.
        public static let powerButtonIsDevice = Self(rawValue: 1 << 4)
        public static let sleepButtonIsDevice = Self(rawValue: 1 << 5)
        public static let rtcWakesNotFixed = Self(rawValue: 1 << 6)
        public static let timerHas32Bits = Self(rawValue: 1 << 8)
        public static let hasResetRegister = Self(rawValue: 1 << 10)
        public static let usesPlatformClock = Self(rawValue: 1 << 15)
    }

    public struct BootArchitecture: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        public static let legacyDevices = Self(rawValue: 1 << 0)
        public static let keyboardController = Self(rawValue: 1 << 1)
        public static let noVGA = Self(rawValue: 1 << 2)
        public static let noMSI = Self(rawValue: 1 << 3)
        public static let noRTC = Self(rawValue: 1 << 5)
    }

    /// A block of ports; 0, 0: there is none.
    public struct Block: Equatable, Sendable {
        public var port: UInt16
        public var length: UInt8
        public init(_ port: UInt16 = 0, _ length: UInt8 = 0) { (self.port, self.length) = (port, length) }
    }

    public let signature = "FACP"
    public var revision: UInt8 = 3
    public var sciInterrupt: UInt16 = 9
    /// SMI_CMD with the values that switch ACPI on and off; port 0: ACPI is always on.
    public var commandPort: UInt16 = 0
    public var enableValue: UInt8 = 0
    public var disableValue: UInt8 = 0
    public var events = Block()
    public var control = Block()
    public var timer = Block()
    public var generalEvents = Block()
    /// Index of the century in CMOS, 0: none.
    public var centuryIndex: UInt8 = 0
    public var boot: BootArchitecture = []
    public var flags: Flags = []
    /// Port and value of a reset, with the flag `hasResetRegister`.
    public var resetPort: UInt16 = 0
    public var resetValue: UInt8 = 0

    public init() {}

    static let facsOffset = 36
    static let dsdtOffset = 40
    static let extendedDSDTOffset = 140

    public var body: [UInt8] {
        let old = pointersAndCommands + blocks + latenciesAndFlags
        return revision < 3 ? old : old + extended
    }

    /// Offsets 36 to 55.
    private var pointersAndCommands: [UInt8] {
        [UInt8](repeating: 0, count: 8) + [0, 0] + sciInterrupt.littleEndianBytes
            + UInt32(commandPort).littleEndianBytes
            + [enableValue, disableValue, 0, 0]
    }

    /// Offsets 56 to 95: PM1a and PM1b event, PM1a and PM1b control, PM2, timer, GPE0, GPE1; then their lengths.
    private var blocks: [UInt8] {
        let ports = [events.port, 0, control.port, 0, 0, timer.port, generalEvents.port, 0]
        return ports.flatMap { UInt32($0).littleEndianBytes }
            + [events.length, control.length, 0, timer.length, generalEvents.length, 0, 0, 0]
    }

    /// Offsets 96 to 115. Latencies above 100 and 1000 microseconds: no C2 and C3. Revision 1 knows flags 0 to 9.
    private var latenciesAndFlags: [UInt8] {
        [UInt16(0xFFF), 0xFFF, 0, 0].flatMap(\.littleEndianBytes) + [0, 0, 0, 0, centuryIndex]
            + (revision < 3 ? 0 : boot.rawValue).littleEndianBytes + [0]
            + (revision < 3 ? flags.rawValue & 0x3FF : flags.rawValue).littleEndianBytes
    }

    /// Offsets 116 to 243.
    private var extended: [UInt8] {
        Self.address(Block(resetPort, resetPort == 0 ? 0 : 1)) + [resetValue, 0, 0, 0]
            + [UInt8](repeating: 0, count: 16)
            + [events, Block(), control, Block(), Block(), timer, generalEvents, Block()].flatMap(Self.address)
    }

    /// Generic address structure of ports.
    private static func address(_ block: Block) -> [UInt8] {
        guard block.length > 0 else { return [UInt8](repeating: 0, count: 12) }
        return [1, UInt8(truncatingIfNeeded: UInt16(block.length) * 8), 0, 0] + UInt64(block.port).littleEndianBytes
    }
}

/// MADT.
public struct InterruptControllers: ACPITable, Equatable, Sendable {
    public enum Entry: Equatable, Sendable {
        case localAPIC(processor: UInt8, id: UInt8, isEnabled: Bool)
        case ioAPIC(id: UInt8, address: UInt32, firstInterrupt: UInt32)
        /// ISA's `irq` is `interrupt`; flags as in MPS INTI: 0 as the bus says, 5 edge high, 13 level high, 15 level low.
        case override(irq: UInt8, interrupt: UInt32, flags: UInt16)
        /// LINT `line` of `processor` (0xFF: all) is NMI.
        case localNMI(processor: UInt8, line: UInt8, flags: UInt16)
    }

    public let signature = "APIC"
    public let revision: UInt8 = 1
    public var localAPICAddress: UInt32 = 0xFEE0_0000
    public var hasPICs = true
    public var entries: [Entry]

    public init(_ entries: [Entry]) { self.entries = entries }

    public var body: [UInt8] {
        localAPICAddress.littleEndianBytes + UInt32(hasPICs ? 1 : 0).littleEndianBytes + entries.flatMap(Self.bytes)
    }

    private static func bytes(_ entry: Entry) -> [UInt8] {
        switch entry {
        case .localAPIC(let processor, let id, let isEnabled):
            [0, 8, processor, id] + UInt32(isEnabled ? 1 : 0).littleEndianBytes
        case .ioAPIC(let id, let address, let first):
            [1, 12, id, 0] + address.littleEndianBytes + first.littleEndianBytes
        case .override(let irq, let interrupt, let flags):
            [2, 10, 0, irq] + interrupt.littleEndianBytes + flags.littleEndianBytes
        case .localNMI(let processor, let line, let flags): [4, 6, processor] + flags.littleEndianBytes + [line]
        }
    }
}

/// MCFG: where ECAM is.
public struct ConfigurationSpace: ACPITable, Equatable, Sendable {
    public let signature = "MCFG"
    public let revision: UInt8 = 1
    public var address: UInt64
    public var buses: ClosedRange<UInt8>

    public init(address: UInt64, buses: ClosedRange<UInt8>) { (self.address, self.buses) = (address, buses) }

    public var body: [UInt8] {
        [UInt8](repeating: 0, count: 8) + address.littleEndianBytes + [
            0, 0, buses.lowerBound, buses.upperBound, 0, 0, 0, 0,
        ]
    }
}

/// WAET: Windows need not acknowledge the RTC twice, nor read the PM timer three times.
public struct EmulatedDevices: ACPITable, Equatable, Sendable {
    public let signature = "WAET"
    public let revision: UInt8 = 1
    public var clockIsGood: Bool
    public var timerIsGood: Bool

    public init(clockIsGood: Bool, timerIsGood: Bool) {
        (self.clockIsGood, self.timerIsGood) = (clockIsGood, timerIsGood)
    }

    public var body: [UInt8] { UInt32((clockIsGood ? 1 : 0) | (timerIsGood ? 2 : 0)).littleEndianBytes }
}
