import Foundation
import Synchronization
import Testing

/// A process with pipes, files or a terminal; killed with its owner.
final class Child: @unchecked Sendable {
    enum Input {
        case nothing
        case pipe
        case terminal(Terminal)
    }

    enum Output {
        case pipe
        case file(String)
        case terminal(Terminal)
    }

    struct Ended {
        /// As a shell gives it: 128 and the number of the signal that killed it.
        var status: Int32
        var output: String
        var error: String
        /// Lines of standard error.
        var errors: [String] { error.split(separator: "\n").map(String.init) }
    }

    private(set) var pid: pid_t = 0
    private var input: Int32 = -1
    private let output = Reader()
    private let error = Reader()
    private var status: Int32?

    init(
        _ arguments: [String], program: String = Program.path, input: Input = .nothing, output: Output = .pipe,
        error: Output = .pipe, environment: [String: String] = [:]
    ) throws {
        _ = Child.ignoreSIGPIPE
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var theirs: [Int32] = []
        switch input {
        case .nothing: posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        case .terminal(let terminal): posix_spawn_file_actions_addopen(&actions, 0, terminal.path, O_RDWR, 0)
        case .pipe:
            let ends = try Child.pipe()
            self.input = ends.write
            theirs.append(ends.read)
            posix_spawn_file_actions_adddup2(&actions, ends.read, 0)
        }
        for (number, stream, reader) in [(Int32(1), output, self.output), (2, error, self.error)] {
            switch stream {
            case .terminal(let terminal): posix_spawn_file_actions_addopen(&actions, number, terminal.path, O_RDWR, 0)
            case .file(let path):
                posix_spawn_file_actions_addopen(&actions, number, path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
            case .pipe:
                let ends = try Child.pipe()
                theirs.append(ends.write)
                posix_spawn_file_actions_adddup2(&actions, ends.write, number)
                reader.start(ends.read)
            }
        }
        defer { theirs.forEach { close($0) } }
        pid = try Child.spawn(program, arguments, &actions, Child.environment(environment))
    }

    deinit {
        if status == nil, pid > 0 {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
        if input >= 0 { close(input) }
    }

    // MARK: Starting

    private static let ignoreSIGPIPE: Void = { _ = Foundation.signal(SIGPIPE, SIG_IGN) }()

    private static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(Foundation.pipe(&ends) == 0)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Nothing of the tester's own settings reaches the command.
    private static func environment(_ changes: [String: String]) -> [String] {
        var all = ProcessInfo.processInfo.environment.filter { name, _ in
            !name.hasPrefix("BACKPLANE_") && name != "NO_COLOR" && name != "TMPDIR"
        }
        all.merge(changes) { _, new in new }
        return all.map { "\($0)=\($1)" }
    }

    /// In a session of its own, with default signals: a terminal that it opens becomes its controlling one.
    private static func spawn(
        _ program: String, _ arguments: [String], _ actions: inout posix_spawn_file_actions_t, _ environment: [String]
    ) throws -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        let newSession: Int32 = 0x80  // POSIX_SPAWN_SETSID
        posix_spawnattr_setflags(&attributes, Int16(newSession | Int32(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK)))
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, program, &actions, &attributes, &argv, &envp)
        try #require(code == 0, "\(program) cannot be started: \(String(cString: strerror(code)))")
        return pid
    }

    // MARK: Talking

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Foundation.write(input, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            done += count
        }
    }

    func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    func signal(_ number: Int32) { kill(pid, number) }

    var outputText: String { output.text }
    var errorText: String { error.text }
    var isAlive: Bool { kill(pid, 0) == 0 && reap(WNOHANG) == nil }

    /// False, and an issue: it did not come in time.
    @discardableResult func shows(
        _ text: String, times: Int = 1, onError: Bool = false, seconds: Double = 60,
        at location: SourceLocation = #_sourceLocation
    ) async -> Bool {
        let reader = onError ? error : output
        if await eventually(seconds, { reader.text.components(separatedBy: text).count > times }) { return true }
        Issue.record("'\(text)' did not come; output: \(output.text) error: \(error.text)", sourceLocation: location)
        return false
    }

    // MARK: Ending

    private func reap(_ options: Int32) -> Int32? {
        if let status { return status }
        var raw: Int32 = 0
        guard waitpid(pid, &raw, options) == pid else { return nil }
        status = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + (raw & 0x7f)
        return status
    }

    /// Waits for its end; an issue, and SIGKILL, after `seconds`.
    func end(seconds: Double = 90, at location: SourceLocation = #_sourceLocation) async -> Ended {
        if await !eventually(seconds, { self.reap(WNOHANG) != nil }) {
            Issue.record("no end within \(seconds) s; error: \(error.text)", sourceLocation: location)
            kill(pid, SIGKILL)
            _ = reap(0)
        }
        _ = await eventually(10) { self.output.hasEnded && self.error.hasEnded }
        return Ended(status: status ?? -1, output: output.text, error: error.text)
    }
}

/// Collects what a descriptor gives, on a thread of its own.
final class Reader: Sendable {
    private let state = Mutex((bytes: [UInt8](), hasEnded: true))

    var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    /// Takes the descriptor over. `until`: also ends where it says so, looked at ten times a second.
    func start(_ descriptor: Int32, until isDone: @escaping @Sendable () -> Bool = { false }) {
        state.withLock { $0.hasEnded = false }
        Thread.detachNewThread { [self] in
            var chunk = [UInt8](repeating: 0, count: 65536)
            while !isDone() {
                var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard Foundation.poll(&poll, 1, 100) != 0 else { continue }
                let count = read(descriptor, &chunk, chunk.count)
                guard count > 0 else { break }
                state.withLock { $0.bytes += chunk[..<count] }
            }
            close(descriptor)
            state.withLock { $0.hasEnded = true }
        }
    }
}

/// Looks again and again; nothing waits on the cooperative threads.
func eventually(_ seconds: Double, _ condition: () -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while !condition() {
        if ContinuousClock.now > deadline { return condition() }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return true
}

/// Runs the command to its end, its standard input empty unless given.
func backplane(
    _ arguments: String..., input: String? = nil, environment: [String: String] = [:], seconds: Double = 90,
    at location: SourceLocation = #_sourceLocation
) async throws -> Child.Ended {
    let child = try Child(arguments, input: input == nil ? .nothing : .pipe, environment: environment)
    if let input { child.type(input) }
    child.closeInput()
    return await child.end(seconds: seconds, at: location)
}
