import BackendSupport
import CBackendSupport
import Glibc

/// Where a disk's sectors are. Used by one thread at a time; its calls may block.
public protocol DiskMedium: Sendable {
    /// As messages call it.
    var name: String { get }
    /// Bytes that are kept beside the image.
    var overlayLength: UInt64 { get }
    /// The whole range lies in the medium.
    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(HostCallError)
    /// The same where it can be had without waiting. False: it cannot, or not all of it; it does not block.
    func readAtOnce(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Bool
    func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(HostCallError)
    /// What was written is on the disk.
    func flush() throws(HostCallError)
    /// The range reads as zeros, and takes no room where that can be had. False: that is not known here, and nothing has happened.
    func punch(at offset: UInt64, length: UInt64) throws(HostCallError) -> Bool
}

extension DiskMedium {
    public func readAtOnce(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Bool { false }
    public func punch(at offset: UInt64, length: UInt64) throws(HostCallError) -> Bool { false }
}

/// An image, or an overlay above it in snapshot mode.
public final class ImageMedium: DiskMedium, @unchecked Sendable {
    private let image: ImageFile
    private let overlay: Overlay?

    /// `directory`: where snapshot mode keeps what is written.
    public init(_ image: ImageFile, directory: String) throws(ImageError) {
        self.image = image
        guard image.mode == .snapshot else {
            overlay = nil
            return
        }
        do throws(HostCallError) {
            overlay = try Overlay(base: image.descriptor, length: image.geometry.length, directory: directory)
        } catch {
            throw ImageMedium.noTemporaryFile(directory, error)
        }
    }

    static func noTemporaryFile(_ directory: String, _ error: HostCallError) -> ImageError {
        ImageError("a temporary file for mode: snapshot cannot be made in '\(directory)': \(error.text)")
    }

    public var name: String { image.path }
    public var overlayLength: UInt64 { UInt64(overlay?.clusters.count ?? 0) * Overlay.clusterSize }

    public func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(HostCallError) {
        if let overlay { return try overlay.read(at: offset, into: bytes) }
        try Transfers.read(image.descriptor, at: offset, into: bytes)
    }

    public func readAtOnce(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
        if let overlay { return overlay.readAtOnce(at: offset, into: bytes) }
        return Transfers.readCached(image.descriptor, at: offset, into: bytes)
    }

    public func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(HostCallError) {
        if let overlay { return try overlay.write(at: offset, bytes) }
        try Transfers.write(image.descriptor, at: offset, bytes)
    }

    /// Not in snapshot mode, nor where the file system has no holes.
    public func punch(at offset: UInt64, length: UInt64) throws(HostCallError) -> Bool {
        guard overlay == nil else { return false }
        let result = bh_punch(image.descriptor.raw, Int64(clamping: offset), Int64(clamping: length))
        if [EOPNOTSUPP, ENOSYS, EINVAL].contains(-result) { return false }
        try HostCallError.check(result)
        return true
    }

    /// Snapshot mode has nothing that outlives the machine.
    public func flush() throws(HostCallError) {
        if image.mode == .readWrite { try HostCallError.check(bh_fdatasync(image.descriptor.raw)) }
    }
}
