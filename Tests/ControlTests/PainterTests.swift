import Testing

@testable import Control

/// Clients that paint the whole window: xterm's alternate screen (ctlseqs, private modes 1049 and 25) is theirs while they are in the foreground.
@Suite struct PainterTests {
    private static let enter = "\u{1b}[?1049h\u{1b}[0m\u{1b}[2J\u{1b}[H"
    private static let clear = "\u{1b}[0m\u{1b}[2J\u{1b}[H"
    private static let leave = "\u{1b}[0m\u{1b}[0 q\u{1b}[?25h\u{1b}[?1049l"
    private static let size = WindowSize(columns: 100, rows: 40)

    private let board = {
        var board = ClientBoard()
        board.mayPaint = true
        return board
    }()
    private let screen = FakeClient("pc: screen", isPainter: true)
    private let serial = FakeClient("pc: com1")

    /// What is written since the last time.
    private func next(_ board: inout ClientBoard) -> String {
        let bytes = board.nextOutput(.max)
        board.didWrite(bytes.count)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func thePainterHasTheAlternateScreenAndTheWindowsSize() {
        var board = board
        board.window = Self.size
        board.open(screen)
        board.write(screen, "painted".utf8)
        let written1 = next(&board)
        #expect(written1 == Self.enter + "painted")
        #expect(screen.windows == [Self.size])
        board.window = WindowSize(columns: 80, rows: 24)
        #expect(screen.windows == [Self.size, WindowSize(columns: 80, rows: 24)])
        board.close(screen)
        let written2 = next(&board)
        #expect(written2 == Self.leave)
        #expect(screen.windows.count == 2)
    }

    @Test func allClientsAreToldOfTheTerminalsSize() {
        var board = board
        board.open(screen)
        board.open(serial)
        board.window = Self.size
        board.window = Self.size
        board.window = nil
        #expect(serial.sizes == [Self.size] && screen.sizes == [Self.size])
    }

    @Test func aTerminalThatDoesNotKnowItsSizeHas80By25() {
        var board = board
        board.open(screen)
        #expect(screen.windows == [WindowSize(columns: 80, rows: 25)])
    }

    @Test func whatItWritesInTheBackgroundIsLostAndItPaintsAnewWhenItComesBack() {
        var board = board
        board.window = Self.size
        board.open(screen)
        board.open(serial)
        board.write(serial, "boot\r\n".utf8)
        _ = next(&board)
        board.switchTo(1)
        board.write(screen, "lost".utf8)
        let written3 = next(&board)
        #expect(written3 == Self.leave + "backplane: pc: com1\r\nboot\r\n")
        #expect(screen.windows == [Self.size, nil])
        board.switchTo(0)
        let written4 = next(&board)
        #expect(written4 == Self.enter)
        #expect(screen.windows == [Self.size, nil, Self.size])
    }

    @Test func wordsOverThePictureStayUntilAKeyIsTyped() {
        var board = board
        board.window = Self.size
        board.open(screen)
        board.grant(screen, 100)
        _ = next(&board)
        board.say(["backplane: help"])
        board.write(screen, "lost".utf8)
        board.say(["backplane: more"])
        let said = next(&board)
        #expect(said.hasPrefix(Self.clear + "\u{1b}[?25hbackplane: help\r\n"))
        #expect(said.contains("backplane: more") && !said.contains("lost"))
        _ = board.type([])
        let taken = board.type(Array("q".utf8))
        #expect(taken == 1 && screen.text == "")
        let written5 = next(&board)
        #expect(written5 == Self.clear)
        #expect(screen.windows == [Self.size, nil, Self.size])
        _ = board.type(Array("r".utf8))
        #expect(screen.text == "r")
    }

    @Test func theLogWaitsUntilTheWindowIsFree() throws {
        var board = board
        let terminal = try Pty()
        let log = Screen(log: terminal.slave)
        board.logScreen = log
        board.window = Self.size
        board.open(screen)
        _ = next(&board)
        // The log goes elsewhere: it is written at once.
        #expect(!log.holds(["backplane: elsewhere"]))
        log.set(terminal: terminal.slave, isRaw: true)
        #expect(log.holds(["backplane: a warning"]))
        board.leavePainting()
        // The terminal has not taken the sequence yet: what is written now goes with the picture.
        #expect(log.holds(["backplane: another"]))
        board.didWrite(Self.leave.utf8.count - 1)
        #expect(log.holds(["backplane: a third"]))
        let rest = board.nextOutput(.max)
        #expect(rest == Array(Self.leave.utf8.suffix(1)))
        board.didWrite(1)
        let written6 = next(&board)
        #expect(written6 == "backplane: a warning\r\nbackplane: another\r\nbackplane: a third\r\n")
        #expect(!log.holds(["backplane: later"]))
        // As after a suspension.
        board.enterPainting()
        let written7 = next(&board)
        #expect(written7 == Self.enter)
    }

    @Test func theLogWaitsOnWhereThePictureComesBackBeforeItHasGone() throws {
        var board = board
        let terminal = try Pty()
        let log = Screen(log: terminal.slave)
        log.set(terminal: terminal.slave, isRaw: true)
        board.logScreen = log
        board.open(screen)
        _ = next(&board)
        board.leavePainting()
        board.enterPainting()
        _ = next(&board)
        #expect(log.holds(["backplane: a warning"]))
        board.leavePainting()
        board.dropOutput()
        #expect(log.setPainted(false) == ["backplane: a warning"])
    }

    /// As with `&`, or after Ctrl-A z and `bg`: the window is the shell's.
    @Test func aProcessInTheBackgroundPaintsNothing() {
        var board = ClientBoard()
        board.window = Self.size
        board.open(screen)
        board.write(screen, "lost".utf8)
        let before = next(&board)
        #expect(before == "" && screen.windows == [])
        board.mayPaint = true
        let entered = next(&board)
        #expect(entered == Self.enter && screen.windows == [Self.size])
        board.mayPaint = false
        let left = next(&board)
        #expect(left == Self.leave && screen.windows == [Self.size, nil])
        board.enterPainting()
        #expect(!board.hasOutput)
    }

    @Test func aLineThatWasBegunEndsBeforeTheMultiplexersWords() {
        var board = board
        board.open(serial)
        board.open(screen)
        board.write(serial, "login: ".utf8)
        board.switchTo(1)
        _ = next(&board)
        board.switchTo(0)
        let written8 = next(&board)
        #expect(written8 == Self.leave + "\r\nbackplane: pc: com1\r\n")
    }
}
