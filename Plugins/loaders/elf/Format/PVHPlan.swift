public import Images
public import LinuxBoot

/// A kernel with a PVH entry: entered in 32-bit protected mode without paging, with EBX at its `hvm_start_info`.
/// Source: Xen, docs/misc/pvh.pandoc.
public struct PVHKernel: Sendable {
    public let pieces: [LoadPiece]
    public let entry: UInt32

    /// XEN_ELFNOTE_PHYS32_ENTRY
    private static let entryNote: UInt32 = 18

    /// `bytes` are those of an ELF file. nil: it has no such note.
    public init?(_ bytes: [UInt8]) throws(LinuxBootError) {
        let image: ELFImage
        do { image = try ELFImage(bytes) } catch { throw .elf(error) }
        let note = ELFNote.all(in: bytes, image.elfClass).first { $0.name == "Xen" && $0.type == Self.entryNote }
        guard let description = note?.description, description.count == 4 || description.count == 8 else { return nil }
        guard image.machine == .i386 || image.machine == .x86_64 else {
            throw .notForPC(machine: image.machine.rawValue)
        }
        guard !image.segments.isEmpty else { throw .nothingToLoad }
        let address = description.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let entry = UInt32(exactly: address),
            image.segments.contains(where: { address &- $0.physical < $0.memorySize })
        else { throw .entryNotLoaded(address) }
        self.entry = entry
        pieces = image.pieces(of: bytes)
    }
}

/// Everything that is written to memory before a kernel is entered by its PVH entry: the kernel where it wants, the modules as
/// high as they can be below 4 GiB, the start information in the first room from 64 KiB to 640 KiB, else from 4 KiB.
public struct PVHPlan: Sendable {
    public let pieces: [LoadPiece]
    public let entry: UInt32
    /// EBX.
    public let startInfo: UInt32

    public init(
        _ kernel: PVHKernel, commandLine: String, modules: [[UInt8]], ram: RAMMap, rootPointer: UInt64? = nil
    ) throws(LinuxBootError) {
        for piece in kernel.pieces where !ram.contains(piece.address, piece.memorySize) {
            throw .kernelOutsideRAM(address: piece.address, size: piece.memorySize, ram)
        }
        let memoryMap = try ZeroPage.memoryMap(ram)
        var available = ram
        available.remove(0xA0000..<0x100000)
        var placement = Placement(available, taken: kernel.pieces.map(\.range))
        var pieces = kernel.pieces
        var placed: [Range<UInt64>] = []
        for bytes in modules {
            let size = UInt64(bytes.count)
            guard let address = placement.takeHighest(size, alignment: 4096, in: 0x100000..<1 << 32) else {
                throw .initrdDoesNotFit(size: size, below: 1 << 32, ram)
            }
            pieces.append(LoadPiece(address: address, bytes: bytes))
            placed.append(address..<address + size)
        }
        let info = StartInfo(
            commandLine: Array(commandLine.utf8.prefix { $0 != 0 }), modules: placed,
            memoryMap: memoryMap,
            rootPointer: rootPointer ?? 0)
        let size = UInt64(info.bytes(at: 0).count)
        let address =
            placement.take(size, alignment: 16, in: 0x10000..<0xA0000)
            ?? placement.take(size, alignment: 16, in: 0x1000..<0x10000)
        guard let address, let base = UInt32(exactly: address) else { throw .noLowMemory(size: size, ram) }
        pieces.append(LoadPiece(address: address, bytes: info.bytes(at: address)))
        self.pieces = pieces
        entry = kernel.entry
        startInfo = base
    }
}
