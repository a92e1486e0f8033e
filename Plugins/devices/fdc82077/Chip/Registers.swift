// Registers (section 2.1) and the status bytes of results (section 6).

/// DOR.
public struct OutputRegister: OptionSet, Equatable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    static let notReset = Self(rawValue: 1 << 2)
    /// DMAGATE#: INT and DRQ leave the chip; in AT mode.
    static let gate = Self(rawValue: 1 << 3)

    var drive: Int { Int(rawValue & 3) }
    func hasMotor(_ unit: Int) -> Bool { rawValue &>> UInt8(4 + (unit & 3)) & 1 != 0 }
}

/// MSR. Bits 3:0 are the drives that seek.
struct MainStatus: OptionSet {
    let rawValue: UInt8
    static let commandBusy = Self(rawValue: 1 << 4)
    static let nonDMA = Self(rawValue: 1 << 5)
    /// DIO: the host is to read.
    static let toHost = Self(rawValue: 1 << 6)
    /// RQM: the host may read or write a byte.
    static let request = Self(rawValue: 1 << 7)
}

/// ST0 but drive (1:0) and head (2).
struct Status0: OptionSet {
    let rawValue: UInt8
    static let equipmentCheck = Self(rawValue: 1 << 4)
    static let seekEnd = Self(rawValue: 1 << 5)
    /// IC, bits 7:6: abnormal, invalid, and by polling.
    static let abnormal = Self(rawValue: 0x40)
    static let invalid = Self(rawValue: 0x80)
    static let polled = Self(rawValue: 0xC0)
}

/// ST1.
public struct Status1: OptionSet, Equatable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    static let missingAddressMark = Self(rawValue: 1 << 0)
    static let notWritable = Self(rawValue: 1 << 1)
    static let noData = Self(rawValue: 1 << 2)
    static let overrun = Self(rawValue: 1 << 4)
    static let dataError = Self(rawValue: 1 << 5)
    static let endOfCylinder = Self(rawValue: 1 << 7)
    static let all: Self = [
        .missingAddressMark, .notWritable, .noData, .overrun, .dataError, .endOfCylinder,
    ]
}

/// ST2.
public struct Status2: OptionSet, Equatable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    static let wrongCylinder = Self(rawValue: 1 << 4)
    static let dataErrorInData = Self(rawValue: 1 << 5)
    /// The sector has the other address mark.
    static let controlMark = Self(rawValue: 1 << 6)
    static let all: Self = [.wrongCylinder, .dataErrorInData, .controlMark]
}

/// The second byte of CONFIGURE.
public struct Configuration: OptionSet, Equatable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue & 0x7F }

    static let impliedSeeks = Self(rawValue: 1 << 6)
    /// EFIFO.
    static let fifoDisabled = Self(rawValue: 1 << 5)
    static let pollingDisabled = Self(rawValue: 1 << 4)
    /// What LOCK keeps from a software reset.
    static let lockable = Self(rawValue: 0x2F)

    var threshold: Int { Int(rawValue & 0xF) + 1 }
}

/// What the first byte of a command means (table 5-1).
enum Opcode: UInt8, CaseIterable {
    case readTrack = 0x02
    case specify = 0x03
    case senseDriveStatus = 0x04
    case writeData = 0x05
    case readData = 0x06
    case recalibrate = 0x07
    case senseInterrupt = 0x08
    case writeDeleted = 0x09
    case readID = 0x0A
    case readDeleted = 0x0C
    case formatTrack = 0x0D
    case dumpRegisters = 0x0E
    case seek = 0x0F
    case version = 0x10
    case perpendicular = 0x12
    case configure = 0x13
    case lock = 0x14
    case verify = 0x16
    case relativeSeek = 0x8F

    /// nil: an invalid command.
    init?(byte: UInt8) {
        guard let code = Self.allCases.first(where: { byte & ~$0.options == $0.rawValue }) else { return nil }
        self = code
    }

    /// Bits of the byte that are not the code's: MT, MFM, SK, DIR, LOCK.
    private var options: UInt8 {
        switch self {
        case .readData, .readDeleted, .verify: 0xE0
        case .writeData, .writeDeleted: 0xC0
        case .readTrack, .readID, .formatTrack, .relativeSeek: 0x40
        case .lock: 0x80
        default: 0
        }
    }

    /// Bytes of the command phase.
    var length: Int {
        switch self {
        case .readData, .readDeleted, .writeData, .writeDeleted, .readTrack, .verify: 9
        case .formatTrack: 6
        case .configure: 4
        case .specify, .seek, .relativeSeek: 3
        case .senseDriveStatus, .recalibrate, .readID, .perpendicular: 2
        case .senseInterrupt, .dumpRegisters, .version, .lock: 1
        }
    }

    /// It has an execution phase on the disk.
    var isOnDisk: Bool { length > 4 || self == .readID }
    var writes: Bool { self == .writeData || self == .writeDeleted || self == .formatTrack }
    /// In the execution phase bytes go from or to the host.
    var movesData: Bool { isOnDisk && self != .verify && self != .readID }
}
