import Images
public import LinuxBoot
import Unpacking

/// A bzImage, and the kernel that is entered of it.
/// Source: Linux, Documentation/arch/x86/boot.rst.
public struct BzImage: Sendable {
    public let header: SetupHeader
    private let file: ByteReader

    public init(_ bytes: [UInt8]) throws(LinuxBootError) {
        file = ByteReader(bytes)
        header = try SetupHeader(file)
    }

    // MARK: Unpacked by the kernel

    /// The kernel's own unpacker: loaded where the kernel wants to run, or at 1 MiB where it cannot be moved, and entered by the
    /// 64-bit protocol where it has that entry, else by the 32-bit protocol.
    public var packed: LinuxKernel {
        let bytes = file.slice(header.code.lowerBound, header.code.upperBound - header.code.lowerBound) ?? []
        let start = codeStart
        var kernel = LinuxKernel(
            pieces: [LoadPiece(address: start, bytes: bytes, memorySize: UInt64(bytes.count))],
            entry: header.hasLongModeEntry ? start &+ 0x200 : start,
            mode: header.hasLongModeEntry ? .long64 : .protected32)
        kernel.workspace = workspace
        describe(&kernel)
        return kernel
    }

    private var codeStart: UInt64 {
        guard header.isRelocatable, let preferred = header.preferredAddress, preferred >= 0x10_0000, preferred < 1 << 32
        else { return UInt64(header.codeStart) }
        return preferred
    }

    /// "init_size: amount of linear contiguous memory starting at the kernel runtime start address".
    private var workspace: Range<UInt64> {
        guard let size = header.initSize, let preferred = header.preferredAddress else { return 0..<0 }
        let (end, overflow) = preferred.addingReportingOverflow(UInt64(size))
        return overflow ? 0..<0 : preferred..<end
    }

    private func describe(_ kernel: inout LinuxKernel) {
        kernel.header = header.bytes
        kernel.codeStart = UInt32(truncatingIfNeeded: codeStart)
        kernel.initrdMax = header.initrdMax
        kernel.commandLineSize = header.commandLineSize
    }

    // MARK: Unpacked on the host

    /// Why the kernel has to unpack itself; nil: the host can. A sentence to follow the kernel's name.
    public var reasonToStayPacked: String? {
        guard let payload = payload else { return "its header (protocol \(version)) does not say where its payload is" }
        guard let compression = Compression(payload) else {
            let start = payload.prefix(4).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
            return "its payload, which starts with \(start), is of an unknown compression"
        }
        return compression.isSupported ? nil : "its payload is compressed with \(compression.rawValue)"
    }

    /// The ELF file in the payload, at its own addresses. `limit` bounds the unpacked size.
    ///
    /// What the kernel's unpacker does beside unpacking is not missed: moving the kernel (it stays where it is linked) and
    /// page tables of its own.
    public func unpacked(limit: UInt64) throws(LinuxBootError) -> LinuxKernel {
        guard let payload, payload.count > 4, let compression = Compression(payload) else {
            throw .unpacking(reasonToStayPacked ?? "it is too short")
        }
        // The last word is the unpacked size: the kernel's build appends it, and gzip has it there anyway.
        let size = payload.suffix(4).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard size <= limit, let count = Int(exactly: size) else { throw .unpackedTooLarge(size: size, limit: limit) }
        let data = compression == .gzip ? payload : payload.dropLast(4)
        let bytes: [UInt8]
        do { bytes = try Unpacker.unpack(data, compression, size: count) } catch { throw .unpacking(error.text) }
        var kernel = try LinuxKernel(elf: bytes)
        kernel.workspace = workspace
        describe(&kernel)
        return kernel
    }

    private var payload: ArraySlice<UInt8>? {
        header.payload.flatMap { file.slice($0.lowerBound, $0.upperBound - $0.lowerBound) }
    }

    private var version: String { SetupHeader.text(of: header.version) }
}
