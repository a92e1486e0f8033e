public import Images

/// A module as it is asked for.
public struct BootModule: Sendable {
    public var bytes: [UInt8]
    /// Its file's name, and what it is told, as one line.
    public var text: String

    public init(bytes: [UInt8], text: String) {
        self.bytes = bytes
        self.text = text
    }
}

/// Everything that is written to memory before a kernel is entered.
///
/// Where things go: the kernel where it wants; behind it, from 1 MiB on, its sections and then the modules, each at a
/// page (also where the header does not ask for it); the boot information in the first room from 64 KiB to 640 KiB,
/// else from 4 KiB, else behind the modules. Nothing overlaps, and all of it is RAM.
public struct BootPlan: Sendable {
    public struct Piece: Equatable, Sendable {
        public var address: UInt64
        public var bytes: ArraySlice<UInt8>
        /// What is beyond the bytes is zero.
        public var memorySize: UInt64
    }

    public let pieces: [Piece]
    /// EIP.
    public let entry: UInt32
    /// EBX.
    public let information: UInt32
    /// There was no room for the kernel's sections: the information goes without them.
    public let omitsSections: Bool

    private static let oneMiB: UInt64 = 1 << 20
    private static let fourGiB: UInt64 = 1 << 32

    /// `bytes` are those that `kernel` was made of.
    public init(
        _ kernel: MultibootKernel, _ bytes: [UInt8], commandLine: String, modules: [BootModule], ram: RAMMap
    ) throws(MultibootError) {
        for piece in kernel.pieces where !ram.contains(piece.address, piece.memorySize) {
            throw .outsideRAM(address: piece.address, size: piece.memorySize, ram)
        }
        let reader = ByteReader(bytes)
        let memory = MemoryMap(ram)
        var placement = Placement(memory.available, taken: kernel.pieces.map(\.range))
        let kernelEnd = kernel.pieces.map(\.range.upperBound).max() ?? 0
        let bounds = max(kernelEnd, Self.oneMiB)..<Self.fourGiB
        var pieces = kernel.pieces.map {
            Piece(
                address: $0.address, bytes: reader.slice($0.offset, $0.fileSize) ?? [], memorySize: $0.memorySize)
        }

        var sections: BootInformation.Sections?
        if let table = kernel.sections {
            let block = SectionBlock(table)
            if let base = placement.take(block.size, alignment: 4096, in: bounds) {
                pieces += block.pieces(of: reader, at: base)
                sections = block.summary(at: base)
            }
        }
        omitsSections = kernel.sections != nil && sections == nil

        var placed: [BootInformation.Module] = []
        for module in modules {
            pieces.append(try Self.place(module, &placement, bounds, ram))
            placed.append(Self.entry(of: module, at: pieces[pieces.count - 1].address))
        }
        let information = BootInformation(
            commandLine: Self.cText(commandLine), modules: placed, sections: sections, memory: memory)
        let (base, block) = try Self.place(information, &placement, ram)
        pieces.append(Piece(address: UInt64(base), bytes: block[...], memorySize: UInt64(block.count)))

        self.pieces = pieces
        self.information = base
        entry = kernel.entry
    }

    private static func place(
        _ module: BootModule, _ placement: inout Placement, _ bounds: Range<UInt64>, _ ram: RAMMap
    ) throws(MultibootError) -> Piece {
        let size = UInt64(module.bytes.count)
        let address =
            placement.take(size, alignment: 4096, in: bounds)
            ?? placement.take(size, alignment: 4096, in: oneMiB..<fourGiB)
        guard let address else { throw .moduleDoesNotFit(module.text, size: size, ram) }
        return Piece(address: address, bytes: module.bytes[...], memorySize: size)
    }

    private static func entry(of module: BootModule, at address: UInt64) -> BootInformation.Module {
        let end = address + UInt64(module.bytes.count)
        // A module that ends at 4 GiB sharp has the end 0.
        return .init(
            start: UInt32(truncatingIfNeeded: address), end: UInt32(truncatingIfNeeded: end), text: cText(module.text))
    }

    private static func place(
        _ information: BootInformation, _ placement: inout Placement, _ ram: RAMMap
    ) throws(MultibootError) -> (UInt32, [UInt8]) {
        let size = UInt64(information.bytes(at: 0).count)
        let address =
            placement.take(size, alignment: 16, in: 0x10000..<0xA0000)
            ?? placement.take(size, alignment: 16, in: 0x1000..<0xA0000)
            ?? placement.take(size, alignment: 16, in: oneMiB..<fourGiB)
        guard let address, let base = UInt32(exactly: address) else {
            throw .informationDoesNotFit(size: size, ram)
        }
        return (base, information.bytes(at: base))
    }

    private static func cText(_ text: String) -> [UInt8] { Array(text.utf8.prefix { $0 != 0 }) }
}
