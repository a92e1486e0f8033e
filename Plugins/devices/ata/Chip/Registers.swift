// The registers of an ATA channel (ATA/ATAPI-6, T13/1410D, chapter 7).

/// Status register and Alternate Status register. Bits 1 (IDX) and 2 (CORR) are obsolete and never set:
/// a medium that a host file stands for needs no correction.
public struct Status: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let error = Self(rawValue: 1 << 0)  // ERR
    public static let dataRequest = Self(rawValue: 1 << 3)  // DRQ
    /// DSC: command-specific since ATA-4; hosts before that wait for it, so it is set whenever DRDY is.
    public static let seekComplete = Self(rawValue: 1 << 4)
    public static let deviceFault = Self(rawValue: 1 << 5)  // DF
    public static let ready = Self(rawValue: 1 << 6)  // DRDY
    public static let busy = Self(rawValue: 1 << 7)  // BSY
}

/// Error register after a command that ended with ERR. Bit 6 has two names because the command decides.
public struct ErrorBits: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let aborted = Self(rawValue: 1 << 2)  // ABRT
    public static let idNotFound = Self(rawValue: 1 << 4)  // IDNF
    public static let uncorrectable = Self(rawValue: 1 << 6)  // UNC, reads and verifies
    public static let writeProtected = Self(rawValue: 1 << 6)  // WP, writes
}

/// Error register after a reset or EXECUTE DEVICE DIAGNOSTIC: a code, not a set of bits.
public enum DiagnosticCode: UInt8, Sendable { case passed = 0x01 }

/// Device Control register, write only.
public struct DeviceControl: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let interruptDisable = Self(rawValue: 1 << 1)  // nIEN
    public static let softwareReset = Self(rawValue: 1 << 2)  // SRST
    public static let highOrderByte = Self(rawValue: 1 << 7)  // HOB
    static let implemented: Self = [.interruptDisable, .softwareReset, .highOrderByte]
}

/// Device register, Device/Head before ATA-6: read back as it was written, obsolete bits 7 and 5 too.
public struct DeviceSelect: Equatable, Sendable {
    public var rawValue: UInt8 = 0
    public init(rawValue: UInt8 = 0) { self.rawValue = rawValue }

    /// DEV: 0 or 1.
    public var index: UInt8 { (rawValue >> 4) & 1 }
    public var isLBA: Bool { rawValue & 0x40 != 0 }
    /// The head, or bits 27:24 of a 28-bit LBA.
    public var low: UInt8 {
        get { rawValue & 0x0F }
        set { rawValue = (rawValue & 0xF0) | (newValue & 0x0F) }
    }
}

/// Offsets in the Command Block, from its base (0x1F0 for the first channel of a PC).
enum Register {
    static let data: UInt8 = 0
    static let errorOrFeatures: UInt8 = 1
    static let sectorCount: UInt8 = 2
    static let lbaLow: UInt8 = 3
    static let lbaMid: UInt8 = 4
    static let lbaHigh: UInt8 = 5
    static let device: UInt8 = 6
    static let statusOrCommand: UInt8 = 7
}

/// The commands that are executed; every other code is aborted. The codes with `ATA3` are those of the power
/// management commands before ATA-4, which drivers of that time try as well.
enum Opcode: UInt8 {
    case nop = 0x00, deviceReset = 0x08
    case readSectors = 0x20, readSectorsNoRetry = 0x21, readSectorsExt = 0x24
    case readDMAExt = 0x25, readNativeMaxExt = 0x27, readMultipleExt = 0x29
    case writeSectors = 0x30, writeSectorsNoRetry = 0x31, writeSectorsExt = 0x34, writeDMAExt = 0x35
    case writeMultipleExt = 0x39
    case verify = 0x40, verifyNoRetry = 0x41, verifyExt = 0x42
    case executeDiagnostic = 0x90, initializeParameters = 0x91
    case packet = 0xA0, identifyPacketDevice = 0xA1
    case standbyImmediateATA3 = 0x94, idleImmediateATA3 = 0x95, standbyATA3 = 0x96, idleATA3 = 0x97
    case checkPowerModeATA3 = 0x98, sleepATA3 = 0x99
    case readMultiple = 0xC4, writeMultiple = 0xC5, setMultipleMode = 0xC6
    case readDMA = 0xC8, readDMANoRetry = 0xC9, writeDMA = 0xCA, writeDMANoRetry = 0xCB
    case standbyImmediate = 0xE0, idleImmediate = 0xE1, standby = 0xE2, idle = 0xE3
    case checkPowerMode = 0xE5, sleep = 0xE6, flushCache = 0xE7, flushCacheExt = 0xEA
    case identifyDevice = 0xEC, setFeatures = 0xEF
    case readNativeMax = 0xF8

    /// RECALIBRATE and SEEK own sixteen codes each: ATA-1 had the step rate in the low bits.
    static let recalibrate: ClosedRange<UInt8> = 0x10...0x1F
    static let seek: ClosedRange<UInt8> = 0x70...0x7F
}

/// SET FEATURES subcommands, in the Features register.
enum Feature: UInt8 {
    case enableWriteCache = 0x02, disableWriteCache = 0x82
    case setTransferMode = 0x03
    case disableLookAhead = 0x55, enableLookAhead = 0xAA
    case keepSettings = 0x66, revertSettings = 0xCC
}
