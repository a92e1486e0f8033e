import Glibc

/// The bytes of a RAM disk: memory of the host that is taken only when something other than zero is first written to
/// it.
public final class RAMContents: @unchecked Sendable {
    /// A sentence for the user.
    public struct SizeError: Error { public var text: String }

    public let count: Int
    /// Which pieces have been written to: the only ones that a save must look at.
    private var written: [Bool]
    private static let pieceSize = 1 << 20
    // SAFETY: `count` bytes, mapped in init and unmapped in deinit.
    private let base: UnsafeMutableRawPointer

    public init(count: Int) throws(SizeError) {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard count > 0, let base = mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED else {
            throw SizeError(text: "the host has no \(count) bytes of address space for it")
        }
        self.count = count
        self.base = base
        written = [Bool](repeating: false, count: (count - 1) / RAMContents.pieceSize + 1)
    }

    deinit { munmap(base, count) }

    private var bytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: base, count: count) }

    /// False, and nothing copied, where the range does not lie in the disk.
    public func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(offset, target.count) else { return false }
        target.copyBytes(from: bytes[offset..<(offset + target.count)])
        return true
    }

    public func write(at offset: Int, _ source: UnsafeRawBufferPointer) -> Bool {
        guard holds(offset, source.count) else { return false }
        guard !source.isEmpty else { return true }
        bytes[offset..<(offset + source.count)].copyBytes(from: source)
        for piece in (offset / RAMContents.pieceSize)...((offset + source.count - 1) / RAMContents.pieceSize) {
            written[piece] = true
        }
        return true
    }

    private func holds(_ offset: Int, _ length: Int) -> Bool {
        offset >= 0 && offset <= count && length <= count - offset
    }

    /// Everything is zero again, and the host has its memory back.
    private func clear() {
        for piece in written.indices { written[piece] = false }
        if madvise(base, count, MADV_DONTNEED) != 0 { bytes.initializeMemory(as: UInt8.self, repeating: 0) }
    }

    // MARK: Saved form

    /// Blocks of this many bytes that are not all zero, ascending, each after its number in eight bytes, little-endian.
    /// The last block of the disk is filled up with zeros.
    static let blockSize = 4096
    private static let recordSize = 8 + blockSize

    private var blockCount: Int { (count + RAMContents.blockSize - 1) / RAMContents.blockSize }

    private func block(_ index: Int) -> UnsafeMutableRawBufferPointer {
        let start = index * RAMContents.blockSize
        return UnsafeMutableRawBufferPointer(rebasing: bytes[start..<min(count, start + RAMContents.blockSize)])
    }

    /// nil: more than `limit` bytes.
    public func sparse(limit: Int) -> [UInt8]? {
        var saved: [UInt8] = []
        let blocksOfPiece = RAMContents.pieceSize / RAMContents.blockSize
        for piece in written.indices where written[piece] {
            let first = piece * blocksOfPiece
            for index in first..<min(first + blocksOfPiece, blockCount) {
                let block = UnsafeRawBufferPointer(block(index))
                guard !RAMContents.isZero(block) else { continue }
                guard saved.count + RAMContents.recordSize <= limit else { return nil }
                append(block, number: index, to: &saved)
            }
        }
        return saved
    }

    private func append(_ block: UnsafeRawBufferPointer, number: Int, to saved: inout [UInt8]) {
        withUnsafeBytes(of: UInt64(number).littleEndian) { saved += $0 }
        saved += block
        saved += repeatElement(0, count: RAMContents.blockSize - block.count)
    }

    /// The contents become what `saved` says. False, and nothing changed, where it is not what `sparse` gives of a disk
    /// of this size.
    public func restore(_ saved: [UInt8]) -> Bool {
        saved.withUnsafeBytes { saved in
            guard isValid(saved) else { return false }
            clear()
            for start in stride(from: 0, to: saved.count, by: RAMContents.recordSize) {
                let offset = Int(RAMContents.number(saved, start)) * RAMContents.blockSize
                let length = min(RAMContents.blockSize, count - offset)
                _ = write(at: offset, UnsafeRawBufferPointer(rebasing: saved[(start + 8)..<(start + 8 + length)]))
            }
            return true
        }
    }

    private func isValid(_ saved: UnsafeRawBufferPointer) -> Bool {
        guard saved.count % RAMContents.recordSize == 0 else { return false }
        var next: UInt64 = 0
        for start in stride(from: 0, to: saved.count, by: RAMContents.recordSize) {
            let number = RAMContents.number(saved, start)
            guard number >= next, number < UInt64(blockCount) else { return false }
            next = number + 1
        }
        return true
    }

    private static func number(_ saved: UnsafeRawBufferPointer, _ start: Int) -> UInt64 {
        UInt64(littleEndian: saved.loadUnaligned(fromByteOffset: start, as: UInt64.self))
    }

    public static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        while offset + 8 <= bytes.count {
            if bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) != 0 { return false }
            offset += 8
        }
        return bytes[offset...].allSatisfy { $0 == 0 }
    }
}
