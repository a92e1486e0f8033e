/// A drive as the machine describes it: nothing here changes while the machine runs but a drive's disc, and none of it is in a snapshot.
public struct Drive: Sendable {
    /// Why a drive cannot be as described.
    public enum Problem: Error, Equatable, Sendable {
        /// More sectors than 48-bit addresses reach.
        case tooManySectors(UInt64)
        /// Cylinders 1...65535, heads 1...16, sectors per track 1...255 are what the registers can hold.
        case geometryOutOfRange(CHS)
        /// The geometry names more sectors than the drive has.
        case geometryLargerThanDrive(CHS, sectors: UInt64)
        /// A disc has 1 to 2^32 - 1 blocks of 2048 bytes.
        case noDisc(sectors: UInt64)
    }

    public static let maximumSectors: UInt64 = 1 << 48
    /// No drive in this place.
    public static let absent = Drive()

    /// What stands in the place: a disk by the ATA command set, or a CD-ROM drive by the packet commands of MMC.
    public enum Kind: Sendable { case disk, cdrom }

    public let kind: Kind
    /// 512-byte sectors; 0: not present. Of a CD-ROM drive: of its disc, which has a quarter as many blocks.
    public let sectors: UInt64
    public let readOnly: Bool
    /// IDENTIFY DEVICE: up to 40, 20 and 8 characters of ASCII; longer is cut, what is not printable becomes `?`.
    public let model: String
    public let serial: String
    public let firmware: String
    /// The default translation, which holds after power-on.
    public let geometry: CHS

    /// - Parameter geometry: the default translation; nil for the usual one, `CHS(sectors:)`.
    public init(
        sectors: UInt64, readOnly: Bool = false, model: String = "BACKPLANE DISK", serial: String = "",
        firmware: String = "1.0", geometry: CHS? = nil, kind: Kind = .disk
    ) throws(Problem) {
        guard sectors <= Self.maximumSectors else { throw .tooManySectors(sectors) }
        if kind == .cdrom, sectors > 0, !(1...UInt64(UInt32.max)).contains(sectors / 4) {
            throw .noDisc(sectors: sectors)
        }
        if let geometry, sectors > 0 {
            guard geometry.isEncodable else { throw .geometryOutOfRange(geometry) }
            guard geometry.capacity <= sectors else { throw .geometryLargerThanDrive(geometry, sectors: sectors) }
        }
        self.kind = kind
        self.sectors = sectors
        self.readOnly = readOnly || kind == .cdrom
        self.model = model
        self.serial = serial
        self.firmware = firmware
        self.geometry = geometry ?? CHS(sectors: sectors)
    }

    private init() {
        (kind, sectors, readOnly, model, serial, firmware) = (.disk, 0, false, "", "", "")
        geometry = CHS(sectors: 0)
    }

    /// The same CD-ROM drive with another disc in it, of so many sectors of 512 bytes.
    func holding(_ sectors: UInt64) throws(Problem) -> Drive {
        guard sectors > 0 else { throw .noDisc(sectors: sectors) }
        return try Drive(
            sectors: sectors, readOnly: readOnly, model: model, serial: serial, firmware: firmware, kind: kind)
    }

    public var isPresent: Bool { sectors > 0 }
    var isPacketDevice: Bool { kind == .cdrom && isPresent }
    /// Blocks of 2048 bytes on its disc.
    var blocks: UInt64 { sectors / 4 }

    /// A text as drives tell it: ASCII, padded with spaces; longer is cut, what is not printable becomes `?`.
    static func characters(_ text: String, count: Int) -> [UInt8] {
        let bytes = text.unicodeScalars.prefix(count).map { scalar in
            (0x20...0x7E).contains(scalar.value) ? UInt8(truncatingIfNeeded: scalar.value) : 0x3F
        }
        return bytes + [UInt8](repeating: 0x20, count: count - bytes.count)
    }

    /// What IDENTIFY DEVICE words 60-61 report: 28-bit capacity stops at 0x0FFFFFFF.
    var sectorsLBA28: UInt32 { UInt32(truncatingIfNeeded: min(sectors, 0x0FFF_FFFF)) }
    /// What words 100-103 report.
    var sectorsLBA48: UInt64 { min(sectors, Self.maximumSectors - 1) }

    /// INITIALIZE DEVICE PARAMETERS: the translation that the host asked for, over as many sectors as CHS may name
    /// (ATA/ATAPI-5 annex C: a drive beyond 16,514,064 sectors offers no more than these).
    func translation(heads: UInt8, sectorsPerTrack: UInt8) -> CHS {
        let reachable = min(sectors, max(CHS.addressable, geometry.capacity))
        let perCylinder = UInt64(heads) &* UInt64(sectorsPerTrack)
        let cylinders = perCylinder == 0 ? 0 : min(reachable / perCylinder, 65535)
        return CHS(
            cylinders: UInt16(truncatingIfNeeded: cylinders), heads: heads, sectorsPerTrack: sectorsPerTrack)
    }
}

/// A translation of cylinders, heads and sectors to logical blocks (ATA/ATAPI-5 annex C; obsolete in ATA-6).
public struct CHS: Equatable, Sendable {
    /// 16383 * 16 * 63: what the default translation of a large drive reaches.
    static let addressable: UInt64 = 16_514_064

    public var cylinders: UInt16
    public var heads: UInt8
    public var sectorsPerTrack: UInt8

    public init(cylinders: UInt16, heads: UInt8, sectorsPerTrack: UInt8) {
        self.cylinders = cylinders
        self.heads = heads
        self.sectorsPerTrack = sectorsPerTrack
    }

    /// The usual translation: 63 sectors, 16 heads, up to 16383 cylinders. A drive of less than one such cylinder has
    /// fewer heads, one of less than a track has a shorter track, so that every drive has at least one cylinder.
    public init(sectors: UInt64) {
        guard sectors > 0 else {
            self.init(cylinders: 0, heads: 0, sectorsPerTrack: 0)
            return
        }
        let track = min(sectors, 63)
        let heads = min(sectors / track, 16)
        let cylinders = min(sectors / (track &* heads), 16383)
        self.init(
            cylinders: UInt16(truncatingIfNeeded: cylinders), heads: UInt8(truncatingIfNeeded: heads),
            sectorsPerTrack: UInt8(truncatingIfNeeded: track))
    }

    /// Sectors that it can name.
    public var capacity: UInt64 { UInt64(cylinders) &* UInt64(heads) &* UInt64(sectorsPerTrack) }

    var isEncodable: Bool { cylinders > 0 && (1...16).contains(heads) && sectorsPerTrack > 0 }

    /// The logical block, or nil where there is no such cylinder, head or sector. Sectors count from 1.
    func block(cylinder: UInt16, head: UInt8, sector: UInt8) -> UInt64? {
        guard cylinder < cylinders, head < heads, sector >= 1, sector <= sectorsPerTrack else { return nil }
        return (UInt64(cylinder) &* UInt64(heads) &+ UInt64(head)) &* UInt64(sectorsPerTrack) &+ UInt64(sector) &- 1
    }

    /// The address of a block; of the block after the last one, the first sector of the cylinder after the last.
    func address(of block: UInt64) -> (cylinder: UInt16, head: UInt8, sector: UInt8) {
        guard heads > 0, sectorsPerTrack > 0 else { return (0, 0, 0) }
        let track = block / UInt64(sectorsPerTrack)
        return (
            UInt16(truncatingIfNeeded: track / UInt64(heads)), UInt8(truncatingIfNeeded: track % UInt64(heads)),
            UInt8(truncatingIfNeeded: block % UInt64(sectorsPerTrack) &+ 1)
        )
    }
}
