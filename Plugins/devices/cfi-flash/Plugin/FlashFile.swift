import BackendSupport
import CBackendSupport
import Glibc
import Images
import PluginKit

/// The file behind a flash: read once, and written piece by piece; locked against other writers while it can be written.
final class FlashFile {
    private let descriptor: Descriptor
    private let lock: FileLock?
    let bytes: [UInt8]
    private static let largest: UInt64 = 64 << 20

    /// Throws a sentence. A file that is not there is made of `template`.
    init(_ path: String, template: String?, isWritable: Bool) throws(PluginError) {
        if isWritable, let template, access(path, F_OK) < 0, errno == ENOENT { try FlashFile.make(path, of: template) }
        do throws(HostCallError) {
            descriptor = try Descriptor.open(path, (isWritable ? O_RDWR : O_RDONLY) | O_NONBLOCK)
        } catch {
            throw PluginError("'\(path)' cannot be opened: " + error.text)
        }
        if isWritable {
            guard bh_lock(descriptor.raw, 1) != -EAGAIN else {
                throw PluginError("'\(path)' is in use by another writer")
            }
            lock = FileLock(of: descriptor)
        } else {
            lock = nil
        }
        bytes = try FlashFile.read(path)
    }

    /// false: the host's disk has not taken it.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Bool {
        (try? Transfers.write(descriptor, at: offset, bytes)) != nil
    }

    private static func read(_ path: String) throws(PluginError) -> [UInt8] {
        do { return try ImageFile.read(path, limit: largest) } catch { throw PluginError(error.text) }
    }

    /// It is there as a whole or not at all.
    private static func make(_ path: String, of template: String) throws(PluginError) {
        let bytes = try read(template)
        let name = "\(path).new-\(getpid())"
        func failure(_ error: any Error) -> PluginError {
            PluginError("'\(path)' cannot be made of '\(template)': " + ((error as? HostCallError)?.text ?? "\(error)"))
        }
        let made: Descriptor
        do { made = try Descriptor.open(name, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600) } catch { throw failure(error) }
        do {
            try bytes.withUnsafeBytes { try Transfers.write(made, at: 0, $0) }
            try HostCallError.check(bh_rename(name, path))
        } catch {
            unlink(name)
            throw failure(error)
        }
    }
}
