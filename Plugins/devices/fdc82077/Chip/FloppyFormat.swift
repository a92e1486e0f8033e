/// How a floppy is recorded: sectors of 512 bytes in MFM, numbered from 1 in each track. An image has them by cylinder, head and sector.
public struct FloppyFormat: Equatable, Sendable {
    public let name: String
    public let heads: UInt8
    public let cylinders: UInt8
    /// Of a track.
    public let sectors: UInt8
    /// Those by which its sectors are found: double density of 5.25" turns in drives of 300 and of 360 revolutions a minute.
    public let rates: [DataRate]

    private init(_ name: String, _ heads: UInt8, _ cylinders: UInt8, _ sectors: UInt8, _ rates: [DataRate]) {
        (self.name, self.heads, self.cylinders, self.sectors, self.rates) = (name, heads, cylinders, sectors, rates)
    }

    public static let all = [
        FloppyFormat("160K", 1, 40, 8, [.kbps250, .kbps300]), FloppyFormat("180K", 1, 40, 9, [.kbps250, .kbps300]),
        FloppyFormat("320K", 2, 40, 8, [.kbps250, .kbps300]), FloppyFormat("360K", 2, 40, 9, [.kbps250, .kbps300]),
        FloppyFormat("720K", 2, 80, 9, [.kbps250]), FloppyFormat("1.2M", 2, 80, 15, [.kbps500]),
        FloppyFormat("1.44M", 2, 80, 18, [.kbps500]), FloppyFormat("2.88M", 2, 80, 36, [.mbps1]),
    ]

    public var sectorCount: UInt64 { UInt64(heads) * UInt64(cylinders) * UInt64(sectors) }

    /// That of an image, by its size alone; nil: no floppy has so many sectors.
    public init?(sectorCount: UInt64) {
        guard let format = Self.all.first(where: { $0.sectorCount == sectorCount }) else { return nil }
        self = format
    }

    /// Where in the image a sector is; nil: there is none on that track.
    func place(cylinder: UInt8, head: UInt8, sector: UInt8) -> UInt64? {
        guard cylinder < cylinders, head < heads, (1...sectors).contains(sector) else { return nil }
        return (UInt64(cylinder) * UInt64(heads) + UInt64(head)) * UInt64(sectors) + UInt64(sector) - 1
    }
}

/// DRATE, as DSR and CCR have it.
public enum DataRate: UInt8, Sendable { case kbps500, kbps300, kbps250, mbps1 }
