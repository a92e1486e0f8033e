import Glibc

/// Files that the operator asks for.
enum HostFile {
    /// For their eyes only (0600); an existing one is replaced.
    static func save(_ bytes: [UInt8], _ path: String) throws(CommandError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw CommandError("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw CommandError("\(path): \(String(cString: strerror(errno)))") }
            done += count
        }
    }
}
