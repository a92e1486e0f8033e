import CBackendSupport
import Glibc

/// Whole transfers, however many calls the host makes of them.
public enum Transfers {
    public static func read(
        _ file: Descriptor, at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer
    ) throws(HostCallError) {
        var done = 0
        while done < bytes.count {
            let position = Int64(clamping: offset + UInt64(done))
            let count = try HostCallError.check(
                bh_pread(file.raw, bytes.baseAddress! + done, bytes.count - done, position))
            // Somebody has cut the file short.
            guard count > 0 else { throw HostCallError(code: EIO) }
            done += count
        }
    }

    /// Where all of it lies in the host's page cache; no medium is waited for.
    /// - Returns: false: not all of it does, or the file system cannot tell; some bytes may be there.
    public static func readCached(
        _ file: Descriptor, at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer
    ) -> Bool {
        var done = 0
        while done < bytes.count {
            let position = Int64(clamping: offset + UInt64(done))
            let count = bh_pread_cached(file.raw, bytes.baseAddress! + done, bytes.count - done, position)
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    public static func write(
        _ file: Descriptor, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
    ) throws(HostCallError) {
        var done = 0
        while done < bytes.count {
            let position = Int64(clamping: offset + UInt64(done))
            let count = try HostCallError.check(
                bh_pwrite(file.raw, bytes.baseAddress! + done, bytes.count - done, position))
            guard count > 0 else { throw HostCallError(code: EIO) }
            done += count
        }
    }
}
