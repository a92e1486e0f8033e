import Glibc
import Synchronization
import Testing

@testable import Control

/// A multiplexer in this process, between pipes or on a pty.
private final class Bench {
    let multiplexer: TerminalMultiplexer
    let client = FakeClient()
    let asked = FakeOperator()
    let log: LogWriter
    let errors: Pipe
    let signals: Pipe

    init(
        input: Int32, output: Int32, escape: UInt8? = 1, escapesPipes: Bool = false,
        suspend: @escaping @Sendable (Bool) -> Void = { _ in }
    ) throws {
        errors = try Pipe()
        signals = try Pipe()
        log = try LogWriter(descriptor: errors.write)
        multiplexer = try TerminalMultiplexer(log: log)
        multiplexer.open(client)
        var configuration = TerminalMultiplexer.Configuration()
        configuration.input = input
        configuration.output = output
        configuration.signals = signals.read
        configuration.escape = escape
        configuration.escapesPipes = escapesPipes
        configuration.suspend = suspend
        try multiplexer.start(configuration, operator: asked)
    }

    deinit {
        multiplexer.stop()
        for descriptor in [errors.read, errors.write, signals.read, signals.write] { close(descriptor) }
    }

    func write(_ text: String) { write(Array(text.utf8)) }
    func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { multiplexer.write(client, $0) } }
    func ready(_ room: UInt64) { multiplexer.ready(client, room: room) }
    func signal(_ number: Int32) { send([UInt8(number)], to: signals.write) }
}

/// Serialized: CHost remembers one terminal for the process.
@Suite(.serialized) struct MultiplexerTests {
    // MARK: Terminal

    @Test func terminalIsRawWhileItRunsAndAsBeforeAfterwards() throws {
        let pty = try Pty()
        #expect(pty.isCooked)
        let bench = try Bench(input: pty.slave, output: pty.slave)
        #expect(pty.isRaw)
        bench.multiplexer.stop()
        #expect(pty.isCooked)
    }

    @Test func keysArriveAsTheyAre() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        bench.ready(100)
        let keys: [UInt8] = [3, 4, 0x0d, 0x11, 0x13, 0x1a, 0x1c, 0x7f, 0xc3, 0xa9, 0]
        send(keys, to: pty.master)
        #expect(eventually { bench.client.received.count == keys.count })
        #expect(bench.client.received == keys)
        #expect(readRest(pty.master) == "")
    }

    @Test func aRegularFileIsSteadyInputUntilItsEndIsTold() throws {
        let path = "/tmp/bp-steady-\(getpid())"
        let file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        defer {
            close(file)
            unlink(path)
        }
        send("abc", to: file)
        lseek(file, 0, SEEK_SET)
        let out = try Pipe()
        let bench = try Bench(input: file, output: out.write)
        let other = FakeClient()
        bench.multiplexer.open(other)
        #expect(bench.multiplexer.hasSteadyInput(bench.client))
        #expect(!bench.multiplexer.hasSteadyInput(other))
        bench.ready(2)
        #expect(eventually { bench.client.received.count == 2 })
        #expect(bench.client.ends == 0)
        bench.ready(100)
        #expect(eventually { bench.client.ends == 1 })
        #expect(bench.client.received == Array("abc".utf8))
        #expect(!bench.multiplexer.hasSteadyInput(bench.client))
        for end in [out.read, out.write] { close(end) }
    }

    @Test func aPipeIsNoSteadyInput() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        #expect(!bench.multiplexer.hasSteadyInput(bench.client))
        close(input.write)
        bench.ready(10)
        #expect(eventually { bench.client.ends == 1 })
        for end in [input.read, output.read, output.write] { close(end) }
    }

    @Test func outputArrivesAsItIs() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        bench.write("a\nb\r\n\u{1b}[2Jc")
        #expect(readText(pty.master, until: "c") == "a\nb\r\n\u{1b}[2Jc")
        #expect(bench.multiplexer.drain(timeout: 5_000_000_000))
    }

    @Test func literalEscapeReachesTheGuest() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        bench.ready(100)
        send([0x41, 1, 1, 0x42, 1, 0x61, 0x43, 1, 0x37, 0x44], to: pty.master)
        #expect(eventually { bench.client.received.count == 6 })
        #expect(bench.client.received == [0x41, 1, 0x42, 1, 0x43, 0x44])
        #expect(readRest(pty.master) == "")
    }

    @Test func commandsReachTheOperatorAndTheirTextsTheTerminal() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        bench.write("login: ")
        send("\u{1}p\u{1}r\u{1}x", to: pty.master)
        #expect(eventually { bench.asked.asked.count == 3 })
        #expect(bench.asked.asked == ["power off", "reset", "quit"])
        let shown = readText(pty.master, until: "ended by Ctrl-A x\r\n")
        #expect(shown.hasPrefix("login: \r\nbackplane: the guest is asked to power off\r\nbackplane: reset\r\n"))
        #expect(bench.client.received == [])
    }

    @Test func helpIsOnLinesOfItsOwn() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        send("\u{1}h", to: pty.master)
        let shown = readText(pty.master, until: "itself, also Ctrl-A a\r\n")
        #expect(shown.split(separator: "\r\n").allSatisfy { $0.hasPrefix("backplane: Ctrl-A ") })
        #expect(shown.split(separator: "\r\n").count == 8)
        #expect(bench.asked.asked == [])
    }

    @Test func theEscapeKeyWorksWhileTheGuestTakesNothing() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        for _ in 0..<20 { send([UInt8](repeating: 0x2e, count: 1000), to: pty.master) }
        send("\u{1}x", to: pty.master)
        #expect(eventually { bench.asked.asked == ["quit"] })
        bench.ready(30_000)
        #expect(eventually { bench.client.received.count == 20_000 })
    }

    @Test func breakGoesToAClientThatKnowsIt() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        send("\u{1}b", to: pty.master)
        #expect(readText(pty.master, until: "\r\n") == "backplane: this console knows no break\r\n")
        let other = FakeClient("other", knowsBreak: true)
        bench.multiplexer.open(other)
        #expect(bench.multiplexer.switchTo(1))
        _ = readText(pty.master, until: "other\r\n")
        send("\u{1}b", to: pty.master)
        #expect(eventually { other.breaks == 1 })
    }

    @Test func suspendGivesTheTerminalBackAndTakesItAgain() throws {
        let pty = try Pty()
        let seen = Mutex<[String]>([])
        let bench = try Bench(input: pty.slave, output: pty.slave) { wholeJob in
            seen.withLock { $0.append("\(wholeJob) \(pty.isCooked)") }
        }
        send("\u{1}z", to: pty.master)
        #expect(eventually { seen.withLock { $0 } == ["true true"] && pty.isRaw })
        bench.signal(SIGTSTP)
        #expect(eventually { seen.withLock { $0 } == ["true true", "false true"] && pty.isRaw })
        #expect(readRest(pty.master) == "")
        bench.multiplexer.stop()
        #expect(pty.isCooked)
    }

    @Test func continueMakesItRawAgainAndKeepsTheFirstSettings() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        bench.signal(SIGCONT)
        var settings = termios()
        // As a shell does that got the terminal by SIGSTOP.
        tcgetattr(pty.slave, &settings)
        settings.c_lflag |= tcflag_t(ECHO | ICANON | ISIG)
        settings.c_oflag |= tcflag_t(OPOST)
        settings.c_iflag |= tcflag_t(ICRNL)
        tcsetattr(pty.slave, TCSANOW, &settings)
        bench.signal(SIGCONT)
        #expect(eventually { pty.isRaw })
        bench.signal(SIGCONT)
        bench.signal(SIGWINCH)
        bench.multiplexer.stop()
        #expect(pty.isCooked)
    }

    @Test func windowSizeFollowsTheSignal() throws {
        let pty = try Pty()
        pty.resize(columns: 80, rows: 24)
        let bench = try Bench(input: pty.slave, output: pty.slave)
        #expect(bench.multiplexer.size == WindowSize(columns: 80, rows: 24))
        pty.resize(columns: 132, rows: 43)
        bench.signal(SIGWINCH)
        #expect(eventually { bench.multiplexer.size == WindowSize(columns: 132, rows: 43) })
    }

    @Test func aPasteOfManyKilobytesArrivesWhole() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        let text = (0..<5000).flatMap { Array("line \($0)\r".utf8) }
        let sender = try Threads.start("paste") { send(text, to: pty.master) }
        while bench.client.received.count < text.count {
            let before = bench.client.received.count
            bench.ready(16)
            if !eventually({ bench.client.received.count >= min(before + 16, text.count) }) { break }
        }
        pthread_join(sender, nil)
        #expect(bench.client.received == text)
        #expect(bench.client.largest <= 16)
    }

    // MARK: Pipes

    @Test func aPipeIsReadOnlyAsFarAsThereIsRoom() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        send([UInt8](repeating: 0x2e, count: 1000), to: input.write)
        usleep(50_000)
        #expect(bench.client.received.count == 0)
        bench.ready(10)
        #expect(eventually { bench.client.received.count == 10 })
        usleep(50_000)
        var left: Int32 = 0
        _ = ioctl(input.read, UInt(FIONREAD), &left)
        #expect(left == 990)
        bench.ready(2000)
        #expect(eventually { bench.client.received.count == 1000 })
        close(input.write)
        bench.write("still here")
        #expect(readText(output.read, until: "here") == "still here")
    }

    @Test func bytesOfAPipeAreTheGuests() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        bench.ready(100)
        send([1, 0x78, 1, 1], to: input.write)
        #expect(eventually { bench.client.received == [1, 0x78, 1, 1] })
        #expect(bench.asked.asked == [])
    }

    @Test func aPipeHasAnEscapeKeyWhereItIsAskedFor() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write, escapesPipes: true)
        bench.ready(100)
        send("a\u{1}xb", to: input.write)
        #expect(eventually { bench.client.text == "ab" })
        #expect(bench.asked.asked == ["quit"])
        // What is no guest's goes to standard error.
        #expect(readText(bench.errors.read, until: "\n") == "backplane: ended by Ctrl-A x\n")
    }

    @Test func aSlowReaderThrottlesAndLosesNothing() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        // 64 KiB fit into the pipe itself.
        var sent = 0
        while bench.client.throttles.isEmpty, sent < 1 << 20 {
            bench.write([UInt8](repeating: UInt8(truncatingIfNeeded: sent / 1000), count: 1000))
            sent += 1000
            usleep(100)
        }
        #expect(bench.client.throttles == [true])
        #expect(sent > 64 << 10)
        #expect(!bench.multiplexer.drain(timeout: 50_000_000))
        // The reader's own flags and the writer's are untouched.
        #expect(fcntl(output.write, F_GETFL) & O_NONBLOCK == 0)
        let total = sent
        let got = readBytes(output.read) { $0.count >= total }
        #expect(got.count == sent)
        #expect(got.indices.allSatisfy { got[$0] == UInt8(truncatingIfNeeded: $0 / 1000) })
        #expect(eventually { bench.client.throttles == [true, false] })
        #expect(bench.multiplexer.drain(timeout: 5_000_000_000))
    }

    @Test func aStoppedTerminalThrottlesAndItsEscapeKeyWorks() throws {
        let pty = try Pty()
        let bench = try Bench(input: pty.slave, output: pty.slave)
        var sent = 0
        while bench.client.throttles.isEmpty, sent < 1 << 20 {
            bench.write([UInt8](repeating: 0x2e, count: 1000))
            sent += 1000
            usleep(100)
        }
        #expect(bench.client.throttles == [true])
        send("\u{1}r", to: pty.master)
        #expect(eventually { bench.asked.asked == ["reset"] })
        #expect(fcntl(pty.slave, F_GETFL) & O_NONBLOCK == 0)
        let shown = readText(pty.master, until: "reset\r\n")
        #expect(shown.prefix { $0 == "." }.count == sent)
    }

    @Test func aReaderThatLeavesEndsNothing() throws {
        ch_ignore()
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        bench.ready(100)
        close(output.read)
        bench.write("lost")
        let line = readText(bench.errors.read, until: "\n")
        #expect(line.hasPrefix("backplane: warning: standard output: Broken pipe"))
        for _ in 0..<200 { bench.write([UInt8](repeating: 0x2e, count: 1000)) }
        #expect(bench.client.throttles.last != true)
        #expect(bench.multiplexer.drain(timeout: 1_000_000_000))
        send("on", to: input.write)
        #expect(eventually { bench.client.text == "on" })
    }

    private func ch_ignore() { signal(SIGPIPE, SIG_IGN) }

    @Test func afterTheEndSignalsAndTheQuitKeyEndTheWaitForTheReader() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        bench.write([UInt8](repeating: 0x2e, count: 300_000))
        bench.multiplexer.beginFinishing()
        bench.signal(SIGTERM)
        #expect(!bench.multiplexer.drain(timeout: 20_000_000_000))
        #expect(bench.asked.asked == [])
    }

    @Test func signalsReachTheOperator() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        for number in [SIGTERM, SIGINT, SIGHUP] { bench.signal(number) }
        #expect(eventually { bench.asked.asked == ["signal 15", "signal 2", "signal 1"] })
    }

    @Test func switchingShowsWhatWasWrittenMeanwhile() throws {
        let (input, output) = (try Pipe(), try Pipe())
        let bench = try Bench(input: input.read, output: output.write)
        let other = FakeClient("tour: com2")
        bench.multiplexer.open(other)
        Array("second\r\n".utf8).withUnsafeBytes { bench.multiplexer.write(other, $0) }
        bench.write("first\r\n")
        #expect(readText(output.read, until: "\n") == "first\r\n")
        #expect(!bench.multiplexer.switchTo(7))
        #expect(bench.multiplexer.switchTo(1))
        #expect(readText(output.read, until: "second\r\n") == "backplane: tour: com2\r\nsecond\r\n")
        bench.ready(100)
        bench.multiplexer.ready(other, room: 100)
        send("for two", to: input.write)
        #expect(eventually { other.text == "for two" })
        #expect(bench.client.received == [])
    }

    // MARK: The log on a raw terminal

    @Test func logLinesOnARawTerminalEndInCarriageReturnAndBeginOnALine() throws {
        let pty = try Pty()
        let log = try LogWriter(descriptor: pty.slave)
        let multiplexer = try TerminalMultiplexer(log: log)
        let client = FakeClient()
        multiplexer.open(client)
        var configuration = TerminalMultiplexer.Configuration()
        configuration.input = pty.slave
        configuration.output = pty.slave
        try multiplexer.start(configuration, operator: FakeOperator())
        defer { multiplexer.stop() }
        log.write(.info, nil, "one")
        #expect(readText(pty.master, until: "\n") == "backplane: one\r\n")
        Array("$ ".utf8).withUnsafeBytes { multiplexer.write(client, $0) }
        #expect(readText(pty.master, until: "$ ") == "$ ")
        // The thread notes what it has written a moment after the write.
        usleep(20_000)
        log.write(.warning, "com1", "two\nthree")
        let shown = readText(pty.master, until: "three\r\n")
        #expect(shown == "\r\nbackplane: com1: warning: two\r\nbackplane: com1: warning: three\r\n")
        multiplexer.stop()
        log.write(.info, nil, "four")
        // Cooked again: the terminal itself adds the carriage return.
        #expect(readText(pty.master, until: "\n") == "backplane: four\r\n")
    }
}
