import Control
import Glibc
import Synchronization

/// A machine and its console: like Core, it hands received bytes to an event loop, which puts them into the FIFO later.
final class Guest: TerminalClient, ControlledMachine {
    private struct State {
        var posted: [UInt8] = []
        var fifo: [UInt8] = []
        var isThrottled = false
        var isDeaf = false
        var end: (status: Int32, reason: String)?
    }

    private let terminal: TerminalMultiplexer
    private let log: LogWriter
    private let isRaw: Bool
    private let obeys: Bool
    private let isMute: Bool
    let isPainter: Bool
    /// Guards what the multiplexer calls; `machine` is the machine's lock, taken before it.
    private let state = Mutex(State())
    private let machine = Mutex(())
    private static let depth = 16

    init(_ terminal: TerminalMultiplexer, _ log: LogWriter, _ flags: Set<String>) {
        self.terminal = terminal
        self.log = log
        isRaw = flags.contains("--raw")
        obeys = flags.contains("--obeys")
        isMute = flags.contains("--mute")
        isPainter = flags.contains("--paints")
        terminal.open(self)
    }

    func run() {
        if isPainter { startThread { [self] in paint() } }
        write("ready\r\n")
        startThread { [self] in
            while true { runLoop() }
        }
        startThread { [self] in
            machine.withLock { _ in announce() }
            while true { runCPU() }
        }
    }

    /// Until the end, as fast as the throttle lets it.
    private func paint() {
        while true {
            if state.withLock({ $0.isThrottled }) { usleep(100) } else { write("painted ") }
        }
    }

    func waitForEnd() -> (status: Int32, reason: String) {
        while true {
            if let end = state.withLock({ $0.end }) { return end }
            usleep(2000)
        }
    }

    // MARK: TerminalClient

    let title = "child: com1"
    var controlledMachine: (any ControlledMachine)? { self }
    var undelivered: UInt64 { state.withLock { UInt64($0.posted.count) } }
    func receive(_ bytes: [UInt8]) { state.withLock { $0.posted += bytes } }
    func throttle(_ on: Bool) { state.withLock { $0.isThrottled = on } }

    // MARK: ControlledMachine

    func powerButton() {
        say("power button")
        if obeys { end(0, "") }
    }
    func reset() { say("reset") }
    func stop(_ status: Int32, _ reason: String) { end(status, reason) }

    private func end(_ status: Int32, _ reason: String) {
        state.withLock { if $0.end == nil { $0.end = (status, reason) } }
    }

    private func say(_ text: String) {
        let line = Array("guest: \(text)\n".utf8)
        _ = line.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }

    // MARK: The guest

    private func announce() {
        let room = state.withLock { $0.isDeaf ? 0 : Guest.depth - $0.fifo.count }
        terminal.ready(self, room: UInt64(max(0, room)))
    }

    private func runLoop() {
        let isIdle = machine.withLock { _ in
            state.withLock { state in
                state.fifo += state.posted
                if state.fifo.count > Guest.depth { _exit(99) }
                defer { state.posted = [] }
                return state.posted.isEmpty
            }
        }
        if isIdle { usleep(2000) }
    }

    private func runCPU() {
        let byte = machine.withLock { _ in
            let byte = state.withLock { state -> UInt8? in
                guard !state.isThrottled, !state.isDeaf, !state.fifo.isEmpty else { return nil }
                return state.fifo.removeFirst()
            }
            if byte != nil { announce() }
            return byte
        }
        guard let byte else {
            usleep(2000)
            return
        }
        if isRaw { return write([byte]) }
        obey(byte)
    }

    private func obey(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "Q"): end(7, "")
        case UInt8(ascii: "K"): abort()
        case UInt8(ascii: "H"):
            state.withLock { $0.isDeaf = true }
            machine.withLock { _ in announce() }
        case UInt8(ascii: "L"): log.write(.warning, "com1", "a line")
        case UInt8(ascii: "F"): flood(lines: 30_000)
        case UInt8(ascii: "W"): flood(lines: .max)
        case 0x20..<0x7f: if !isMute { write([byte]) }
        default: if !isMute { write("<" + (byte < 16 ? "0" : "") + String(byte, radix: 16) + ">") }
        }
    }

    /// Lines of ten bytes, as fast as the throttle lets them.
    private func flood(lines: Int) {
        for number in 0..<lines {
            while state.withLock({ $0.isThrottled }) { usleep(2000) }
            let digits = String(number % 10_000_000)
            write(String(repeating: "0", count: 8 - digits.count) + digits + "\r\n")
        }
        write("flooded\r\n")
    }

    private func write(_ text: String) { write(Array(text.utf8)) }
    private func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { terminal.write(self, $0) } }
}

func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    // SAFETY: the new thread takes the box.
    pthread_create(
        &thread, nil,
        { raw in
            Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
}
