public import Images

/// A kernel as it is to be loaded and entered.
public struct LinuxKernel: Sendable {
    public enum Mode: Sendable { case protected32, long64 }

    public var pieces: [LoadPiece]
    public var entry: UInt64
    public var mode: Mode
    /// Memory that it takes for itself when it starts; empty: none beside its pieces.
    public var workspace: Range<UInt64> = 0..<0
    /// The setup header from 0x1f1 on, or nothing.
    public var header: ArraySlice<UInt8> = []
    public var codeStart: UInt32?
    public var initrdMax: UInt32 = 0x7FFF_FFFF
    public var commandLineSize: UInt32 = 2047

    public init(pieces: [LoadPiece], entry: UInt64, mode: Mode) {
        self.pieces = pieces
        self.entry = entry
        self.mode = mode
    }

    /// A kernel that is an ELF file, as vmlinux is: its segments at their physical addresses, entered at once.
    /// `bytes` are those of the file.
    public init(elf bytes: [UInt8]) throws(LinuxBootError) {
        let image: ELFImage
        do { image = try ELFImage(bytes) } catch { throw .elf(error) }
        guard image.machine == .i386 || image.machine == .x86_64 else {
            throw .notForPC(machine: image.machine.rawValue)
        }
        guard image.kind == .executable else { throw .notExecutable(kind: image.kind.rawValue) }
        guard !image.segments.isEmpty else { throw .nothingToLoad }
        guard let entry = image.physicalEntry, entry < 1 << 32 else { throw .entryNotLoaded(image.entry) }
        self.init(
            pieces: image.pieces(of: bytes), entry: entry, mode: image.elfClass == .elf64 ? .long64 : .protected32)
    }
}

/// Everything that is written to memory before a kernel is entered.
///
/// Where things go: the kernel where it wants; the initrd as high as its kernel allows, below 4 GiB; what the kernel is told
/// (the zero page, the command line, descriptors and page tables) from 64 KiB on, below 640 KiB. Nothing overlaps, and all of it
/// is RAM.
public struct LinuxPlan: Sendable {
    public let pieces: [LoadPiece]
    public let entry: UInt64
    public let mode: LinuxKernel.Mode
    /// RSI or ESI.
    public let zeroPage: UInt64
    public let descriptors: UInt64
    /// CR3; 0 in 32-bit mode.
    public let pageTables: UInt64

    /// `initrds` follow each other in memory, each at a multiple of 4, as the kernel unpacks one archive after the other.
    /// - Parameter rootPointer: where ACPI's RSDP is; nil: nowhere, or where the kernel looks itself.
    public init(
        _ kernel: LinuxKernel, commandLine: String, initrds: [[UInt8]], ram: RAMMap, rootPointer: UInt64? = nil
    ) throws(LinuxBootError) {
        let workspace = kernel.workspace
        let workspaceSize = workspace.upperBound - workspace.lowerBound
        guard ram.contains(workspace.lowerBound, workspaceSize) else {
            throw .kernelOutsideRAM(address: workspace.lowerBound, size: workspaceSize, ram)
        }
        for piece in kernel.pieces where !ram.contains(piece.address, piece.memorySize) || piece.range.isEmpty {
            throw .kernelOutsideRAM(address: piece.address, size: piece.memorySize, ram)
        }
        let memoryMap = try ZeroPage.memoryMap(ram)
        var available = ram
        available.remove(0xA0000..<0x100000)
        var placement = Placement(available, taken: kernel.pieces.map(\.range) + [workspace])
        var page = ZeroPage(memoryMap: memoryMap)
        page.header = kernel.header
        page.codeStart = kernel.codeStart
        page.rootPointer = rootPointer ?? 0

        var pieces = kernel.pieces
        let initrd = try Self.place(initrds, below: UInt64(kernel.initrdMax) + 1, &placement, ram)
        pieces += initrd
        page.initrd = Self.extent(initrd)

        let text = Array(commandLine.utf8.prefix { $0 != 0 })
        guard text.count <= Int(kernel.commandLineSize) else {
            throw .commandLineTooLong(count: text.count, limit: kernel.commandLineSize)
        }
        func low(_ size: UInt64, _ alignment: UInt64 = 4096) throws(LinuxBootError) -> UInt64 {
            let address =
                placement.take(size, alignment: alignment, in: 0x10000..<0xA0000)
                ?? placement.take(size, alignment: alignment, in: 0x1000..<0x10000)
            guard let address else { throw .noLowMemory(size: size, ram) }
            return address
        }
        let isLong = kernel.mode == .long64
        zeroPage = try low(UInt64(ZeroPage.size))
        let table = EntryTables.descriptors(longMode: isLong)
        descriptors = try low(UInt64(table.count), 16)
        pieces.append(LoadPiece(address: descriptors, bytes: table))
        pageTables = isLong ? try low(EntryTables.identityMapSize) : 0
        if isLong { pieces.append(LoadPiece(address: pageTables, bytes: EntryTables.identityMap(at: pageTables))) }
        let line = try low(UInt64(text.count) + 1, 16)
        page.commandLine = UInt32(truncatingIfNeeded: line)
        pieces.append(LoadPiece(address: line, bytes: text + [0]))
        pieces.append(LoadPiece(address: zeroPage, bytes: page.bytes))

        self.pieces = pieces
        entry = kernel.entry
        mode = kernel.mode
    }

    private static func place(
        _ initrds: [[UInt8]], below end: UInt64, _ placement: inout Placement, _ ram: RAMMap
    ) throws(LinuxBootError) -> [LoadPiece] {
        let size = initrds.reduce(UInt64(0)) { ($0 + 3) & ~3 + UInt64($1.count) }
        guard size > 0 else { return [] }
        // Up to 4 GiB less a page: the initrd's end has 32 bits.
        let bounds: Range<UInt64> = 0x100000..<max(0x100000, min(end, 0xFFFF_F000))
        guard let start = placement.takeHighest(size, alignment: 4096, in: bounds) else {
            throw .initrdDoesNotFit(size: size, below: end, ram)
        }
        var address = start
        return initrds.map { bytes in
            address = (address + 3) & ~3
            defer { address += UInt64(bytes.count) }
            return LoadPiece(address: address, bytes: bytes)
        }
    }

    private static func extent(_ pieces: [LoadPiece]) -> Range<UInt32> {
        guard let first = pieces.first, let last = pieces.last else { return 0..<0 }
        let (start, end) = (
            UInt32(truncatingIfNeeded: first.address), UInt32(truncatingIfNeeded: last.range.upperBound)
        )
        return start <= end ? start..<end : 0..<0
    }
}
