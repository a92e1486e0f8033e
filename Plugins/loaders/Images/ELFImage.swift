/// An ELF file as a loader sees it: its entry, its loadable segments and, if it has any, its sections.
/// Source: System V ABI, edition 4.1, chapters 4 and 5; ELF-64 Object File Format 1.5. Little-endian only.
/// Not modelled: dynamic linking, relocation, and the extended numbering of more than 65534 program headers or 65279
/// sections.
///
/// The input is hostile: every offset is checked, and what is kept is proven to lie in the file.
public struct ELFImage: Equatable, Sendable {
    public enum Class: UInt8, Sendable { case elf32 = 1, elf64 = 2 }

    /// e_machine.
    public struct Machine: RawRepresentable, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        public static let i386 = Self(rawValue: 3)
        public static let x86_64 = Self(rawValue: 62)
    }

    /// e_type.
    public struct Kind: RawRepresentable, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        public static let relocatable = Self(rawValue: 1)
        public static let executable = Self(rawValue: 2)
        public static let shared = Self(rawValue: 3)
        public static let core = Self(rawValue: 4)
    }

    /// A PT_LOAD program header with memory of its own. Its bytes lie in the file and its addresses do not wrap.
    public struct Segment: Equatable, Sendable {
        /// Among all program headers.
        public var index: Int
        public var offset: UInt64
        public var fileSize: UInt64
        /// At least `fileSize`, at least 1; what is beyond `fileSize` is zero.
        public var memorySize: UInt64
        /// p_vaddr
        public var virtual: UInt64
        /// p_paddr
        public var physical: UInt64
        /// p_flags: 1 execute, 2 write, 4 read.
        public var flags: UInt32
    }

    public let elfClass: Class
    public let kind: Kind
    public let machine: Machine
    /// e_entry: a virtual address.
    public let entry: UInt64
    /// In the order of the file; no two overlap in physical memory.
    public let segments: [Segment]
    /// nil: the file has none.
    public let sections: ELFSections?

    public init(_ bytes: [UInt8]) throws(ELFError) {
        let reader = ByteReader(bytes)
        guard reader.u32(0) == 0x464C_457F else { throw .notELF }
        let truncated = ELFError.truncatedHeader(size: reader.count)
        guard let identity = reader.slice(0, 16) else { throw truncated }
        guard let elfClass = Class(rawValue: identity[4]) else { throw .unknownClass(identity[4]) }
        guard identity[5] == 1 else { throw .bigEndian }
        guard identity[6] == 1 else { throw .unknownVersion(UInt32(identity[6])) }
        guard let header = ELFHeader(reader, elfClass) else { throw truncated }
        guard header.version == 1 else { throw .unknownVersion(header.version) }

        self.elfClass = elfClass
        kind = Kind(rawValue: header.kind)
        machine = Machine(rawValue: header.machine)
        entry = header.entry
        segments = try Self.segments(reader, header, elfClass)
        sections = try ELFSections(reader, header, elfClass)
    }

    /// Where the program starts, as a physical address: `entry` is virtual, so the segment that holds it there says
    /// how far its memory is moved. Many kernels give a physical address instead, which then lies in no segment's
    /// virtual range. nil: in no segment at all.
    public var physicalEntry: UInt64? {
        for segment in segments where entry &- segment.virtual < segment.memorySize {
            return segment.physical &+ (entry &- segment.virtual)
        }
        return segments.contains { entry &- $0.physical < $0.memorySize } ? entry : nil
    }

    // MARK: Program headers

    private static let loadable: UInt32 = 1

    private static func segments(
        _ reader: ByteReader, _ header: ELFHeader, _ elfClass: Class
    ) throws(ELFError) -> [Segment] {
        guard header.programHeaderCount > 0 else { return [] }
        guard header.programHeaderCount < 0xFFFF else { throw .tooManyProgramHeaders }
        guard header.programHeaderSize >= (elfClass == .elf32 ? 32 : 56) else {
            throw .programHeaderSize(header.programHeaderSize)
        }
        let length = UInt64(header.programHeaderCount) * UInt64(header.programHeaderSize)
        guard reader.slice(header.programHeaders, length) != nil else {
            throw .programHeadersOutsideFile(
                offset: header.programHeaders, end: header.programHeaders &+ length, size: reader.count)
        }
        var segments: [Segment] = []
        for index in 0..<Int(header.programHeaderCount) {
            let at = header.programHeaders + UInt64(index) * UInt64(header.programHeaderSize)
            guard reader.u32(at) == loadable, let segment = Segment(reader, at, index, elfClass) else { continue }
            if segment.memorySize == 0 && segment.fileSize == 0 { continue }
            try segment.check(in: reader, elfClass)
            segments.append(segment)
        }
        try checkOverlaps(segments)
        return segments
    }

    private static func checkOverlaps(_ segments: [Segment]) throws(ELFError) {
        let ascending = segments.sorted { ($0.physical, $0.index) < ($1.physical, $1.index) }
        for (lower, upper) in zip(ascending, ascending.dropFirst())
        where upper.physical - lower.physical < lower.memorySize {
            throw .segmentsOverlap(min(lower.index, upper.index), max(lower.index, upper.index))
        }
    }
}

extension ELFImage.Segment {
    /// nil where the header is not in the file.
    init?(_ reader: ByteReader, _ at: UInt64, _ index: Int, _ elfClass: ELFImage.Class) {
        self.index = index
        switch elfClass {
        case .elf32:
            guard let offset = reader.u32(at + 4), let virtual = reader.u32(at + 8),
                let physical = reader.u32(at + 12), let fileSize = reader.u32(at + 16),
                let memorySize = reader.u32(at + 20), let flags = reader.u32(at + 24)
            else { return nil }
            self.offset = UInt64(offset)
            self.virtual = UInt64(virtual)
            self.physical = UInt64(physical)
            self.fileSize = UInt64(fileSize)
            self.memorySize = UInt64(memorySize)
            self.flags = flags
        case .elf64:
            guard let flags = reader.u32(at + 4), let offset = reader.u64(at + 8),
                let virtual = reader.u64(at + 16), let physical = reader.u64(at + 24),
                let fileSize = reader.u64(at + 32), let memorySize = reader.u64(at + 40)
            else { return nil }
            self.offset = offset
            self.virtual = virtual
            self.physical = physical
            self.fileSize = fileSize
            self.memorySize = memorySize
            self.flags = flags
        }
    }

    func check(in reader: ByteReader, _ elfClass: ELFImage.Class) throws(ELFError) {
        guard fileSize <= memorySize else {
            throw .segmentLargerInFile(index, inFile: fileSize, inMemory: memorySize)
        }
        // Where there are no bytes, p_offset means nothing and may be anywhere.
        guard fileSize == 0 || reader.slice(offset, fileSize) != nil else {
            throw .segmentOutsideFile(index, offset: offset, length: fileSize, size: reader.count)
        }
        let last = elfClass == .elf32 ? UInt64(UInt32.max) : UInt64.max
        for address in [physical, virtual] where memorySize - 1 > last - address {
            throw .segmentWraps(index, address: address, length: memorySize)
        }
    }
}

/// The ELF header after its identification.
struct ELFHeader {
    var kind, machine: UInt16
    var version: UInt32
    var entry, programHeaders, sectionHeaders: UInt64
    var programHeaderSize, programHeaderCount: UInt16
    var sectionHeaderSize, sectionHeaderCount, sectionNames: UInt16

    /// nil where the file ends within it.
    init?(_ reader: ByteReader, _ elfClass: ELFImage.Class) {
        let isLong = elfClass == .elf64
        let word: UInt64 = isLong ? 8 : 4
        func address(_ offset: UInt64) -> UInt64? {
            isLong ? reader.u64(offset) : reader.u32(offset).map { UInt64($0) }
        }
        // From here on: flags (4 bytes), the header's own size, then the sizes and counts.
        let tail = 24 + 3 * word
        guard let kind = reader.u16(16), let machine = reader.u16(18), let version = reader.u32(20),
            let entry = address(24), let programHeaders = address(24 + word),
            let sectionHeaders = address(24 + 2 * word), let programHeaderSize = reader.u16(tail + 6),
            let programHeaderCount = reader.u16(tail + 8), let sectionHeaderSize = reader.u16(tail + 10),
            let sectionHeaderCount = reader.u16(tail + 12), let sectionNames = reader.u16(tail + 14)
        else { return nil }
        self.kind = kind
        self.machine = machine
        self.version = version
        self.entry = entry
        self.programHeaders = programHeaders
        self.sectionHeaders = sectionHeaders
        self.programHeaderSize = programHeaderSize
        self.programHeaderCount = programHeaderCount
        self.sectionHeaderSize = sectionHeaderSize
        self.sectionHeaderCount = sectionHeaderCount
        self.sectionNames = sectionNames
    }
}
