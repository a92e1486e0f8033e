import Glibc
import TraceFormat

/// The host file that a trace goes to. It never waits but in `drain`.
final class TraceFile {
    enum Progress: Equatable {
        /// All that waited is written.
        case done
        /// The reader of a pipe is slow.
        case later
        /// An errno.
        case failed(Int32)
    }

    /// What failed and why.
    struct OpenError: Error { let code: Int32 }

    private let descriptor: Int32

    init(_ path: String) throws(OpenError) {
        // Not blocking: a pipe that nobody reads is an error at once, and one that is read slowly loses events instead
        // of holding up the guest. Regular files take everything.
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        let (descriptor, code) = path.withCString { name in
            let descriptor = open(name, flags, 0o644)
            return (descriptor, errno)
        }
        guard descriptor >= 0 else { throw OpenError(code: code) }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Throws what opening it would throw now, and touches nothing.
    static func check(_ path: String) throws(OpenError) {
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { throw OpenError(code: EISDIR) }
            if access(path, W_OK) != 0 { throw OpenError(code: errno) }
            return
        }
        guard errno == ENOENT else { throw OpenError(code: errno) }
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        if access(directory, W_OK | X_OK) != 0 { throw OpenError(code: errno) }
    }

    func flush(_ buffer: inout ByteBuffer) -> Progress {
        while !buffer.isEmpty {
            // SAFETY: `write` reads the span's bytes within the call.
            let (count, code) = buffer.withPending { pending in
                pending.withUnsafeBufferPointer { bytes in
                    let count = write(descriptor, bytes.baseAddress, bytes.count)
                    return (count, errno)
                }
            }
            if count > 0 {
                buffer.consume(count)
            } else if count == 0 || code == EAGAIN {
                return .later
            } else if code != EINTR {
                return .failed(code)
            }
        }
        return .done
    }

    /// As `flush`, but waits for a slow reader, a second in all.
    func drain(_ buffer: inout ByteBuffer) -> Progress {
        for _ in 0..<20 {
            let progress = flush(&buffer)
            guard progress == .later else { return progress }
            var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = Glibc.poll(&poll, 1, 50)
        }
        return flush(&buffer)
    }
}
