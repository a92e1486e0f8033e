import BackendSupport
import CBackendSupport
import Glibc

public enum ImageMode: Int, Sendable {
    case readWrite = 0, readOnly
    /// Writes go to a temporary file and are forgotten at the end.
    case snapshot
}

/// A sentence for the user.
public struct ImageError: Error, Equatable {
    public var text: String
    init(_ text: String) { self.text = text }
}

/// An open raw disk image: a regular file or a block device, locked against a second writer for as long as it is open.
///
/// The lock is one of the open file description (fcntl(2), F_OFD_SETLK): exclusive for read-write, shared otherwise. It
/// holds also between two machines of one process. Programs that do not ask for it are not kept away.
public final class ImageFile: Sendable {
    public let path: String
    public let mode: ImageMode
    /// As it was when it was opened.
    public let geometry: DiskGeometry
    /// Sentences that the user should read once.
    public let warnings: [String]
    let descriptor: Descriptor

    /// `sectorSize`: a power of two from 512.
    public init(path: String, mode: ImageMode, sectorSize: UInt32) throws(ImageError) {
        var warnings: [String] = []
        descriptor = try ImageFile.open(path, mode)
        let length = try ImageFile.length(of: descriptor, path)
        try ImageFile.lock(descriptor, path, mode, &warnings)
        geometry = try ImageFile.geometry(length, path, sectorSize)
        let tail = length % UInt64(sectorSize)
        if tail > 0 {
            warnings.append(
                "'\(path)' has \(length) bytes, not a multiple of \(sectorSize): the last \(tail) are ignored")
        }
        self.path = path
        self.mode = mode
        self.warnings = warnings
    }

    /// Closing alone does not end the lock while a process that is just being started still has a copy of the descriptor.
    deinit { bh_unlock(descriptor.raw) }

    /// Throws what opening it would throw now, but neither writes nor locks it.
    public static func check(
        path: String, mode: ImageMode, sectorSize: UInt32, temporaryDirectory: String
    ) throws(ImageError) {
        let descriptor = try open(path, .readOnly)
        _ = try geometry(try length(of: descriptor, path), path, sectorSize)
        if mode == .readWrite, access(path, W_OK) != 0 {
            throw ImageError(openText(path, mode, HostCallError(code: errno)))
        }
        if bh_is_write_locked(descriptor.raw) != 0 { throw ImageError("'\(path)' is in use by another writer") }
        if mode == .snapshot, access(temporaryDirectory, W_OK | X_OK) != 0 {
            throw ImageMedium.noTemporaryFile(temporaryDirectory, HostCallError(code: errno))
        }
    }

    /// Makes a regular file longer.
    /// - Parameter wanted: its bytes, in whole sectors; nil: it, or the block device, has grown by other hands.
    /// - Returns: what it has now. Never less than `known`: what lies there may be in use.
    public func grow(to wanted: UInt64?, from known: DiskGeometry) throws(ImageError) -> DiskGeometry {
        guard mode == .readWrite else { throw ImageError("only mode: read-write has a size that changes") }
        if let wanted {
            guard wanted % UInt64(known.sectorSize) == 0, wanted <= UInt64(Int64.max) else {
                throw ImageError("\(wanted) bytes are no whole sectors of \(known.sectorSize)")
            }
            guard wanted >= known.length else {
                throw ImageError("'\(path)' has \(known.length) bytes, and is not made smaller while it is in use")
            }
            try setLength(wanted)
        }
        let found = try ImageFile.geometry(try ImageFile.length(of: descriptor, path), path, known.sectorSize)
        guard found.sectors >= known.sectors else {
            throw ImageError(
                "'\(path)' has \(found.length) bytes, where the disk has \(known.length): it was cut short")
        }
        return found
    }

    private func setLength(_ wanted: UInt64) throws(ImageError) {
        let present = try ImageFile.length(of: descriptor, path)
        guard wanted > present else { return }
        do throws(HostCallError) { try HostCallError.check(bh_file_set_size(descriptor.raw, wanted)) } catch {
            guard error.code == EINVAL else { throw ImageError("'\(path)' cannot be made larger: \(error.text)") }
            throw ImageError("'\(path)' is no regular file: who has it makes it larger, and then size 0 is to be given")
        }
    }

    private static func geometry(
        _ length: UInt64, _ path: String, _ sectorSize: UInt32
    ) throws(ImageError) -> DiskGeometry {
        let sectors = length / UInt64(sectorSize)
        guard sectors > 0 else {
            throw ImageError("'\(path)' has \(length) bytes, less than one sector of \(sectorSize)")
        }
        return DiskGeometry(sectorSize: sectorSize, sectors: sectors)
    }

    private static func open(_ path: String, _ mode: ImageMode) throws(ImageError) -> Descriptor {
        var flags = mode == .readWrite ? O_RDWR : O_RDONLY
        // A block device that the host has mounted answers EBUSY to this.
        var link = bh_file()
        if mode == .readWrite, bh_stat_link(path, &link) == 0, Int(link.kind) == BH_BLOCK_DEVICE {
            flags |= O_EXCL
        }
        do throws(HostCallError) {
            // Not blocking: a pipe must not hold up the load before it is found out.
            let descriptor = try Descriptor.open(path, flags | O_NONBLOCK)
            try HostCallError.check(bh_set_blocking(descriptor.raw))
            return descriptor
        } catch {
            throw ImageError(openText(path, mode, error))
        }
    }

    private static func openText(_ path: String, _ mode: ImageMode, _ error: HostCallError) -> String {
        switch error.code {
        case ENOENT: "there is no file '\(path)': `backplane disk create` makes one"
        case EISDIR: "'\(path)' is a directory, not a disk image"
        case ENXIO: notAnImage(path)
        case EBUSY: "'\(path)' is in use by this host: is it mounted?"
        case EACCES, EPERM, EROFS:
            mode == .readWrite
                ? "'\(path)' cannot be opened for writing: \(error.text) (mode: read-only or snapshot only reads it)"
                : "'\(path)' cannot be opened: \(error.text)"
        default: "'\(path)' cannot be opened: \(error.text)"
        }
    }

    private static func notAnImage(_ path: String) -> String {
        "'\(path)' is neither a regular file nor a block device"
    }

    private static func length(of descriptor: Descriptor, _ path: String) throws(ImageError) -> UInt64 {
        do throws(HostCallError) {
            let file = try descriptor.status()
            let kind = Int(file.kind)
            if kind == BH_REGULAR || kind == BH_BLOCK_DEVICE {
                return UInt64(clamping: file.length)
            }
            // Opened for reading it is no error yet.
            if kind == BH_DIRECTORY { throw HostCallError(code: EISDIR) }
        } catch {
            if error.code == EISDIR { throw ImageError(openText(path, .readOnly, error)) }
            throw ImageError("'\(path)' cannot be examined: \(error.text)")
        }
        throw ImageError(notAnImage(path))
    }

    private static func lock(
        _ descriptor: Descriptor, _ path: String, _ mode: ImageMode, _ warnings: inout [String]
    ) throws(ImageError) {
        let result = bh_lock(descriptor.raw, mode == .readWrite ? 1 : 0)
        switch -result {
        case 0: break
        case EAGAIN, EACCES:
            throw ImageError(
                bh_is_write_locked(descriptor.raw) != 0
                    ? "'\(path)' is in use by another writer"
                    : "'\(path)' is in use by a reader, and cannot be opened for writing meanwhile")
        default:
            warnings.append(
                "'\(path)' cannot be locked (\(HostCallError.text(of: -result))): see to it that nobody else writes it")
        }
    }
}
