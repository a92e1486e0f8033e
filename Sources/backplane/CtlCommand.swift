import ArgumentParser
import Control
import Glibc

struct Ctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Give a running machine a command of the monitor.",
        discussion: "The socket is that of `run --qmp unix:SOCKET`. `backplane ctl SOCKET help` lists the commands.")

    @Argument(help: "The machine's QMP socket.", completion: .file())
    var socket: String

    @Argument(parsing: .captureForPassthrough, help: "The command and its words.")
    var command: [String]

    func run() throws {
        do {
            let answer = try QMPClient(path: socket).monitor(command.map(MonitorWords.quoted).joined(separator: " "))
            Output.write(answer)
        } catch {
            complain("\(error)")
            throw ExitCode(2)
        }
    }
}

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a running machine's exits per second by kind, device and address.",
        discussion: "Puts a `stats` policy into the chain, and takes it out at the end (Ctrl-C).")

    @Argument(help: "The machine's QMP socket.", completion: .file())
    var socket: String

    @Option(help: "Seconds from one look to the next.")
    var interval = 1.0

    @Option(help: "How many looks; without it, until Ctrl-C.")
    var count: Int?

    @Option(help: "Rows of each table.")
    var rows = 12

    @Option(help: "Of several machines, which one: its name or number.")
    var machine: String?

    func run() throws {
        guard interval >= 0.05, interval <= 3600, rows > 0 else {
            throw ValidationError("--interval is from 0.05 to 3600 seconds, --rows more than 0")
        }
        do {
            Interruption.catchSignals()
            let table = try TopTable(QMPClient(path: socket), process: getpid(), machine: machine)
            defer { table.finish() }
            var left = count ?? .max
            let isScreen = isatty(STDOUT_FILENO) != 0
            while left > 0, Interruption.sleeps(seconds: interval) {
                let lines = try table.look(rows: rows)
                let text =
                    (isScreen ? "\u{1b}[H\u{1b}[2J" : "") + lines.joined(separator: "\n") + "\n"
                    + (isScreen ? "" : "\n")
                Output.write(text)
                left -= 1
            }
        } catch {
            complain("\(error)")
            throw ExitCode(2)
        }
    }
}

private enum Output {
    /// All of it; a reader that has gone ends it.
    static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// SIGINT and SIGTERM end a wait, and the program goes its ordinary way out.
private enum Interruption {
    private static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        return set
    }

    /// Held back from now on, and found by `sleeps`.
    static func catchSignals() {
        var set = signals
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// False: one of the signals has come.
    static func sleeps(seconds: Double) -> Bool {
        var set = signals
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int((seconds - Double(Int(seconds))) * 1e9))
        return sigtimedwait(&set, nil, &time) < 0
    }
}
