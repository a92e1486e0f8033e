import Glibc

/// Standard input, output and error as they are found, and how output is written without ever waiting for its reader.
enum Descriptors {
    /// 0, 1 and 2, where closed, become /dev/null: otherwise the next file that is opened would be taken for the
    /// terminal.
    static func openStandard() {
        for descriptor in 0..<3 as Range<Int32> where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest free number is this one.
            _ = open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY)
        }
    }

    static func isSameTerminal(_ a: Int32, _ b: Int32) -> Bool {
        guard isatty(a) == 1, isatty(b) == 1 else { return false }
        var (first, second) = (stat(), stat())
        return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_rdev == second.st_rdev
    }
}

/// Output that does not wait for its reader.
struct OutputPort {
    enum Result: Equatable { case wrote(Int), wouldBlock, failed(Int32) }

    let descriptor: Int32
    private let isOwn: Bool
    /// poll() promises no more than this for a shared descriptor (PIPE_BUF).
    private var chunk: Int { isOwn ? 16 << 10 : 4 << 10 }

    /// O_NONBLOCK belongs to the open file, which the shell and all of its children share: a terminal or a pipe is
    /// opened once more for a flag of our own. Where that fails (a socket, another user's terminal), small writes
    /// after poll(), which a stopped terminal can hold up.
    init(_ shared: Int32) {
        var info = stat()
        let kind = fstat(shared, &info) == 0 ? info.st_mode & S_IFMT : 0
        let canReopen = kind == S_IFIFO || kind == S_IFCHR
        let own = canReopen ? open("/proc/self/fd/\(shared)", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1
        isOwn = own >= 0
        descriptor = isOwn ? own : shared
    }

    func close() { if isOwn { _ = Glibc.close(descriptor) } }

    /// At least one byte, as many as go at once.
    func write(_ bytes: [UInt8]) -> Result {
        let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, min($0.count, chunk)) }
        let error = errno
        if count >= 0 { return .wrote(count) }
        return error == EAGAIN || error == EINTR ? .wouldBlock : .failed(error)
    }

    /// False: nothing can be written for so many ms.
    func wait(_ milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, milliseconds) > 0
    }
}
