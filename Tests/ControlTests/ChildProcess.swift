import Glibc
import Testing

/// control-child in a process of its own, with a pty or pipes.
final class ChildProcess {
    enum Stream {
        case none
        /// The pty of this process's own session.
        case terminal
        case pipe
        case file(String)
        case descriptor(Int32)
    }

    struct Ended: Equatable {
        /// As a shell gives it: 128 and the number of the signal that killed it.
        var status: Int32
        /// User and system time, seconds.
        var cpu: Double

        static func == (a: Ended, b: Ended) -> Bool { a.status == b.status }
    }

    private(set) var pid: pid_t = 0
    let pty: Pty?
    private(set) var input: Int32 = -1
    private(set) var output: Int32 = -1
    private(set) var error: Int32 = -1
    /// Of --shell.
    private var commands: Int32 = -1
    private var answers: Int32 = -1
    private var ended: Ended?

    init(
        _ arguments: [String] = [], input: Stream = .terminal, output: Stream = .terminal, error: Stream = .pipe,
        ignoring ignored: Int32? = nil
    ) throws {
        let isShell = arguments.first == "--shell"
        let needsTerminal = [input, output, error].contains { if case .terminal = $0 { true } else { false } }
        pty = needsTerminal ? try Pty() : nil
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var theirs: [Int32] = []
        func place(_ stream: Stream, _ number: Int32, writes: Bool) throws -> Int32 {
            switch stream {
            case .none: posix_spawn_file_actions_addclose(&actions, number)
            case .terminal: posix_spawn_file_actions_addopen(&actions, number, pty!.path, O_RDWR, 0)
            case .file(let path):
                posix_spawn_file_actions_addopen(&actions, number, path, writes ? O_WRONLY | O_CREAT : O_RDONLY, 0o600)
            case .descriptor(let descriptor): posix_spawn_file_actions_adddup2(&actions, descriptor, number)
            case .pipe:
                let pipe = try Pipe()
                theirs.append(writes ? pipe.write : pipe.read)
                posix_spawn_file_actions_adddup2(&actions, theirs.last!, number)
                return writes ? pipe.read : pipe.write
            }
            return -1
        }
        self.input = try place(input, 0, writes: false)
        self.output = try place(output, 1, writes: true)
        self.error = try place(error, 2, writes: true)
        if isShell {
            answers = try place(.pipe, 3, writes: true)
            commands = try place(.pipe, 4, writes: false)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        let newSession: Int32 = 0x80  // POSIX_SPAWN_SETSID
        posix_spawnattr_setflags(&attributes, Int16(newSession | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var defaults = sigset_t()
        sigfillset(&defaults)
        if let ignored { sigdelset(&defaults, ignored) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        var nothing = sigset_t()
        sigemptyset(&nothing)
        posix_spawnattr_setsigmask(&attributes, &nothing)
        var strings = (["control-child"] + arguments).map { strdup($0) } + [nil]
        defer { strings.forEach { free($0) } }
        let code = spawning.withLock { _ in
            // Inherited over exec.
            if let ignored { signal(ignored, SIG_IGN) }
            defer { if let ignored { signal(ignored, SIG_DFL) } }
            return posix_spawn(&pid, ChildProcess.path, &actions, &attributes, &strings, environ)
        }
        theirs.forEach { close($0) }
        if code != 0 { throw Failure("posix_spawn of \(ChildProcess.path)", code) }
    }

    deinit {
        if ended == nil, pid > 0 {
            // A shell's job would outlive it.
            if let job { kill(job, SIGKILL) }
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
        for descriptor in [input, output, error, commands, answers] where descriptor >= 0 { close(descriptor) }
    }

    /// Beside the tests' own executable.
    private static let path: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return own[..<(own.lastIndex(of: "/") ?? own.startIndex)] + "/control-child"
    }()

    func closeInput() {
        close(input)
        input = -1
    }

    func closeOutput() {
        close(output)
        output = -1
    }

    /// Kills it after `seconds`, which shows as status 137.
    func wait(seconds: Double = 20) -> Ended {
        if let ended { return ended }
        let deadline = now() + seconds
        var status: Int32 = 0
        var usage = rusage()
        while wait4(pid, &status, WNOHANG, &usage) == 0 {
            if now() > deadline { kill(pid, SIGKILL) }
            usleep(5000)
        }
        func time(_ t: timeval) -> Double { Double(t.tv_sec) + Double(t.tv_usec) / 1e6 }
        let result = Ended(
            status: status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f),
            cpu: time(usage.ru_utime) + time(usage.ru_stime))
        ended = result
        return result
    }

    /// Of a --shell: does it, and gives the answer.
    func shell(_ letter: Character) -> String {
        send(String(letter), to: commands)
        return readText(answers, until: "\n").trimmingNewline
    }

    /// Of a --shell.
    var job: pid_t? {
        let file = open("/proc/\(pid)/task/\(pid)/children", O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        return readText(file, until: " ").split(separator: " ").first.flatMap { pid_t($0) }
    }

    /// CPU time used so far, seconds: a shell's job's, or its own.
    var cpuTime: Double {
        var clock: clockid_t = 0
        var time = timespec()
        guard clock_getcpuclockid(job ?? pid, &clock) == 0, clock_gettime(clock, &time) == 0 else { return .nan }
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

extension String {
    var trimmingNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}
