import Glibc

/// Why an image file cannot be read: a sentence that names it.
public struct ImageFileError: Error, Equatable, Sendable {
    public var text: String
}

/// A file of the host that goes into a guest: read whole, once.
public enum ImageFile {
    /// Blocks while the file is read. Refuses what is missing, not a regular file, empty, or larger than `limit` bytes.
    public static func read(_ path: String, limit: UInt64) throws(ImageFileError) -> [UInt8] {
        // Not blocking, so that a pipe is refused below and not waited for.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure("open", path, errno) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw failure("examine", path, errno) }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw ImageFileError(text: path + " is a directory") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw ImageFileError(text: path + " is not a regular file") }
        let size = UInt64(clamping: status.st_size)
        guard size > 0 else { throw ImageFileError(text: path + " is empty") }
        guard size <= limit else {
            throw ImageFileError(text: path + " has \(size) bytes, more than the \(limit) that are allowed")
        }
        guard hasRoom(for: Int(size)) else {
            throw ImageFileError(text: path + ": the host has no memory for its \(size) bytes")
        }
        let bytes = try readAll(descriptor, path, Int(size))
        guard bytes.count == Int(size) else { throw ImageFileError(text: path + " became shorter while it was read") }
        return bytes
    }

    public static func isRegularFile(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// What is after the last slash.
    public static func name(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }

    /// Whether the host gives so much memory now: an array that it does not give ends the process.
    private static func hasRoom(for count: Int) -> Bool {
        // SAFETY: freed at once, and not used.
        guard let memory = unsafe malloc(count + 4096) else { return false }
        unsafe free(memory)
        return true
    }

    private static func readAll(
        _ descriptor: Int32, _ path: String, _ size: Int
    ) throws(ImageFileError) -> [UInt8] {
        var code: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            while filled < size {
                // SAFETY: `filled` is below the buffer's `size` bytes, and the rest is what is asked for.
                let count = unsafe Glibc.read(descriptor, buffer.baseAddress! + filled, size - filled)
                if count > 0 {
                    filled += count
                } else if count == 0 || errno != EINTR {
                    code = count == 0 ? 0 : errno
                    return
                }
            }
        }
        guard code == 0 else { throw failure("read", path, code) }
        return bytes
    }

    private static func failure(_ doing: String, _ path: String, _ code: Int32) -> ImageFileError {
        let reason = unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
        return ImageFileError(text: "cannot \(doing) \(path): \(reason)")
    }
}
