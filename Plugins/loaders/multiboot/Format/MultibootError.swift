public import Images

/// Why a multiboot kernel cannot be booted.
public enum MultibootError: Error, Equatable, Sendable {
    case noHeader
    case badChecksum(offset: UInt64)
    case onlyMultiboot2(offset: UInt64)
    case unknownRequirements(UInt32)
    case truncatedHeader(offset: UInt64, size: UInt64)
    case headerBelowLoadAddress(header: UInt32, load: UInt32)
    case loadStartsBeforeFile(offset: UInt64, back: UInt64)
    case loadEndBelowLoad(end: UInt32, load: UInt32)
    case loadBeyondFile(end: UInt64, size: UInt64)
    case bssEndBelowData(bssEnd: UInt32, dataEnd: UInt64)
    case beyondFourGiB(address: UInt64, size: UInt64)
    case elf(ELFError)
    case notELF32
    case notI386(UInt16)
    case notExecutable(UInt16)
    case nothingToLoad
    case entryNotLoaded(UInt64)
    case outsideRAM(address: UInt64, size: UInt64, RAMMap)
    case moduleDoesNotFit(String, size: UInt64, RAMMap)
    case informationDoesNotFit(size: UInt64, RAMMap)

    /// What is wrong, to follow the name of the kernel: "kernel.elf: ...".
    public var text: String {
        switch self {
        case .noHeader, .badChecksum, .onlyMultiboot2, .unknownRequirements, .truncatedHeader: headerText
        case .headerBelowLoadAddress, .loadStartsBeforeFile, .loadEndBelowLoad, .loadBeyondFile, .bssEndBelowData:
            addressText
        case .elf(let error): error.text
        case .notELF32:
            "this is a 64-bit ELF file; multiboot (version 1) enters 32-bit kernels, and 64-bit ones only by the "
                + "address fields of the multiboot header (flag bit 16)"
        case .notI386(let machine): "the ELF file is for machine \(machine), not for 3 (i386)"
        case .notExecutable(let kind): "the ELF file is of type \(kind), not 2 (executable at fixed addresses)"
        case .nothingToLoad: "the ELF file has no segment to load"
        case .entryNotLoaded(let entry): "entry \(hex(entry)) is in nothing that is loaded"
        default: placeText
        }
    }

    private var headerText: String {
        switch self {
        case .badChecksum(let offset):
            "the multiboot header at \(hex(offset)) in the file has a wrong checksum"
        case .onlyMultiboot2(let offset):
            "the kernel has a multiboot2 header, at \(hex(offset)) in the file, and none of multiboot version 1"
        case .unknownRequirements(let bits):
            "the multiboot header requires what this loader does not have: flags \(hex(bits))"
        case .truncatedHeader(let offset, let size):
            "the multiboot header at \(hex(offset)) in the file is cut off by the file's end, after \(size) bytes"
        default:
            "there is no multiboot header in the first 8192 bytes"
        }
    }

    private var addressText: String {
        switch self {
        case .headerBelowLoadAddress(let header, let load):
            "the multiboot header's header_addr \(hex(header)) is below its load_addr \(hex(load))"
        case .loadStartsBeforeFile(let offset, let back):
            "the multiboot header, at \(hex(offset)) in the file, asks for loading from \(back) bytes before it"
        case .loadEndBelowLoad(let end, let load):
            "the multiboot header's load_end_addr \(hex(end)) is below its load_addr \(hex(load))"
        case .loadBeyondFile(let end, let size):
            "the multiboot header asks for the first \(end) bytes of a file that has \(size)"
        case .bssEndBelowData(let bssEnd, let dataEnd):
            "the multiboot header's bss_end_addr \(hex(bssEnd)) is below the end of the data, \(hex(dataEnd))"
        default: ""
        }
    }

    private var placeText: String {
        switch self {
        case .beyondFourGiB(let address, let size):
            "the kernel's \(size) bytes at \(hex(address)) go beyond 4 GiB"
        case .outsideRAM(let address, let size, let ram):
            "the kernel goes to \(hex(address))-\(hex(address + (size - 1))), which is not all RAM; RAM is \(ram.text)"
        case .moduleDoesNotFit(let name, let size, let ram):
            "there is no room for module \(name), \(size) bytes, above 1 MiB and below 4 GiB; RAM is \(ram.text)"
        case .informationDoesNotFit(let size, let ram):
            "there is no room for the boot information, \(size) bytes; RAM is \(ram.text)"
        default: ""
        }
    }
}
