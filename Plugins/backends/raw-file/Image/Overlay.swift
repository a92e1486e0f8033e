import BackendSupport
import CBackendSupport
import Glibc

/// The clusters of an image that differ from it, in a temporary file without a name: what snapshot mode writes.
/// A cluster has in the overlay the offset that it has in the image; the file is sparse.
final class Overlay {
    static let clusterSize: UInt64 = 4096

    private let base: Descriptor
    private let overlay: Descriptor
    private let length: UInt64
    private(set) var clusters = ClusterSet()
    private let cluster: UnsafeMutableRawBufferPointer

    /// `length`: of the image in bytes, in whole sectors.
    init(base: Descriptor, length: UInt64, directory: String) throws(HostCallError) {
        overlay = try Descriptor(checking: bh_temporary(directory))
        self.base = base
        self.length = length
        cluster = .allocate(byteCount: Int(Overlay.clusterSize), alignment: 4096)
    }

    deinit { cluster.deallocate() }

    /// The whole range lies in the image.
    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(HostCallError) {
        var done = 0
        while done < bytes.count {
            let (source, count) = run(at: offset + UInt64(done), atMost: bytes.count - done)
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[done..<(done + count)])
            try Transfers.read(source, at: offset + UInt64(done), into: part)
            done += count
        }
    }

    /// See `DiskMedium.readAtOnce`.
    func readAtOnce(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
        var done = 0
        while done < bytes.count {
            let (source, count) = run(at: offset + UInt64(done), atMost: bytes.count - done)
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[done..<(done + count)])
            guard Transfers.readCached(source, at: offset + UInt64(done), into: part) else { return false }
            done += count
        }
        return true
    }

    /// Bytes from `position` on that lie in the same file, and which that is.
    private func run(at position: UInt64, atMost count: Int) -> (source: Descriptor, count: Int) {
        let isOwn = clusters.contains(position / Overlay.clusterSize)
        let limit = position + UInt64(count)
        var end = clusterEnd(position)
        while end < limit, clusters.contains(end / Overlay.clusterSize) == isOwn { end = clusterEnd(end) }
        return (isOwn ? overlay : base, Int(min(end, limit) - position))
    }

    func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(HostCallError) {
        var done = 0
        while done < bytes.count {
            let position = offset + UInt64(done)
            let count = min(bytes.count - done, Int(clusterEnd(position) - position))
            try writeInCluster(at: position, UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)]))
            done += count
        }
    }

    /// The end of the cluster that holds `position`, or of the image.
    private func clusterEnd(_ position: UInt64) -> UInt64 {
        min(length, (position / Overlay.clusterSize + 1) * Overlay.clusterSize)
    }

    private func writeInCluster(at position: UInt64, _ bytes: UnsafeRawBufferPointer) throws(HostCallError) {
        let number = position / Overlay.clusterSize
        guard !clusters.contains(number) else { return try Transfers.write(overlay, at: position, bytes) }
        let start = number * Overlay.clusterSize
        let whole = UnsafeMutableRawBufferPointer(rebasing: cluster[..<Int(clusterEnd(start) - start)])
        if bytes.count < whole.count { try Transfers.read(base, at: start, into: whole) }
        let place = Int(position - start)
        whole[place..<(place + bytes.count)].copyBytes(from: bytes)
        try Transfers.write(overlay, at: start, UnsafeRawBufferPointer(whole))
        // Only now: after a failure the image's own contents are still what is read.
        clusters.insert(number)
    }
}

/// A set of cluster numbers, one bit each, in pages that are made when they are needed.
struct ClusterSet: Sendable {
    private(set) var count = 0
    private var pages: [UInt64: [UInt64]] = [:]
    /// A page's bits cover 128 MiB of the image.
    private static let (bitsOfPage, wordsOfPage) = (32768 as UInt64, 512)

    func contains(_ cluster: UInt64) -> Bool {
        guard let page = pages[cluster / ClusterSet.bitsOfPage] else { return false }
        let bit = cluster % ClusterSet.bitsOfPage
        return page[Int(bit / 64)] >> (bit % 64) & 1 != 0
    }

    mutating func insert(_ cluster: UInt64) {
        guard !contains(cluster) else { return }
        let bit = cluster % ClusterSet.bitsOfPage
        pages[
            cluster / ClusterSet.bitsOfPage, default: [UInt64](repeating: 0, count: ClusterSet.wordsOfPage)
        ][Int(bit / 64)] |= 1 << (bit % 64)
        count += 1
    }
}
