public import Images

/// A kernel that is proven to be loadable: what goes where, and where it starts.
/// Source: Multiboot Specification 0.6.96, sections 3.1 and 3.2.
///
/// Where the header gives addresses (bit 16), they count, whatever the image's own format says; that is how a 64-bit
/// ELF kernel boots too. Otherwise the image is ELF32, placed by its physical addresses.
public struct MultibootKernel: Equatable, Sendable {
    public struct Piece: Equatable, Sendable {
        /// In the file.
        public var offset: UInt64
        public var fileSize: UInt64
        /// Physical; all of it is below 4 GiB.
        public var address: UInt64
        /// What is beyond `fileSize` is zero.
        public var memorySize: UInt64

        public var range: Range<UInt64> { address..<address + memorySize }
    }

    public let header: MultibootHeader
    /// At least one, and no two overlap.
    public let pieces: [Piece]
    public let entry: UInt32
    /// nil: the image has none, or is not loaded as ELF.
    public let sections: ELFSections?

    public init(_ bytes: [UInt8]) throws(MultibootError) {
        let reader = ByteReader(bytes)
        header = try MultibootHeader(reader)
        if let addresses = header.addresses {
            let piece = try Self.piece(addresses, header.offset, reader)
            pieces = [piece]
            entry = addresses.entry
            sections = nil
            guard piece.range.contains(UInt64(entry)) else { throw .entryNotLoaded(UInt64(entry)) }
        } else {
            let image = try Self.image(bytes)
            pieces = image.segments.map {
                Piece(offset: $0.offset, fileSize: $0.fileSize, address: $0.physical, memorySize: $0.memorySize)
            }
            guard let physical = image.physicalEntry, let entry = UInt32(exactly: physical) else {
                throw .entryNotLoaded(image.entry)
            }
            self.entry = entry
            sections = image.sections
        }
    }

    private static func image(_ bytes: [UInt8]) throws(MultibootError) -> ELFImage {
        let image: ELFImage
        do { image = try ELFImage(bytes) } catch { throw .elf(error) }
        guard image.elfClass == .elf32 else { throw .notELF32 }
        guard image.machine == .i386 else { throw .notI386(image.machine.rawValue) }
        guard image.kind == .executable else { throw .notExecutable(image.kind.rawValue) }
        guard !image.segments.isEmpty else { throw .nothingToLoad }
        return image
    }

    /// Section 3.1.3.
    private static func piece(
        _ addresses: MultibootHeader.Addresses, _ headerOffset: UInt64, _ reader: ByteReader
    ) throws(MultibootError) -> Piece {
        guard addresses.header >= addresses.load else {
            throw .headerBelowLoadAddress(header: addresses.header, load: addresses.load)
        }
        let back = UInt64(addresses.header - addresses.load)
        guard back <= headerOffset else { throw .loadStartsBeforeFile(offset: headerOffset, back: back) }
        let offset = headerOffset - back
        let load = UInt64(addresses.load)
        var fileSize = reader.count - offset
        if addresses.loadEnd != 0 {
            guard addresses.loadEnd >= addresses.load else {
                throw .loadEndBelowLoad(end: addresses.loadEnd, load: addresses.load)
            }
            let size = UInt64(addresses.loadEnd - addresses.load)
            guard size <= fileSize else { throw .loadBeyondFile(end: offset + size, size: reader.count) }
            fileSize = size
        }
        var memorySize = fileSize
        if addresses.bssEnd != 0 {
            guard UInt64(addresses.bssEnd) >= load + fileSize else {
                throw .bssEndBelowData(bssEnd: addresses.bssEnd, dataEnd: load + fileSize)
            }
            memorySize = UInt64(addresses.bssEnd) - load
        }
        guard memorySize <= 1 << 32 - load else { throw .beyondFourGiB(address: load, size: memorySize) }
        guard memorySize > 0 else { throw .nothingToLoad }
        return Piece(offset: offset, fileSize: fileSize, address: load, memorySize: memorySize)
    }
}
