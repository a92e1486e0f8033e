import CHost
import Glibc

/// A child process that runs this same program. (Foundation's Process does too, and costs every command 5 ms at start.)
struct ChildProcess {
    enum End: Equatable {
        case exited(Int32)
        case killed(signal: Int32)
    }

    let pid: pid_t

    /// Where a child's standard streams go; its input is empty.
    enum Streams {
        /// Its output to a descriptor, its errors nowhere.
        case output(Int32)
        /// Both to this process's errors.
        case errors
        case nowhere
    }

    /// What the descriptor `sharing` becomes in a child.
    static let sharedDescriptor: Int32 = 3

    /// - Parameter sharing: a descriptor that the child gets as `sharedDescriptor`.
    /// - Parameter inOwnGroup: signals that the child sends to its process group do not reach this process.
    init(
        _ arguments: [String], _ streams: Streams, sharing: Int32? = nil, inOwnGroup: Bool = false
    ) throws(HostError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        switch streams {
        case .output(let output):
            posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        case .errors: posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
        case .nowhere:
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        }
        if let sharing { posix_spawn_file_actions_adddup2(&actions, sharing, ChildProcess.sharedDescriptor) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        if inOwnGroup { posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP)) }
        var words = ([CommandLine.arguments.first ?? "backplane"] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, &words, environ)
        guard code == 0 else { throw HostError("the child process cannot be started", code: code) }
        self.pid = pid
    }

    func kill() { _ = Glibc.kill(pid, SIGKILL) }

    func wait() -> End {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return ChildProcess.end(status)
    }

    /// nil: it has not ended.
    func poll() -> End? {
        var status: Int32 = 0
        return waitpid(pid, &status, WNOHANG) == pid ? ChildProcess.end(status) : nil
    }

    private static func end(_ status: Int32) -> End {
        let signal = status & 0x7f
        return signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: signal)
    }
}

/// A call of the host's that failed: what was tried, and errno's text.
struct HostError: Error, CustomStringConvertible {
    var description: String
    init(_ doing: String, code: Int32) { description = "\(doing): \(String(cString: strerror(code)))" }
}

/// A pipe that children do not inherit: closed when it is freed.
final class ClosingPipe {
    let reading: Int32
    private(set) var writing: Int32

    init() throws(HostError) {
        var ends: [Int32] = [-1, -1]
        let result = ch_pipe(&ends)
        guard result == 0 else { throw HostError("a pipe", code: -result) }
        (reading, writing) = (ends[0], ends[1])
    }

    /// So that the reader sees the end when the child has ended.
    func closeWriting() {
        if writing >= 0 { close(writing) }
        writing = -1
    }

    deinit {
        closeWriting()
        close(reading)
    }
}

/// All of `bytes`, whatever signals come.
@discardableResult
func writeAll(_ descriptor: Int32, _ bytes: some Sequence<UInt8>) -> Bool {
    let bytes = Array(bytes)
    var done = 0
    while done < bytes.count {
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + done, bytes.count - done) }
        if count < 0, errno != EINTR { return false }
        done += max(0, count)
    }
    return true
}

/// Writes a line to standard error.
func complain(_ text: String) { writeAll(STDERR_FILENO, "backplane: \(text)\n".utf8) }
