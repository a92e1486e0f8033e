import Glibc
import PluginKit

/// The file behind a flash: read once, and written piece by piece.
final class FlashFile {
    private let descriptor: Int32
    let bytes: [UInt8]
    static let largest = 64 << 20

    /// Throws a sentence. A file that is not there is made of `template`.
    init(_ path: String, template: String?, isWritable: Bool) throws(PluginError) {
        var found = open(path, (isWritable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK)
        if found < 0, errno == ENOENT, isWritable, let template {
            try FlashFile.copy(template, to: path)
            found = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)
        }
        guard found >= 0 else { throw FlashFile.failure(path, "cannot be opened") }
        do throws(PluginError) {
            bytes = try FlashFile.read(found, path)
            if isWritable, flock(found, LOCK_EX | LOCK_NB) < 0 {
                throw PluginError(path + " is in use: another machine has it")
            }
        } catch {
            close(found)
            throw error
        }
        descriptor = found
    }

    /// Closing alone does not end the lock while a process that is just being started still has a copy of the descriptor.
    deinit {
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// false: the host's disk has not taken it.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var done = 0
        while done < bytes.count {
            // SAFETY: `done` is below the count.
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(clamping: offset) + done)
            if count > 0 { done += count } else if errno != EINTR { return false }
        }
        return true
    }

    private static func failure(_ path: String, _ what: String) -> PluginError {
        PluginError("\(path) \(what): \(String(cString: strerror(errno)))")
    }

    private static func read(_ descriptor: Int32, _ path: String) throws(PluginError) -> [UInt8] {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(path, "cannot be examined") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw PluginError(path + " is not a regular file") }
        let size = Int(status.st_size)
        guard size > 0, size <= largest else {
            throw PluginError("\(path) has \(size) bytes: a flash has at least one block, and 64 MiB at most")
        }
        var bytes = [UInt8](repeating: 0, count: size)
        var done = 0
        while done < size {
            let count = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress.map { $0 + done }, size - done, off_t(done))
            }
            if count > 0 {
                done += count
            } else if count == 0 || errno != EINTR {
                throw failure(path, "cannot be read")
            }
        }
        return bytes
    }

    /// Into a new file, which is there as a whole or not at all.
    private static func copy(_ template: String, to path: String) throws(PluginError) {
        let source = open(template, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard source >= 0 else { throw failure(template, "cannot be opened, to make \(path) of it") }
        defer { close(source) }
        let bytes = try read(source, template)
        let name = "\(path).new-\(getpid())"
        let made = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard made >= 0 else { throw failure(path, "cannot be made") }
        defer { close(made) }
        let isWritten = bytes.withUnsafeBytes { Glibc.write(made, $0.baseAddress, $0.count) == $0.count }
        guard isWritten, rename(name, path) == 0 else {
            let error = failure(path, "cannot be made")
            unlink(name)
            throw error
        }
    }
}
