public import Images

/// Why a Linux kernel cannot be booted.
public enum LinuxBootError: Error, Equatable, Sendable {
    case notKernel
    case isELF
    case bootSector
    case truncated(UInt64)
    case tooOld(UInt16)
    case loadedLow
    case elf(ELFError)
    case notForPC(machine: UInt16)
    case notExecutable(kind: UInt16)
    case nothingToLoad
    case entryNotLoaded(UInt64)
    case noPVHEntry
    case unpacking(String)
    case unpackedTooLarge(size: UInt64, limit: UInt64)
    case kernelOutsideRAM(address: UInt64, size: UInt64, RAMMap)
    case commandLineTooLong(count: Int, limit: UInt32)
    case initrdDoesNotFit(size: UInt64, below: UInt64, RAMMap)
    case noLowMemory(size: UInt64, RAMMap)
    case tooManyRanges(Int)

    /// What is wrong, to follow the name of the kernel: "vmlinuz: ...".
    public var text: String {
        switch self {
        case .notKernel: "this is not a Linux kernel for a PC: it has no setup header"
        case .isELF: "this is an ELF file and not a bzImage: the loader `elf` boots it"
        case .bootSector: "this is a boot sector, or a kernel older than Linux 1.3.73, and not a bzImage"
        case .truncated(let size): "the kernel is cut off: its setup header asks for more than the file's \(size) bytes"
        case .tooOld(let version):
            "boot protocol \(SetupHeader.text(of: version)) is too old: this loader needs "
                + "\(SetupHeader.text(of: SetupHeader.oldest)) (Linux 2.6.22)"
        case .loadedLow: "this is a zImage, which is loaded below 1 MiB; this loader boots a bzImage"
        case .unpacking(let reason): "its payload cannot be unpacked: \(reason)"
        case .elf, .notForPC, .notExecutable, .nothingToLoad, .entryNotLoaded, .noPVHEntry:
            imageText
        default: placeText
        }
    }

    private var imageText: String {
        switch self {
        case .elf(let error): error.text
        case .notForPC(let machine): "the ELF file is for machine \(machine), neither 3 (i386) nor 62 (x86-64)"
        case .notExecutable(let kind): "the ELF file is of type \(kind), not 2 (executable at fixed addresses)"
        case .nothingToLoad: "the ELF file has no segment to load"
        case .entryNotLoaded(let entry): "entry \(hex(entry)) is in nothing that is loaded below 4 GiB"
        case .noPVHEntry: "the ELF file has no PVH entry: no note 18 (PHYS32_ENTRY) of \"Xen\""
        default: ""
        }
    }

    private var placeText: String {
        switch self {
        case .unpackedTooLarge(let size, let limit):
            "its payload unpacks to \(size) bytes, more than the \(limit) that the machine's memory allows"
        case .kernelOutsideRAM(let address, let size, let ram):
            "the kernel needs \(hex(address))-\(hex(address &+ (size &- 1))), \(Self.mebibytes(size)), "
                + "which is not all RAM: give the machine more memory; RAM is \(ram.text)"
        case .commandLineTooLong(let count, let limit):
            "the command line has \(count) bytes, more than the \(limit) that the kernel takes"
        case .initrdDoesNotFit(let size, let below, let ram):
            "there is no room for the initrd, \(size) bytes, beside the kernel and below \(hex(below)): "
                + "RAM is \(ram.text)"
        case .noLowMemory(let size, let ram):
            "there is no room below 640 KiB for what the kernel is told, \(size) bytes; RAM is \(ram.text)"
        case .tooManyRanges(let count): "the memory map has \(count) ranges, more than the 128 that the zero page holds"
        default: ""
        }
    }

    private static func mebibytes(_ size: UInt64) -> String { "\((size >> 20) + (size & 0xFFFFF == 0 ? 0 : 1)) MiB" }
}
