import BackendSupport
import CBackendSupport
import Glibc

/// A file to which whole blocks are added, as `PageLayout` puts them together.
public final class CaptureFile {
    private let descriptor: Descriptor
    private let lock: FileLock
    /// Up to here are whole blocks.
    public private(set) var length: Int64 = 0

    /// Makes the file, readable by its user alone, or empties it.
    public init(path: String) throws(HostCallError) {
        descriptor = try Descriptor.open(path, O_WRONLY | O_CREAT | O_NONBLOCK, mode: 0o600)
        guard Int(try descriptor.status().kind) == BH_REGULAR else { throw HostCallError(code: EINVAL) }
        try HostCallError.check(bh_lock(descriptor.raw, 1))
        lock = FileLock(of: descriptor)
        try HostCallError.check(bh_file_set_size(descriptor.raw, 0))
    }

    /// All of them, or none.
    public func append(_ blocks: [UInt8]) throws(HostCallError) {
        var done = 0
        while done < blocks.count {
            let result = blocks.withUnsafeBytes {
                bh_pwrite(descriptor.raw, $0.baseAddress.map { $0 + done }, $0.count - done, length + Int64(done))
            }
            guard result > 0 else {
                _ = bh_file_set_size(descriptor.raw, UInt64(length))
                throw HostCallError(code: result < 0 ? Int32(truncatingIfNeeded: -result) : ENOSPC)
            }
            done += result
        }
        length += Int64(done)
    }
}
