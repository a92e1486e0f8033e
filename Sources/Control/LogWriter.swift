// The log: whole lines on standard error, and in a file if wanted.
//
//   backplane: com1: warning: the receive FIFO overflows
//   backplane: asked the guests to power off; a second SIGTERM ends them at once
//
// Information carries no level name. A text of several lines becomes several lines, each with its beginning. Control
// characters, which a text may have from a guest, are shown as \x1b, so that no guest can drive the terminal through
// the log. In the file each line has the time in front, UTC in RFC 3339.

import CHost
import Core
import Glibc
import Synchronization

public final class LogWriter: Sendable {
    private struct State {
        var level: LogLevel
        var port: OutputPort
        /// The end of a line of which the reader has only taken the beginning.
        var rest: [UInt8] = []
        /// Lines that nobody took, since the last one that got through.
        var lost = 0
        var isStalled = false
    }

    /// How long a writer, which may hold a machine's lock, waits for standard error's reader: once, until it moves
    /// again.
    private static let patience: Int32 = 200

    let screen: Screen
    private let state: Mutex<State>
    private let file: Int32

    /// `file` is appended to. Throws where it cannot be opened.
    public init(level: LogLevel = .info, file: String? = nil, descriptor: Int32 = 2) throws(ControlError) {
        Descriptors.openStandard()
        var opened: Int32 = -1
        if let file {
            opened = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
            if opened < 0 { throw ControlError("opening the log file '\(file)'", code: errno) }
        }
        self.file = opened
        screen = Screen(log: descriptor)
        state = Mutex(State(level: level, port: OutputPort(descriptor)))
    }

    deinit {
        state.withLock { $0.port.close() }
        if file >= 0 { close(file) }
    }

    /// The lowest level that is written.
    public var level: LogLevel {
        get { state.withLock { $0.level } }
        set { state.withLock { $0.level = newValue } }
    }

    /// For `MachineOptions`.
    public var machineLog: MachineOptions.Log { { [self] in write($0, $1, $2) } }

    /// From any thread. `instance`: an id of the machine file, nil: the VMM itself.
    public func write(_ level: LogLevel, _ instance: String?, _ text: String) {
        state.withLock { state in
            if level >= state.level { put(LogWriter.lines(level, instance, text), &state) }
        }
    }

    /// What the operator is told whatever the level.
    public func say(_ text: String) { show(LogWriter.lines(.info, nil, text)) }

    /// Lines as they are, whatever the level.
    func show(_ lines: [String]) { state.withLock { put(lines, &$0) } }

    /// Nobody paints any more, and nobody will show what waited for that.
    func showHeld() {
        let lines = screen.setPainted(false)
        if !lines.isEmpty { state.withLock { putOnScreen(lines, &$0) } }
    }

    private func put(_ lines: [String], _ state: inout State) {
        if file >= 0 { LogWriter.append(lines, to: file) }
        if !screen.holds(lines) { putOnScreen(lines, &state) }
    }

    private func putOnScreen(_ lines: [String], _ state: inout State) {
        var lines = lines
        if state.lost > 0 { lines.insert(LogWriter.note(lost: state.lost), at: 0) }
        let breaks = screen.breaks
        let text = breaks.before + lines.map { $0 + breaks.after }.joined()
        if LogWriter.send(Array(text.utf8), &state) {
            state.lost = 0
            screen.didShow(last: UInt8(ascii: "\n"))
        } else {
            state.lost += 1
        }
    }

    /// False: not a byte of it went.
    private static func send(_ text: [UInt8], _ state: inout State) -> Bool {
        if !state.rest.isEmpty { advance(&state) }
        guard state.rest.isEmpty else { return false }
        state.rest = text
        advance(&state)
        if state.rest.count < text.count { return true }
        state.rest = []
        return false
    }

    /// Writes the rest, or as much of it as goes.
    private static func advance(_ state: inout State) {
        while !state.rest.isEmpty {
            switch state.port.write(state.rest) {
            case .wrote(let count):
                state.rest.removeFirst(count)
                state.isStalled = false
            case .wouldBlock:
                if state.isStalled { return }
                if !state.port.wait(patience) { state.isStalled = true }
            case .failed: return
            }
        }
    }

    // MARK: Text

    fileprivate static func note(lost: Int) -> String { "backplane: warning: \(lost) lines of the log were lost here" }

    static func lines(_ level: LogLevel, _ instance: String?, _ text: String) -> [String] {
        let labels = [instance.map { clean($0[...]) }, name(level)].compactMap { $0 }
        let start = (["backplane"] + labels).map { $0 + ": " }.joined()
        var parts = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        while parts.count > 1, parts[parts.count - 1].isEmpty { parts.removeLast() }
        return parts.map { start + clean($0) }
    }

    private static func name(_ level: LogLevel) -> String? {
        switch level {
        case .trace: "trace"
        case .debug: "debug"
        case .info: nil
        case .warning: "warning"
        case .error: "error"
        }
    }

    private static func clean(_ text: Substring) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x09, 0x20...0x7e, 0xa0...: result.unicodeScalars.append(scalar)
            case let value: result += "\\x" + (value < 0x10 ? "0" : "") + String(value, radix: 16)
            }
        }
        return result
    }

    // MARK: File

    private static func append(_ lines: [String], to file: Int32) {
        let stamp = now() + " "
        let bytes = Array(lines.map { stamp + $0 + "\n" }.joined().utf8)
        // A full disk must not stop a machine.
        _ = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
    }

    private static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        gmtime_r(&time.tv_sec, &parts)
        func digits(_ number: Int, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = [parts.tm_mon + 1, parts.tm_mday].map { digits(Int($0), 2) }
        let hour = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { digits(Int($0), 2) }
        return digits(Int(parts.tm_year) + 1900, 4) + "-" + date.joined(separator: "-") + "T"
            + hour.joined(separator: ":") + "." + digits(time.tv_nsec / 1_000_000, 3) + "Z"
    }
}

/// What the log must know of the terminal, if its lines go there: whether a line end needs a carriage return, and
/// whether the guest has left the cursor within a line.
final class Screen: Sendable {
    private struct State {
        var isShared = false
        var isRaw = false
        var isMidLine = false
        /// Somebody paints the whole window: lines wait until it is over.
        var isPainted = false
        var held: [String] = []
        var lost = 0
    }

    /// More than that were written while the window was painted: the first ones are lost.
    private static let heldLimit = 1000

    private let log: Int32
    private let state = Mutex(State())

    init(log: Int32) { self.log = log }

    func set(terminal: Int32, isRaw: Bool) {
        let isShared = Descriptors.isSameTerminal(log, terminal)
        state.withLock { state in
            state.isShared = isShared
            state.isRaw = isShared && isRaw
        }
    }

    /// Somebody begins to paint, or is done: then what was held back meanwhile is to be shown.
    @discardableResult
    func setPainted(_ isPainted: Bool) -> [String] {
        ch_tty_painted(isPainted)
        return state.withLock { state in
            state.isPainted = isPainted
            guard !isPainted, !state.held.isEmpty else { return [] }
            let note = state.lost > 0 ? [LogWriter.note(lost: state.lost)] : []
            defer { (state.held, state.lost) = ([], 0) }
            return note + state.held
        }
    }

    /// True: lines that would go to a painted window are kept for later.
    func holds(_ lines: [String]) -> Bool {
        state.withLock { state in
            guard state.isPainted, state.isShared else { return false }
            state.held += lines
            let excess = state.held.count - Self.heldLimit
            if excess > 0 {
                state.held.removeFirst(excess)
                state.lost += excess
            }
            return true
        }
    }

    /// The last byte that was written to the terminal.
    func didShow(last: UInt8) { state.withLock { $0.isMidLine = last != UInt8(ascii: "\n") } }

    var breaks: (before: String, after: String) {
        state.withLock { state in
            let end = state.isRaw ? "\r\n" : "\n"
            return (state.isShared && state.isMidLine ? end : "", end)
        }
    }
}
