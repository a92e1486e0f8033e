import BackendSupport
import CBackendSupport
import Glibc

/// A sentence for the user.
public struct OverlayError: Error, Equatable {
    public var text: String
    init(_ text: String) { self.text = text }
}

/// The file that holds the clusters of a disk that differ from its base. Its format stands in docs/machine-file.md, "Overlays": a header
/// of 4096 bytes, a bit for each cluster, and the clusters, each at its own place, so that the file is sparse. All numbers are little-endian.
public final class OverlayFile: Sendable {
    public static let clusterSize: UInt64 = 4096
    /// Bytes of a base.
    public static let limit: UInt64 = 8 << 40
    private static let magic = Array("BPOVRLAY".utf8)
    private static let headerLength: UInt64 = 4096
    private static let checkedLength = 48

    public let path: String
    public let geometry: DiskGeometry
    /// Of the first cluster in the file.
    let dataOffset: UInt64
    let clusters: UInt64
    private let descriptor: Descriptor
    private let lock: FileLock

    /// Opens it, or makes it where there is none, or an empty one, and locks it.
    /// - Parameter geometry: the base's.
    public init(path: String, geometry: DiskGeometry) throws(OverlayError) {
        guard geometry.length > 0, geometry.length <= OverlayFile.limit else {
            throw OverlayError(
                "a base of \(geometry.length) bytes is too large: an overlay's has up to \(OverlayFile.limit)")
        }
        (self.path, self.geometry) = (path, geometry)
        clusters = (geometry.length + OverlayFile.clusterSize - 1) / OverlayFile.clusterSize
        let mapLength = (clusters + 7) / 8
        dataOffset = OverlayFile.headerLength + (mapLength + 4095) / 4096 * 4096
        do throws(HostCallError) {
            descriptor = try Descriptor.open(path, O_RDWR | O_CREAT | O_NONBLOCK, mode: 0o644)
        } catch { throw OverlayError("'\(path)' cannot be opened for writing: " + error.text) }
        guard bh_lock(descriptor.raw, 1) != -EAGAIN else {
            throw OverlayError("'\(path)' is in use by another machine")
        }
        lock = FileLock(of: descriptor)
        do throws(HostCallError) {
            let file = try descriptor.status()
            guard Int(file.kind) == BH_REGULAR else { throw HostCallError(code: ENOTBLK) }
            if file.length == 0 { try create() }
        } catch {
            throw OverlayError(
                error.code == ENOTBLK ? "'\(path)' is no regular file" : "'\(path)' cannot be made: " + error.text)
        }
        try check()
    }

    private var length: UInt64 { dataOffset + clusters * OverlayFile.clusterSize }

    private func create() throws(HostCallError) {
        try HostCallError.check(bh_file_set_size(descriptor.raw, length))
        try put(header, at: 0)
        try HostCallError.check(bh_fsync(descriptor.raw, 0))
    }

    // MARK: The header

    private var header: [UInt8] {
        var bytes = OverlayFile.magic
        for (value, width) in [
            (1, 4), (OverlayFile.clusterSize, 4), (geometry.length, 8), (UInt64(geometry.sectorSize), 4), (0, 4),
            (OverlayFile.headerLength, 8), (dataOffset, 8),
        ] as [(UInt64, UInt64)] {
            bytes += (0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }
        let sum = OverlayFile.sum(bytes[...])
        bytes += (0..<8 as Range<UInt64>).map { UInt8(truncatingIfNeeded: sum >> ($0 * 8)) }
        return bytes + [UInt8](repeating: 0, count: Int(OverlayFile.headerLength) - bytes.count)
    }

    /// FNV-1a of 64 bits (Fowler, Noll, Vo).
    private static func sum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    private func check() throws(OverlayError) {
        let (bytes, found): ([UInt8], UInt64)
        do throws(HostCallError) {
            found = UInt64(clamping: try descriptor.status().length)
            guard found >= OverlayFile.headerLength else { throw HostCallError(code: EIO) }
            bytes = try take(Int(OverlayFile.headerLength), at: 0)
        } catch { throw OverlayError("'\(path)' is no overlay, or one without its header") }
        func number(_ offset: Int, _ width: Int) -> UInt64 {
            bytes[offset..<(offset + width)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        guard bytes.starts(with: OverlayFile.magic) else { throw OverlayError("'\(path)' is no overlay") }
        guard number(OverlayFile.checkedLength, 8) == OverlayFile.sum(bytes[..<OverlayFile.checkedLength]) else {
            throw OverlayError("'\(path)': its header is damaged")
        }
        guard number(8, 4) == 1, number(12, 4) == OverlayFile.clusterSize else {
            throw OverlayError("'\(path)' is an overlay of another version, \(number(8, 4))")
        }
        guard number(16, 8) == geometry.length, number(24, 4) == UInt64(geometry.sectorSize) else {
            throw OverlayError(
                "'\(path)' belongs to a base of \(number(16, 8)) bytes in sectors of \(number(24, 4)); this one has \(geometry.length) in sectors of \(geometry.sectorSize)"
            )
        }
        guard bytes == header else { throw OverlayError("'\(path)': its header is damaged") }
        guard found >= length else {
            throw OverlayError("'\(path)' is cut off: it has \(found) bytes of \(length)")
        }
    }

    /// At an offset of the file.
    private func take(_ count: Int, at offset: UInt64) throws(HostCallError) -> [UInt8] {
        let piece = Piece(count: count)
        try Transfers.read(descriptor, at: offset, into: piece.bytes)
        return [UInt8](piece.bytes)
    }

    private func put(_ bytes: [UInt8], at offset: UInt64) throws(HostCallError) {
        let piece = Piece(count: bytes.count)
        piece.bytes.copyBytes(from: bytes)
        try Transfers.write(descriptor, at: offset, UnsafeRawBufferPointer(piece.bytes))
    }

    // MARK: Contents; these calls may block

    func loadMap() throws(OverlayError) -> ClusterMap {
        var map = ClusterMap()
        var offset = OverlayFile.headerLength
        while offset < dataOffset {
            let count = Int(min(256 * UInt64(ClusterMap.pageLength), dataOffset - offset))
            let bytes: [UInt8]
            do throws(HostCallError) { bytes = try take(count, at: offset) } catch {
                throw OverlayError("'\(path)' cannot be read: " + error.text)
            }
            for start in stride(from: 0, to: count, by: ClusterMap.pageLength) {
                let page = (offset - OverlayFile.headerLength + UInt64(start)) / UInt64(ClusterMap.pageLength)
                guard map.load(page, bytes[start..<(start + ClusterMap.pageLength)], end: clusters) else {
                    throw OverlayError("'\(path)': its map of clusters is damaged: it has some beyond the disk's end")
                }
            }
            offset += UInt64(count)
        }
        return map
    }

    /// `offset`: of the disk.
    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(HostCallError) {
        try Transfers.read(descriptor, at: dataOffset + offset, into: bytes)
    }

    func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(HostCallError) {
        try Transfers.write(descriptor, at: dataOffset + offset, bytes)
    }

    /// Zeros that take no room. False: the file system cannot do that.
    func punch(at offset: UInt64, length: UInt64) throws(HostCallError) -> Bool {
        let result = bh_punch(descriptor.raw, Int64(clamping: dataOffset + offset), Int64(clamping: length))
        if [EOPNOTSUPP, ENOSYS, EINVAL].contains(-result) { return false }
        try HostCallError.check(result)
        return true
    }

    /// The clusters first, then what says that they are there: whenever this is cut short, the map tells of no cluster that is not on the disk.
    func flush(_ pages: [ClusterMap.Page]) throws(HostCallError) {
        try HostCallError.check(bh_fdatasync(descriptor.raw))
        guard !pages.isEmpty else { return }
        for page in pages {
            let offset = OverlayFile.headerLength + page.number * UInt64(ClusterMap.pageLength)
            try put(page.bytes, at: offset)
        }
        try HostCallError.check(bh_fdatasync(descriptor.raw))
    }
}
