/// Why an ELF image is refused. Numbers name program headers and sections as `readelf` counts them, from 0.
public enum ELFError: Error, Equatable, Sendable {
    case notELF
    case truncatedHeader(size: UInt64)
    case unknownClass(UInt8)
    case bigEndian
    case unknownVersion(UInt32)
    case programHeaderSize(UInt16)
    case tooManyProgramHeaders
    case programHeadersOutsideFile(offset: UInt64, end: UInt64, size: UInt64)
    case segmentOutsideFile(Int, offset: UInt64, length: UInt64, size: UInt64)
    case segmentLargerInFile(Int, inFile: UInt64, inMemory: UInt64)
    case segmentWraps(Int, address: UInt64, length: UInt64)
    case segmentsOverlap(Int, Int)
    case sectionHeaderSize(UInt16)
    case sectionHeadersOutsideFile(offset: UInt64, end: UInt64, size: UInt64)
    case sectionNamesOutsideTable(index: UInt16, count: UInt16)
    case sectionOutsideFile(Int, offset: UInt64, length: UInt64, size: UInt64)

    /// What is wrong, to follow the name of the file: "kernel.elf: ...".
    public var text: String {
        switch self {
        case .notELF:
            "this is not an ELF file"
        case .truncatedHeader(let size):
            "the file is cut off within its ELF header, after \(size) bytes"
        case .unknownClass(let value):
            "ELF class \(value) is neither 1 (32-bit) nor 2 (64-bit)"
        case .bigEndian:
            "this is not a little-endian ELF file"
        case .unknownVersion(let version):
            "ELF version \(version) is not 1"
        case .programHeaderSize(let size):
            "a program header of \(size) bytes is smaller than the ELF class asks for"
        case .tooManyProgramHeaders:
            "the program headers are more than 65534"
        case .programHeadersOutsideFile(let offset, let end, let size):
            "the program headers, \(hex(offset)) to \(hex(end)) in the file, go beyond its \(size) bytes"
        case .segmentOutsideFile(let index, let offset, let length, let size):
            "segment \(index), \(length) bytes at \(hex(offset)) in the file, goes beyond its \(size) bytes"
        case .segmentLargerInFile(let index, let inFile, let inMemory):
            "segment \(index) has \(inFile) bytes in the file but only \(inMemory) in memory"
        case .segmentWraps(let index, let address, let length):
            "segment \(index), \(length) bytes at \(hex(address)), goes beyond the end of the address space"
        case .segmentsOverlap(let first, let second):
            "segments \(first) and \(second) overlap in physical memory"
        case .sectionHeaderSize(let size):
            "a section header of \(size) bytes is smaller than the ELF class asks for"
        case .sectionHeadersOutsideFile(let offset, let end, let size):
            "the section headers, \(hex(offset)) to \(hex(end)) in the file, go beyond its \(size) bytes"
        case .sectionNamesOutsideTable(let index, let count):
            "section \(index), said to hold the names of sections, is not one of the \(count) sections"
        case .sectionOutsideFile(let index, let offset, let length, let size):
            "section \(index), \(length) bytes at \(hex(offset)) in the file, goes beyond its \(size) bytes"
        }
    }
}
