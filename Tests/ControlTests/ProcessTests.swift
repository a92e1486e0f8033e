import Glibc
import Testing

/// Control in a process of its own, with the real signals, a controlling terminal and job control.
@Suite(.serialized) struct ProcessTests {
    private func isAlive(_ child: ChildProcess) -> Bool { kill(child.pid, 0) == 0 }

    /// Started, raw where there is a terminal, and its guest has written its first words.
    private func started(_ child: ChildProcess) -> Bool {
        let descriptor = child.output >= 0 ? child.output : child.pty!.master
        // A cooked terminal makes \r\r\n of it.
        return readText(descriptor, until: "\n").hasPrefix("ready")
    }

    // MARK: Ways out: the terminal is as it was

    @Test func theGuestsEndRestoresTheTerminal() throws {
        let child = try ChildProcess()
        #expect(started(child))
        #expect(child.pty!.isRaw)
        send("\u{3}\u{1a}\rQ", to: child.pty!.master)
        #expect(readText(child.pty!.master, until: "<0d>") == "<03><1a><0d>")
        #expect(child.wait().status == 7)
        #expect(child.pty!.isCooked)
    }

    @Test func ctrlAXEndsWithStatus0() throws {
        let child = try ChildProcess()
        #expect(started(child))
        send("\u{1}x", to: child.pty!.master)
        #expect(child.wait().status == 0)
        #expect(readRest(child.pty!.master) == "backplane: ended by Ctrl-A x\r\n")
        #expect(child.pty!.isCooked)
    }

    @Test func ctrlAXEndsAGuestThatReadsNothing() throws {
        let child = try ChildProcess()
        #expect(started(child))
        send("H" + String(repeating: ".", count: 500) + "\u{1}x", to: child.pty!.master)
        #expect(child.wait().status == 0)
    }

    @Test func aCrashRestoresTheTerminal() throws {
        let child = try ChildProcess()
        #expect(started(child))
        send("K", to: child.pty!.master)
        #expect(child.wait().status == 128 + SIGABRT)
        #expect(child.pty!.isCooked)
    }

    /// Its report is on the window that was there before, and nobody paints over it.
    @Test func aCrashReportIsTheLastOnAPaintedTerminal() throws {
        let child = try ChildProcess(["--paints"], error: .terminal)
        let terminal = child.pty!.master
        #expect(readText(terminal, until: "painted ").contains("\u{1b}[?1049h"))
        send("K", to: terminal)
        var shown = readText(terminal, until: "crashed") + readRest(terminal)
        #expect(child.wait().status == 128 + SIGABRT)
        shown += readRest(terminal)
        let after = try #require(shown.split(separator: "\u{1b}[?1049l").last)
        #expect(after.contains("crashed") && !after.contains("painted"), "\(after.prefix(300))")
        #expect(child.pty!.isCooked)
    }

    @Test func sigkillIsTheOnlyThingThatDoesNot() throws {
        let child = try ChildProcess()
        #expect(started(child))
        kill(child.pid, SIGKILL)
        #expect(child.wait().status == 137)
        #expect(child.pty!.isRaw)
    }

    @Test func hangUpEndsTheMachine() throws {
        let child = try ChildProcess()
        #expect(started(child))
        kill(child.pid, SIGHUP)
        #expect(child.wait().status == 129)
        #expect(readText(child.error, until: "SIGHUP\n").contains("ended by SIGHUP"))
        #expect(child.pty!.isCooked)
    }

    @Test func aClosedTerminalEndsTheMachine() throws {
        let child = try ChildProcess()
        #expect(started(child))
        send("W", to: child.pty!.master)
        usleep(100_000)
        child.pty!.hangUp()
        #expect(child.wait().status == 129)
    }

    // MARK: Signals

    @Test func sigtermAsksTheGuestToPowerOff() throws {
        let child = try ChildProcess(["--obeys"])
        #expect(started(child))
        kill(child.pid, SIGTERM)
        #expect(child.wait().status == 0)
        #expect(child.pty!.isCooked)
    }

    @Test func aSecondSigtermEndsAGuestThatDoesNotObey() throws {
        let child = try ChildProcess()
        #expect(started(child))
        kill(child.pid, SIGTERM)
        // As timeout(1) does: not a second request.
        kill(child.pid, SIGTERM)
        #expect(readText(child.error, until: "power button\n").contains("asked to power off; a second SIGTERM"))
        usleep(700_000)
        #expect(isAlive(child))
        kill(child.pid, SIGTERM)
        #expect(child.wait().status == 143)
        #expect(readText(child.error, until: "signal, SIGTERM\n").contains("ended by a second signal"))
        #expect(child.pty!.isCooked)
    }

    @Test func ctrlCInACookedTerminalAsksToPowerOff() throws {
        let child = try ChildProcess(["--obeys"], input: .pipe)
        #expect(started(child))
        #expect(child.pty!.isCooked)
        send("\u{3}", to: child.pty!.master)
        #expect(child.wait().status == 0)
        #expect(readText(child.error, until: "power button\n").contains("a second SIGINT ends it"))
    }

    @Test func nohupSurvivesAHangUp() throws {
        let child = try ChildProcess(input: .file("/dev/null"), output: .pipe, ignoring: SIGHUP)
        #expect(started(child))
        kill(child.pid, SIGHUP)
        usleep(200_000)
        #expect(isAlive(child))
        kill(child.pid, SIGTERM)
        #expect(readText(child.error, until: "power button\n").contains("asked to power off"))
    }

    // MARK: Job control

    @Test func suspendAndContinue() throws {
        let child = try ChildProcess(["--shell"])
        #expect(child.shell("j") == "started")
        #expect(child.shell("g") == "ok")
        #expect(started(child))
        #expect(eventually { child.pty!.isRaw })
        send("\u{1}z", to: child.pty!.master)
        #expect(child.shell("w") == "stopped \(SIGTSTP)")
        #expect(child.pty!.isCooked)
        #expect(child.shell("k") == "ok")
        // fg
        #expect(child.shell("g") == "ok")
        #expect(child.shell("c") == "ok")
        #expect(eventually { child.pty!.isRaw })
        send("hello", to: child.pty!.master)
        #expect(readText(child.pty!.master, until: "hello") == "hello")
        send("Q", to: child.pty!.master)
        #expect(child.shell("w") == "exited 7")
        #expect(child.pty!.isCooked)
    }

    @Test func continuedInTheBackgroundItLeavesTheTerminalAlone() throws {
        let child = try ChildProcess(["--shell"])
        #expect(child.shell("j") == "started")
        #expect(child.shell("g") == "ok")
        #expect(started(child))
        #expect(eventually { child.pty!.isRaw })
        send("\u{1}z", to: child.pty!.master)
        #expect(child.shell("w") == "stopped \(SIGTSTP)")
        #expect(child.shell("k") == "ok")
        // bg
        #expect(child.shell("c") == "ok")
        usleep(500_000)
        #expect(child.pty!.isCooked)
        // fg of a running job: no signal comes.
        #expect(child.shell("g") == "ok")
        #expect(eventually { child.pty!.isRaw })
        send("Q", to: child.pty!.master)
        #expect(child.shell("w") == "exited 7")
        #expect(child.pty!.isCooked)
    }

    @Test func theForegroundLostAndBackAgainKeepsTheFirstSettings() throws {
        let child = try ChildProcess(["--shell"])
        #expect(child.shell("j") == "started")
        #expect(child.shell("g") == "ok")
        #expect(started(child))
        #expect(eventually { child.pty!.isRaw })
        #expect(child.shell("k") == "ok")
        // Makes it look who has the terminal.
        send("x", to: child.pty!.master)
        usleep(300_000)
        #expect(child.shell("g") == "ok")
        #expect(readText(child.pty!.master, until: "x") == "x")
        send("Q", to: child.pty!.master)
        #expect(child.shell("w") == "exited 7")
        #expect(child.pty!.isCooked)
    }

    @Test func startedInTheBackgroundItNeitherStopsNorTouchesTheTerminal() throws {
        let child = try ChildProcess(["--shell"])
        #expect(child.shell("j") == "started")
        #expect(started(child))
        send("typed for the shell\n", to: child.pty!.master)
        usleep(500_000)
        #expect(child.pty!.isCooked)
        #expect(child.shell("t") == "cooked")
        #expect(child.shell("g") == "ok")
        #expect(eventually { child.pty!.isRaw })
        send("Q", to: child.pty!.master)
        #expect(child.shell("w") == "exited 7")
        #expect(child.pty!.isCooked)
    }

    @Test func suspendKeyOfACookedTerminalStopsItToo() throws {
        let child = try ChildProcess(["--shell"], input: .terminal)
        #expect(child.shell("j") == "started")
        #expect(child.shell("g") == "ok")
        #expect(started(child))
        #expect(eventually { child.pty!.isRaw })
        // From outside: the key itself is the guest's.
        let job = tcgetpgrp(child.pty!.master)
        kill(job, SIGTSTP)
        #expect(child.shell("w") == "stopped \(SIGTSTP)")
        #expect(child.pty!.isCooked)
        #expect(child.shell("c") == "ok")
        #expect(eventually { child.pty!.isRaw })
        send("Q", to: child.pty!.master)
        #expect(child.shell("w") == "exited 7")
    }

    // MARK: Pipes and files

    @Test func aFileGoesThroughAGuestsFIFOWhole() throws {
        let path = "/tmp/control-file-\(getpid())-\(Int(now() * 1e6))"
        defer { unlink(path) }
        var random = SystemRandomNumberGenerator()
        let content = (0..<40_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let file = open(path, O_WRONLY | O_CREAT, 0o600)
        send(content, to: file)
        close(file)
        let child = try ChildProcess(["--raw"], input: .file(path), output: .pipe)
        let echo = readBytes(child.output, seconds: 30) { $0.count >= content.count + 7 }
        #expect(Array(echo.dropFirst(7)) == content)
        // Not ended by the end of its input.
        #expect(isAlive(child))
    }

    @Test func aPipeGoesThroughAGuestsFIFOWhole() throws {
        let child = try ChildProcess(["--raw"], input: .pipe, output: .pipe)
        let content = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 * 7 >> 3) }
        send(content, to: child.input)
        child.closeInput()
        let echo = readBytes(child.output, seconds: 30) { $0.count >= content.count + 7 }
        #expect(Array(echo.dropFirst(7)) == content)
    }

    @Test func allOutputIsFlushedAtTheEndToASlowPipe() throws {
        let child = try ChildProcess(input: .pipe, output: .pipe)
        send("FQ", to: child.input)
        usleep(300_000)
        let text = String(decoding: readBytes(child.output, seconds: 20), as: UTF8.self)
        #expect(text.hasPrefix("ready\r\n00000000\r\n"))
        #expect(text.hasSuffix("00029999\r\nflooded\r\n"))
        #expect(text.utf8.count == 7 + 300_000 + 9)
        #expect(child.wait().status == 7)
    }

    @Test func allOutputReachesAFile() throws {
        let path = "/tmp/control-out-\(getpid())-\(Int(now() * 1e6))"
        defer { unlink(path) }
        let child = try ChildProcess(input: .pipe, output: .file(path))
        send("FQ", to: child.input)
        #expect(child.wait().status == 7)
        let file = open(path, O_RDONLY)
        defer { close(file) }
        #expect(readBytes(file).count == 7 + 300_000 + 9)
    }

    @Test func allOutputReachesATerminal() throws {
        let child = try ChildProcess()
        #expect(started(child))
        send("FQ", to: child.pty!.master)
        let text = readText(child.pty!.master, seconds: 20, until: "flooded\r\n")
        #expect(text.utf8.count == 300_000 + 9)
        #expect(child.wait().status == 7)
    }

    @Test func sigtermEndsTheWaitForAReaderThatDoesNotRead() throws {
        let child = try ChildProcess(["--obeys"], input: .pipe, output: .pipe)
        send("W", to: child.input)
        usleep(300_000)
        kill(child.pid, SIGTERM)
        usleep(300_000)
        #expect(isAlive(child))
        kill(child.pid, SIGTERM)
        #expect(child.wait().status == 0)
    }

    @Test func aFullDiskEndsNothing() throws {
        let child = try ChildProcess(input: .pipe, output: .file("/dev/full"))
        let line = readText(child.error, until: "\n")
        #expect(line.contains("standard output: No space left on device"))
        send("Q", to: child.input)
        #expect(child.wait().status == 7)
    }

    @Test func logLinesInRawModeBeginAndEndWhereTheyShould() throws {
        let child = try ChildProcess(error: .terminal)
        #expect(started(child))
        send("ab", to: child.pty!.master)
        #expect(readText(child.pty!.master, until: "ab") == "ab")
        usleep(50_000)
        send("Lc", to: child.pty!.master)
        #expect(readText(child.pty!.master, until: "line\r\nc") == "\r\nbackplane: com1: warning: a line\r\nc")
    }

    @Test func theTerminalsOpenFileStaysBlocking() throws {
        let child = try ChildProcess(["--shell"])
        #expect(child.shell("j") == "started")
        #expect(child.shell("g") == "ok")
        #expect(started(child))
        send("W", to: child.pty!.master)
        usleep(200_000)
        // Descriptors 0 and 1 of the job are the same open files as the shell's.
        for number in 0...1 {
            let file = open("/proc/\(child.pid)/fdinfo/\(number)", O_RDONLY)
            let text = readText(file, until: "mnt_id")
            close(file)
            let flags = text.split(separator: "\n").first { $0.hasPrefix("flags:") }?.split(separator: "\t").last
            #expect(flags.flatMap { Int32($0, radix: 8) }.map { $0 & O_NONBLOCK } == 0)
        }
    }

    // MARK: No spinning: CPU time of an idle second

    private func idleTime(_ child: ChildProcess) -> Double {
        usleep(200_000)
        let before = child.cpuTime
        usleep(1_000_000)
        return child.cpuTime - before
    }

    /// The guest's own two threads look about every 2 ms, which costs some 20 ms; a spinning thread uses all of it.
    private let limit = 0.15

    @Test func closedStandardInputDoesNotSpin() throws {
        let child = try ChildProcess(input: .none, output: .pipe)
        #expect(started(child))
        #expect(idleTime(child) < limit)
    }

    @Test func devNullAsInputDoesNotSpin() throws {
        let child = try ChildProcess(input: .file("/dev/null"), output: .pipe)
        #expect(started(child))
        #expect(idleTime(child) < limit)
    }

    @Test func aPipeAtItsEndDoesNotSpin() throws {
        let child = try ChildProcess(input: .pipe, output: .pipe)
        #expect(started(child))
        child.closeInput()
        #expect(idleTime(child) < limit)
    }

    @Test func inputThatWaitsForRoomDoesNotSpin() throws {
        let child = try ChildProcess(input: .pipe, output: .pipe)
        #expect(started(child))
        send("H" + String(repeating: ".", count: 1000), to: child.input)
        child.closeInput()
        #expect(idleTime(child) < limit)
    }

    @Test func aReaderThatHasLeftDoesNotSpin() throws {
        let child = try ChildProcess(input: .pipe, output: .pipe)
        #expect(started(child))
        child.closeOutput()
        send("abc", to: child.input)
        #expect(readText(child.error, until: "\n").contains("Broken pipe"))
        #expect(idleTime(child) < limit)
        send("Q", to: child.input)
        #expect(child.wait().status == 7)
    }

    @Test func aStoppedReaderDoesNotSpin() throws {
        for output in [ChildProcess.Stream.pipe, .terminal] {
            let child = try ChildProcess(input: .pipe, output: output)
            #expect(started(child))
            send("W", to: child.input)
            #expect(idleTime(child) < limit)
        }
    }

    @Test func aTerminalInTheBackgroundDoesNotSpin() throws {
        let child = try ChildProcess(["--shell"], output: .pipe)
        #expect(child.shell("j") == "started")
        #expect(started(child))
        send("a line for the shell\n", to: child.pty!.master)
        #expect(idleTime(child) < limit)
    }
}
