import CHost
import Glibc

/// A child process that runs this same program. (Foundation's Process does too, and costs every command 5 ms at start.)
struct ChildProcess {
    enum End: Equatable {
        case exited(Int32)
        case killed(signal: Int32)
    }

    let pid: pid_t

    /// - Parameter output: what its standard output becomes, while its input and its errors go nowhere; nil: it shares this
    ///   process's three.
    /// - Parameter inherited: a descriptor that the child has too, under its number.
    init(_ arguments: [String], output: Int32? = nil, inherited: Int32? = nil) throws(HostError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let output {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        }
        // To itself: that takes close-on-exec away.
        if let inherited { posix_spawn_file_actions_adddup2(&actions, inherited, inherited) }
        var words = ([CommandLine.arguments.first ?? "backplane"] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, "/proc/self/exe", &actions, nil, &words, environ)
        guard code == 0 else { throw HostError("the child process cannot be started", code: code) }
        self.pid = pid
    }

    func kill() { _ = Glibc.kill(pid, SIGKILL) }

    func wait() -> End {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
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
