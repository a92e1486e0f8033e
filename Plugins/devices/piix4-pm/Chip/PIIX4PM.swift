import PCIConfiguration

/// Intel PIIX4 (82371AB), function 3: ACPI power management. Configuration space, the 64 bytes of I/O at PMBA, and the two
/// ports of advanced power management.
///
/// Source: Intel 82371AB (PIIX4) data sheet (290562), chapter 7; ACPI 1.0b, 4.7, for what the registers mean.
///
/// Departures, and who needs them:
/// - Without system management mode DEVACTB (0x58) has APMC_EN set after reset, so that SeaBIOS finds its management code
///   installed and does not wait for it; and the commands 0xF1 and 0xF0 at port 0xB2 set and clear SCI_EN, as that code does.
/// - PMBA and PMREGMISC may have other values after reset, for machines whose loader stands in for firmware.
/// - SMBBA and its companions read 0: there is no SMBus controller.
///
/// Not modelled: SMI, device monitors, throttling and C2/C3, thermal override, the GPI pins; their registers keep what
/// is written.
public struct PIIX4PM: Sendable {
    // MARK: Registers

    /// PM1_STS and PM1_EN, offsets 0 and 2.
    public struct PM1: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let timerOverflow = Self(rawValue: 1 << 0)
        public static let busMaster = Self(rawValue: 1 << 4)
        public static let global = Self(rawValue: 1 << 5)
        public static let powerButton = Self(rawValue: 1 << 8)
        public static let realTimeClock = Self(rawValue: 1 << 10)
        public static let powerButtonOverride = Self(rawValue: 1 << 11)
        public static let resume = Self(rawValue: 1 << 15)
        static let status: Self = [
            .timerOverflow, .busMaster, .global, .powerButton, .realTimeClock, .powerButtonOverride, .resume,
        ]
        /// What has an enable, and raises SCI.
        static let enables: Self = [.timerOverflow, .global, .powerButton, .realTimeClock]
    }

    /// PM1_CNT, offset 4.
    public struct Control: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let sciEnable = Self(rawValue: 1 << 0)
        public static let busMasterReload = Self(rawValue: 1 << 1)
        public static let suspendType = Self(rawValue: 0b111 << 10)  // a code
        static let suspendEnable = Self(rawValue: 1 << 13)  // write only
        static let kept: Self = [.sciEnable, .busMasterReload, .suspendType]
    }

    /// GPSTS and GPEN, offsets 0xC and 0xE.
    public struct GeneralPurpose: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let thermal = Self(rawValue: 1 << 0)
        public static let usb = Self(rawValue: 1 << 8)
        public static let generalInput = Self(rawValue: 1 << 9)
        public static let ring = Self(rawValue: 1 << 10)
        public static let lid = Self(rawValue: 1 << 11)
        static let all: Self = [.thermal, .usb, .generalInput, .ring, .lid]
    }

    /// Ports beside the 64 bytes; PIIX3 has the same, and no one to tell.
    public enum APMPort: UInt16, Sendable, CaseIterable { case control = 0xB2, status = 0xB3 }

    /// SUS_TYP with SUS_EN: what the system goes to.
    public enum Suspend: UInt8, Sendable {
        /// Soft off, or suspend to disk, which ends in the same: `_S5`.
        case off = 0
        /// Suspend to RAM.
        case toRAM = 1
        /// Powered on suspend with context lost, with the processor's context lost, with context kept.
        case poweredContextLost = 2
        case poweredCPUContextLost = 3
        case powered = 4
    }

    // MARK: State: a snapshot is exactly this

    public struct State: Equatable, Sendable {
        public var configuration: ConfigurationSpace.State
        public var status: PM1 = []
        public var enable: PM1 = []
        public var control: Control = []
        public var generalStatus: GeneralPurpose = []
        public var generalEnable: GeneralPurpose = []
        public var apmControl: UInt8 = 0
        public var apmStatus: UInt8 = 0
        /// The rest of the I/O space as it is read, always 64 bytes; those of registers above are 0.
        public var other: [UInt8]
        /// Up to where the timer has been looked at, ns.
        public var advancedTo: UInt64 = 0
    }

    public private(set) var configuration: ConfigurationSpace
    private var status: PM1 = []
    private var enable: PM1 = []
    private var control: Control = []
    private var generalStatus: GeneralPurpose = []
    private var generalEnable: GeneralPurpose = []
    private var apmControl: UInt8 = 0
    private var apmStatus: UInt8 = 0
    private var other = Self.otherAtReset
    private var advancedTo: UInt64 = 0
    /// A property of the machine.
    public let hasManagementMode: Bool

    /// - Parameters:
    ///   - hasManagementMode: the machine has system management mode and code for it.
    ///   - ioBase: PMBA after reset, a multiple of 64, and enabled; 0: firmware sets it, as on the real chip.
    public init(hasManagementMode: Bool = false, ioBase: UInt16 = 0) throws(LayoutError) {
        self.hasManagementMode = hasManagementMode
        var layout = ConfigurationSpace.Layout(
            .function, .init(vendor: 0x8086, device: 0x7113, revision: 0x03, classCode: 0x06_80_00),
            command: [.io], status: .fastBackToBack, interruptPin: 1)
        try layout.redefine(0x0C, width: 2, reset: 0)
        try layout.define(0x40, width: 4, reset: UInt32(ioBase & 0xFFC0) | 1, writable: 0xFFC0)  // PMBA
        for offset in Self.registers { try layout.define(offset, width: 4, writable: .max) }
        try layout.define(0x58, width: 4, reset: hasManagementMode ? 0 : 0x0200_0000, writable: .max)  // DEVACTB
        try layout.define(0x80, width: 1, reset: ioBase >= 64 ? 1 : 0, writable: 0x01)  // PMREGMISC
        configuration = ConfigurationSpace(layout)
    }

    /// 32-bit registers that keep what is written.
    private static let registers: [UInt32] = [
        0x44, 0x48,  // CNTA, CNTB
        0x4C, 0x50, 0x54,  // GPICTL, DEVRESD, DEVACTA
        0x5C, 0x60, 0x64, 0x68, 0x6C, 0x70, 0x74, 0x78, 0x7C,  // DEVRESA to DEVRESJ
    ]

    private static let otherAtReset: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes.replaceSubrange(0x34..<0x38, with: [0xFF, 0xBF, 0xFF, 0x7F])  // GPOREG
        return bytes
    }()

    /// Bits of the other registers that software writes: PCNTRL, GLBEN, GLBCTL, DEVCTL, GPOREG.
    private static let otherWritable: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 64)
        for offset in [0x10...0x13, 0x20...0x21, 0x28...0x2B, 0x2C...0x2F, 0x34...0x37].joined() {
            bytes[offset] = 0xFF
        }
        return bytes
    }()

    public var state: State {
        State(
            configuration: configuration.state, status: status, enable: enable, control: control,
            generalStatus: generalStatus, generalEnable: generalEnable, apmControl: apmControl, apmStatus: apmStatus,
            other: other, advancedTo: advancedTo)
    }

    /// PCIRST#. The timer runs on.
    public mutating func reset(at now: UInt64) {
        configuration.reset()
        (status, enable, control) = ([], [], [])
        (generalStatus, generalEnable, other) = ([], [], Self.otherAtReset)
        (apmControl, apmStatus) = (0, 0)
        advancedTo = now
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.status.isSubset(of: .status), saved.enable.isSubset(of: .enables),
            saved.control.isSubset(of: .kept), saved.generalStatus.isSubset(of: .all),
            saved.generalEnable.isSubset(of: .all), saved.other.count == 64,
            (0..<64).allSatisfy({ (saved.other[$0] ^ Self.otherAtReset[$0]) & ~Self.otherWritable[$0] == 0 }),
            configuration.restore(saved.configuration)
        else { return false }
        (status, enable, control) = (saved.status, saved.enable, saved.control)
        (generalStatus, generalEnable, other) = (saved.generalStatus, saved.generalEnable, saved.other)
        (apmControl, apmStatus) = (saved.apmControl, saved.apmStatus)
        advancedTo = saved.advancedTo
        return true
    }

    // MARK: Guest side: configuration space

    public func readConfiguration(_ offset: UInt32, width: UInt32) -> UInt32 {
        configuration.read(offset, width: width)
    }

    /// `ioBase` is to be read again.
    public mutating func writeConfiguration(_ offset: UInt32, width: UInt32, _ value: UInt32) {
        configuration.write(offset, width: width, value)
    }

    /// The port at which the 64 bytes begin; nil: they are off (PMREGMISC), or PMBA is 0.
    public var ioBase: UInt16? {
        let base = UInt16(truncatingIfNeeded: configuration.read(0x40, width: 2) & 0xFFC0)
        return configuration.read(0x80, width: 1) & 1 != 0 && base != 0 ? base : nil
    }

    // MARK: Guest side: I/O, offsets from PMBA

    /// Reads 1, 2 or 4 bytes. Has no effect on registers but to bring the timer's status to `now`.
    public mutating func read(_ offset: UInt32, width: UInt32, at now: UInt64) -> UInt32 {
        advance(to: now)
        return gather(offset, width, at: now)
    }

    /// What `read` would return, without its effect.
    public func peek(_ offset: UInt32, width: UInt32, at now: UInt64) -> UInt32 {
        var copy = self
        copy.advance(to: now)
        return copy.gather(offset, width, at: now)
    }

    /// Writes 1, 2 or 4 bytes.
    /// - Returns: what the system is to go to; nil: nothing.
    public mutating func write(_ offset: UInt32, width: UInt32, _ value: UInt32, at now: UInt64) -> Suspend? {
        advance(to: now)
        guard offset < 64 else { return nil }
        var suspend: Suspend?
        for i in 0..<min(width, 4) where offset &+ i < 64 {
            suspend = writeByte(offset &+ i, UInt8(truncatingIfNeeded: value &>> (i &* 8))) ?? suspend
        }
        return suspend
    }

    private func gather(_ offset: UInt32, _ width: UInt32, at now: UInt64) -> UInt32 {
        guard offset < 64 else { return .max }
        var value: UInt32 = 0
        for i in 0..<min(width, 4) { value |= UInt32(byte(offset &+ i, at: now)) &<< (i &* 8) }
        return value
    }

    private func byte(_ offset: UInt32, at now: UInt64) -> UInt8 {
        switch offset {
        case 0x00...0x0F:
            let word: UInt16
            switch offset / 2 {
            case 0: word = status.rawValue
            case 1: word = enable.rawValue
            case 2: word = control.rawValue
            case 4: word = UInt16(truncatingIfNeeded: timer(at: now))
            case 5: word = UInt16(truncatingIfNeeded: timer(at: now) >> 16)
            case 6: word = generalStatus.rawValue
            case 7: word = generalEnable.rawValue
            default: word = 0
            }
            return UInt8(truncatingIfNeeded: word &>> (UInt16(offset & 1) &* 8))
        case 0x10..<0x40: return other[Int(offset)]
        default: return 0xFF
        }
    }

    private mutating func writeByte(_ offset: UInt32, _ value: UInt8) -> Suspend? {
        let shift = UInt16(offset & 1) &* 8
        let (word, mask) = (UInt16(value) &<< shift, UInt16(0xFF) &<< shift)
        func merged(_ old: UInt16) -> UInt16 { old & ~mask | word }
        switch offset / 2 {
        case 0: status.subtract(PM1(rawValue: word))
        case 1: enable = PM1(rawValue: merged(enable.rawValue)).intersection(.enables)
        case 2:
            let written = Control(rawValue: merged(control.rawValue))
            control = written.intersection(.kept)
            guard offset & 1 == 1, written.contains(.suspendEnable) else { return nil }
            return Suspend(rawValue: UInt8(truncatingIfNeeded: control.rawValue >> 10 & 0b111))
        case 6: generalStatus.subtract(GeneralPurpose(rawValue: word))
        case 7: generalEnable = GeneralPurpose(rawValue: merged(generalEnable.rawValue)).intersection(.all)
        default:
            let writable = Self.otherWritable[Int(offset & 63)]
            other[Int(offset & 63)] = other[Int(offset & 63)] & ~writable | value & writable
        }
        return nil
    }

    /// PM_TMR: 24 bits.
    private func timer(at now: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: PMTimer.ticks(at: now)) & 0xFF_FFFF }

    // MARK: Guest side: advanced power management

    /// Has no side effect.
    public func read(_ port: APMPort) -> UInt8 { port == .control ? apmControl : apmStatus }

    /// A command raises SMI where the machine has management mode; where not, what its code would do for ACPI is done here
    /// (FADT's ACPI_ENABLE and ACPI_DISABLE).
    public mutating func write(_ port: APMPort, _ value: UInt8) {
        guard port == .control else { return apmStatus = value }
        apmControl = value
        guard !hasManagementMode else { return }
        switch value {
        case 0xF1: control.insert(.sciEnable)
        case 0xF0: control.remove(.sciEnable)
        default: break
        }
    }

    // MARK: Host side

    /// SCI_EN: an operating system listens. Without it power management is firmware's.
    public var isACPIEnabled: Bool { control.contains(.sciEnable) }

    /// Brings TMROF_STS to `now`. Every guest access does this itself.
    public mutating func advance(to now: UInt64) {
        guard now > advancedTo else { return }
        if PMTimer.changes(at: now) != PMTimer.changes(at: advancedTo) { status.insert(.timerOverflow) }
        advancedTo = now
    }

    /// When the SCI pin will next change by itself, ns; nil: nothing is due. Ask again after every call that changes the
    /// chip.
    public func nextEvent(at now: UInt64) -> UInt64? {
        guard control.contains(.sciEnable), enable.contains(.timerOverflow), !sciAsserted else { return nil }
        return PMTimer.nextChange(after: advancedTo).map { max($0, now) }
    }

    /// The power button was pressed for less than four seconds.
    public mutating func pressPowerButton() { status.insert(.powerButton) }

    /// The real-time clock's interrupt has risen.
    public mutating func signalRealTimeClock() { status.insert(.realTimeClock) }

    /// A general purpose event.
    public mutating func signal(_ events: GeneralPurpose) { generalStatus.formUnion(events.intersection(.all)) }

    /// The system comes back from a suspend.
    public mutating func resume() { status.insert(.resume) }

    // MARK: Pins, derived from the state and never stored

    /// SCI, IRQ 9 of a PC: a level. As of the last call that took a time.
    public var sciAsserted: Bool {
        control.contains(.sciEnable)
            && (!status.isDisjoint(with: enable) || !generalStatus.isDisjoint(with: generalEnable))
    }
}
