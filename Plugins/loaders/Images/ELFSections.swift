/// The section header table of an ELF file, for loaders that hand it to the kernel.
/// Source: System V ABI, edition 4.1, chapter 4, "Sections"; ELF-64 Object File Format 1.5, section 4.
public struct ELFSections: Equatable, Sendable {
    public struct Section: Equatable, Sendable {
        /// sh_type
        public var type: UInt32
        /// sh_flags
        public var flags: UInt64
        /// sh_addr
        public var address: UInt64
        public var offset: UInt64
        public var size: UInt64
        public var alignment: UInt64

        static let null: UInt32 = 0
        static let noBits: UInt32 = 8

        /// Bit 1 of sh_flags: the section lies in a segment.
        public var isAllocated: Bool { flags & 2 != 0 }
        public var hasBytes: Bool { type != Self.null && type != Self.noBits && size > 0 }
    }

    /// Where the table lies in the file: `count` headers of `headerSize` bytes, all in the file.
    public let offset: UInt64
    public let headerSize: UInt16
    public let count: UInt16
    /// The section that holds the names of sections; 0: none.
    public let names: UInt16
    /// Every one that has bytes has them in the file.
    public let sections: [Section]

    /// nil where the file has none.
    init?(_ reader: ByteReader, _ header: ELFHeader, _ elfClass: ELFImage.Class) throws(ELFError) {
        guard header.sectionHeaders != 0, header.sectionHeaderCount > 0 else { return nil }
        guard header.sectionHeaderSize >= (elfClass == .elf32 ? 40 : 64) else {
            throw .sectionHeaderSize(header.sectionHeaderSize)
        }
        let length = UInt64(header.sectionHeaderCount) * UInt64(header.sectionHeaderSize)
        guard reader.slice(header.sectionHeaders, length) != nil else {
            throw .sectionHeadersOutsideFile(
                offset: header.sectionHeaders, end: header.sectionHeaders &+ length, size: reader.count)
        }
        guard header.sectionNames < header.sectionHeaderCount else {
            throw .sectionNamesOutsideTable(index: header.sectionNames, count: header.sectionHeaderCount)
        }
        offset = header.sectionHeaders
        headerSize = header.sectionHeaderSize
        count = header.sectionHeaderCount
        names = header.sectionNames
        var sections: [Section] = []
        for index in 0..<Int(count) {
            let at = header.sectionHeaders + UInt64(index) * UInt64(header.sectionHeaderSize)
            guard let section = Section(reader, at, elfClass) else { continue }
            if section.hasBytes && reader.slice(section.offset, section.size) == nil {
                throw .sectionOutsideFile(
                    index, offset: section.offset, length: section.size, size: reader.count)
            }
            sections.append(section)
        }
        self.sections = sections
    }
}

extension ELFSections.Section {
    /// nil where the header is not in the file.
    init?(_ reader: ByteReader, _ at: UInt64, _ elfClass: ELFImage.Class) {
        guard let type = reader.u32(at + 4) else { return nil }
        self.type = type
        switch elfClass {
        case .elf32:
            guard let flags = reader.u32(at + 8), let address = reader.u32(at + 12),
                let offset = reader.u32(at + 16), let size = reader.u32(at + 20), let alignment = reader.u32(at + 32)
            else { return nil }
            self.flags = UInt64(flags)
            self.address = UInt64(address)
            self.offset = UInt64(offset)
            self.size = UInt64(size)
            self.alignment = UInt64(alignment)
        case .elf64:
            guard let flags = reader.u64(at + 8), let address = reader.u64(at + 16),
                let offset = reader.u64(at + 24), let size = reader.u64(at + 32), let alignment = reader.u64(at + 48)
            else { return nil }
            self.flags = flags
            self.address = address
            self.offset = offset
            self.size = size
            self.alignment = alignment
        }
    }
}
