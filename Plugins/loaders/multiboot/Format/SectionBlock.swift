import Images

/// A kernel's section header table and the sections that no segment holds (symbols, their names, debug information),
/// as one block of memory.
/// Source: Multiboot Specification 0.6.96, section 3.3, syms: all sections are loaded, and the address fields of the
/// section headers say where they are.
struct SectionBlock {
    let sections: ELFSections
    /// Of those that are not in a segment: number, and place in the block.
    let loose: [(index: Int, offset: UInt64)]
    let size: UInt64

    init(_ sections: ELFSections) {
        self.sections = sections
        var end = UInt64(sections.count) * UInt64(sections.headerSize)
        var loose: [(index: Int, offset: UInt64)] = []
        for (index, section) in sections.sections.enumerated()
        where section.hasBytes && !section.isAllocated && section.address == 0 {
            let alignment = section.alignment.nonzeroBitCount == 1 ? min(section.alignment, 4096) : 16
            let offset = (end + (alignment - 1)) & ~(alignment - 1)
            loose.append((index, offset))
            end = offset + section.size
        }
        self.loose = loose
        size = end
    }

    /// What to load where if the block is at `base`. The table comes first.
    func pieces(of reader: ByteReader, at base: UInt64) -> [BootPlan.Piece] {
        let tableSize = UInt64(sections.count) * UInt64(sections.headerSize)
        var table = Array(reader.slice(sections.offset, tableSize) ?? [])
        var pieces: [BootPlan.Piece] = []
        for (index, offset) in loose {
            let section = sections.sections[index]
            // sh_addr is at offset 12 of an ELF32 section header.
            let field = index * Int(sections.headerSize) + 12
            var address: [UInt8] = []
            address.append(littleEndian: UInt32(truncatingIfNeeded: base + offset))
            if field + 4 <= table.count { table.replaceSubrange(field..<field + 4, with: address) }
            if let bytes = reader.slice(section.offset, section.size) {
                pieces.append(.init(address: base + offset, bytes: bytes, memorySize: section.size))
            }
        }
        return [.init(address: base, bytes: table[...], memorySize: tableSize)] + pieces
    }

    /// For the boot information.
    func summary(at base: UInt64) -> BootInformation.Sections {
        .init(
            count: UInt32(sections.count), headerSize: UInt32(sections.headerSize),
            address: UInt32(truncatingIfNeeded: base), names: UInt32(sections.names))
    }
}
