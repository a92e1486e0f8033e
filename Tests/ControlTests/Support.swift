import Control
import Glibc
import Synchronization

struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ what: String, _ code: Int32 = errno) { description = "\(what): \(String(cString: strerror(code)))" }
}

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Within ten seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    let deadline = now() + 10
    while !condition() {
        if now() > deadline { return false }
        usleep(2000)
    }
    return true
}

func send(_ text: String, to descriptor: Int32) { send(Array(text.utf8), to: descriptor) }

func send(_ bytes: [UInt8], to descriptor: Int32) {
    var done = 0
    while done < bytes.count {
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + done, $0.count - done) }
        if count <= 0 { return }
        done += count
    }
}

/// Reads until `isEnough`, the end, or `seconds` have passed.
func readBytes(
    _ descriptor: Int32, seconds: Double = 10, until isEnough: ([UInt8]) -> Bool = { _ in false }
) -> [UInt8] {
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    let deadline = now() + seconds
    while !isEnough(result) {
        let left = deadline - now()
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard left > 0, poll(&entry, 1, Int32(left * 1000) + 1) > 0 else { break }
        let count = read(descriptor, &buffer, buffer.count)
        // A pty's master says EIO once nobody has the other end.
        guard count > 0 else { break }
        result += buffer.prefix(count)
    }
    return result
}

func readText(_ descriptor: Int32, seconds: Double = 10, until text: String) -> String {
    let wanted = Array(text.utf8)
    // In bytes: for a String "\r\n" is one character, which is no "\n".
    let bytes = readBytes(descriptor, seconds: seconds) { bytes in
        // The last read and what came before it.
        let tail = bytes.suffix(4096 + wanted.count)
        return tail.indices.contains { tail[$0...].starts(with: wanted) }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// What comes within `seconds`.
func readRest(_ descriptor: Int32, seconds: Double = 0.3) -> String {
    String(decoding: readBytes(descriptor, seconds: seconds), as: UTF8.self)
}

let spawning = Mutex(())

struct Pipe {
    var read: Int32
    var write: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        // Glibc's module has no pipe2: no child may start between the two calls.
        let result = spawning.withLock { _ in
            let result = pipe(&ends)
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            return result
        }
        if result < 0 { throw Failure("pipe") }
        (read, write) = (ends[0], ends[1])
    }
}

/// Both ends of a pseudo-terminal; the slave is not our controlling terminal.
final class Pty: Sendable {
    let master: Int32
    let slave: Int32
    let path: String
    private let hasHungUp = Mutex(false)

    init() throws {
        // posix_openpt and its kin by hand: Glibc's module lacks them.
        let setLock: UInt = 0x4004_5431  // TIOCSPTLCK
        let getNumber: UInt = 0x8004_5430  // TIOCGPTN
        var (lock, number): (Int32, Int32) = (0, 0)
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard master >= 0, ioctl(master, setLock, &lock) == 0, ioctl(master, getNumber, &number) == 0 else {
            throw Failure("/dev/ptmx")
        }
        path = "/dev/pts/\(number)"
        slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
        if slave < 0 { throw Failure("open \(path)") }
    }

    deinit {
        hangUp()
        close(slave)
    }

    /// As when a terminal's window is closed.
    func hangUp() {
        hasHungUp.withLock { done in
            if !done { close(master) }
            done = true
        }
    }

    private var settings: termios {
        var settings = termios()
        tcgetattr(slave, &settings)
        return settings
    }

    /// No echo, no lines, no keys that signal, nothing done to the output; everything comes at once.
    var isRaw: Bool {
        settings.c_lflag & tcflag_t(ECHO | ICANON | ISIG | IEXTEN) == 0 && settings.c_oflag & tcflag_t(OPOST) == 0
            && settings.c_iflag & tcflag_t(ICRNL | IXON) == 0 && settings.c_cc.6 == 1 && settings.c_cc.5 == 0
    }

    /// As a new terminal is.
    var isCooked: Bool {
        let wanted = tcflag_t(ECHO | ICANON | ISIG)
        return settings.c_lflag & wanted == wanted && settings.c_oflag & tcflag_t(OPOST) != 0
            && settings.c_iflag & tcflag_t(ICRNL) != 0
    }

    func resize(columns: UInt16, rows: UInt16) {
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(slave, UInt(TIOCSWINSZ), &size)
    }
}

/// Records what the multiplexer does; grants nothing by itself.
final class FakeClient: TerminalClient {
    private struct State {
        var received: [UInt8] = []
        var largest = 0
        var throttles: [Bool] = []
        var undelivered: UInt64 = 0
        var breaks = 0
        var ends = 0
        var windows: [WindowSize?] = []
        var sizes: [WindowSize] = []
    }

    private let state = Mutex(State())
    let title: String
    let knowsBreak: Bool
    let guest: Int?
    let isPainter: Bool

    init(_ title: String = "tour: com1", knowsBreak: Bool = false, guest: Int? = nil, isPainter: Bool = false) {
        self.title = title
        self.isPainter = isPainter
        self.guest = guest
        self.knowsBreak = knowsBreak
    }

    var controlledMachine: (any ControlledMachine)? { nil }
    var undelivered: UInt64 {
        get { state.withLock { $0.undelivered } }
        set { state.withLock { $0.undelivered = newValue } }
    }
    /// How often it was told that no more input comes.
    var ends: Int { state.withLock { $0.ends } }
    func inputEnded() { state.withLock { $0.ends += 1 } }
    func receive(_ bytes: [UInt8]) {
        state.withLock { state in
            state.received += bytes
            state.largest = max(state.largest, bytes.count)
        }
    }
    func throttle(_ on: Bool) { state.withLock { $0.throttles.append(on) } }
    /// What a painter was told of its window, in order.
    var windows: [WindowSize?] { state.withLock { $0.windows } }
    func shown(_ window: WindowSize?) { state.withLock { $0.windows.append(window) } }
    /// What it was told of the terminal, in order.
    var sizes: [WindowSize] { state.withLock { $0.sizes } }
    func sized(_ window: WindowSize) { state.withLock { $0.sizes.append(window) } }
    func sendBreak() -> Bool {
        if knowsBreak { state.withLock { $0.breaks += 1 } }
        return knowsBreak
    }

    var received: [UInt8] { state.withLock { $0.received } }
    var text: String { String(decoding: received, as: UTF8.self) }
    var largest: Int { state.withLock { $0.largest } }
    var throttles: [Bool] { state.withLock { $0.throttles } }
    var breaks: Int { state.withLock { $0.breaks } }
}

final class FakeOperator: TerminalOperator {
    private let state = Mutex<[String]>([])
    var asked: [String] { state.withLock { $0 } }
    func quit() { state.withLock { $0.append("quit") } }
    func powerOff(_ machine: (any ControlledMachine)?) { state.withLock { $0.append("power off") } }
    func reset(_ machine: (any ControlledMachine)?) { state.withLock { $0.append("reset") } }
    func monitor() -> Bool {
        state.withLock { $0.append("monitor") }
        return true
    }
    func signal(_ number: Int32) { state.withLock { $0.append("signal \(number)") } }
}
