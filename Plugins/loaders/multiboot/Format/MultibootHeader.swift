import Images

/// The header by which a kernel is recognized.
/// Source: Multiboot Specification 0.6.96, section 3.1.
public struct MultibootHeader: Equatable, Sendable {
    // MARK: Fields

    /// Bits 0 to 15: a loader that does not know one must refuse. Bits 16 to 31: it may go on.
    public struct Flags: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let alignModules = Self(rawValue: 1 << 0)
        public static let memoryInformation = Self(rawValue: 1 << 1)
        public static let videoMode = Self(rawValue: 1 << 2)
        public static let addresses = Self(rawValue: 1 << 16)

        static let known: Self = [.alignModules, .memoryInformation, .videoMode]
        var unknownRequirements: Self { Self(rawValue: rawValue & 0xFFFF).subtracting(.known) }
    }

    /// Section 3.1.3: where an image of any format goes. All are physical.
    public struct Addresses: Equatable, Sendable {
        public var header, load, loadEnd, bssEnd, entry: UInt32
    }

    /// Section 3.1.4: what the kernel would like to have.
    public struct Video: Equatable, Sendable {
        /// 0: linear graphics, 1: text.
        public var type: UInt32
        public var width, height, depth: UInt32
    }

    /// In the file.
    public let offset: UInt64
    public let flags: Flags
    /// nil: the image's own format says.
    public let addresses: Addresses?
    public let video: Video?

    // MARK: Search

    static let magic: UInt32 = 0x1BAD_B002
    static let magic2: UInt32 = 0xE852_50D6

    /// The first header with a right checksum whose first three fields lie in the first 8192 bytes.
    public init(_ reader: ByteReader) throws(MultibootError) {
        guard let offset = try Self.find(reader), let flags = reader.u32(offset + 4) else {
            throw .noHeader
        }
        self.offset = offset
        self.flags = Flags(rawValue: flags)
        let unknown = self.flags.unknownRequirements
        guard unknown.isEmpty else { throw .unknownRequirements(unknown.rawValue) }
        let needed: UInt64 = self.flags.contains(.videoMode) ? 48 : self.flags.contains(.addresses) ? 32 : 12
        guard reader.slice(offset, needed) != nil else { throw .truncatedHeader(offset: offset, size: reader.count) }
        func field(_ number: UInt64) -> UInt32 { reader.u32(offset + 4 * number) ?? 0 }
        addresses =
            self.flags.contains(.addresses)
            ? Addresses(header: field(3), load: field(4), loadEnd: field(5), bssEnd: field(6), entry: field(7)) : nil
        video =
            self.flags.contains(.videoMode)
            ? Video(type: field(8), width: field(9), height: field(10), depth: field(11)) : nil
    }

    private static func find(_ reader: ByteReader) throws(MultibootError) -> UInt64? {
        var damaged: UInt64?
        for offset in stride(from: UInt64(0), through: 8192 - 12, by: 4) where reader.u32(offset) == magic {
            guard let flags = reader.u32(offset + 4), let checksum = reader.u32(offset + 8) else {
                throw .truncatedHeader(offset: offset, size: reader.count)
            }
            if magic &+ flags &+ checksum == 0 { return offset }
            damaged = damaged ?? offset
        }
        if let damaged { throw .badChecksum(offset: damaged) }
        // Multiboot2 has its header in the first 32768 bytes, 8-aligned: section 3.1 of its specification.
        for offset in stride(from: UInt64(0), to: 32768, by: 8) where reader.u32(offset) == magic2 {
            throw .onlyMultiboot2(offset: offset)
        }
        return nil
    }
}
