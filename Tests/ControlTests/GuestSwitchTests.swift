import Core
import Testing

@testable import Control

/// Whose console the terminal shows.
@Suite struct GuestConsoleTests {
    private func text(_ board: inout ClientBoard) -> String {
        let bytes = board.nextOutput(.max)
        board.didWrite(bytes.count)
        return String(decoding: bytes, as: UTF8.self)
    }

    private struct Setup {
        var board = ClientBoard()
        let left = FakeClient("left: a", guest: 0)
        let second = FakeClient("left: b", guest: 0)
        let right = FakeClient("right: a", guest: 1)
        let monitor = FakeClient("monitor")

        init() {
            board.isGuided = true
            for client in [left, right, second] { board.open(client) }
            board.show(guest: 0, uncovers: false)
        }
    }

    @Test func theGuestsLastConsoleIsShown() {
        var setup = Setup()
        #expect(setup.board.foregroundClient === setup.left)
        #expect(setup.board.consoles().map(\.title) == ["left: a", "left: b", "right: a"])
        #expect(setup.board.nextConsole(after: setup.left) === setup.second)
        #expect(setup.board.nextConsole(after: setup.right) === setup.left)
        #expect(setup.board.nextConsole(after: setup.right, of: 1) == nil)
        setup.board.switchTo(2)
        #expect(setup.board.foregroundClient === setup.second)
        setup.board.show(guest: 1, uncovers: false)
        #expect(setup.board.foregroundClient === setup.right)
        setup.board.show(guest: 0, uncovers: false)
        #expect(setup.board.foregroundClient === setup.second)
    }

    @Test func theMonitorStaysUntilAKeyUncoversTheGuest() {
        var setup = Setup()
        setup.board.open(setup.monitor)
        let isThere = setup.board.toggle(setup.monitor)
        #expect(isThere)
        setup.board.show(guest: 1, uncovers: false)
        #expect(setup.board.foregroundClient === setup.monitor)
        // Back from it, the guest that was brought meanwhile is there.
        let isStill = setup.board.toggle(setup.monitor)
        #expect(!isStill)
        #expect(setup.board.foregroundClient === setup.right)
        _ = setup.board.toggle(setup.monitor)
        setup.board.show(guest: 0, uncovers: true)
        #expect(setup.board.foregroundClient === setup.left)
    }

    @Test func aClosingConsoleLeavesItsPlaceToItsGuestsOthersOnly() {
        var setup = Setup()
        setup.board.close(setup.left)
        #expect(setup.board.foregroundClient === setup.second)
        setup.board.close(setup.second)
        #expect(setup.board.foregroundClient == nil)
        // Nobody gets what is typed now.
        let taken = setup.board.type(Array("lost".utf8))
        #expect(taken == 4)
        setup.board.show(guest: 1, uncovers: false)
        #expect(setup.board.foregroundClient === setup.right)
        #expect(setup.right.text == "")
    }

    @Test func aGuestWithoutConsoleTakesTheTerminalFromTheOthers() {
        var setup = Setup()
        setup.board.show(guest: 7, uncovers: true)
        #expect(setup.board.foregroundClient == nil)
        setup.board.open(setup.monitor)
        #expect(setup.board.foregroundClient == nil)
        let isThere = setup.board.toggle(setup.monitor)
        #expect(isThere && setup.board.foregroundClient === setup.monitor)
        let isStill = setup.board.toggle(setup.monitor)
        #expect(!isStill && setup.board.foregroundClient == nil)
    }

    @Test func whatIsLeftOfAGuestInTheBackgroundComesOutWhereThereIsNoTerminal() {
        for keepsAll in [true, false] {
            var setup = Setup()
            setup.board.keepsAll = keepsAll
            _ = text(&setup.board)
            setup.board.write(setup.left, Array("here".utf8))
            setup.board.write(setup.right, Array("last words\r\n".utf8))
            setup.board.close(setup.right)
            let more = "\r\nbackplane: right: a\r\nlast words\r\nbackplane: left: a\r\n"
            #expect(text(&setup.board) == "here" + (keepsAll ? more : ""))
        }
    }

    @Test func whatAGuestWroteInTheBackgroundIsShownWhenItComes() {
        var setup = Setup()
        _ = text(&setup.board)
        setup.board.write(setup.right, Array("in the back\r\n".utf8))
        setup.board.write(setup.left, Array("in front\r\n".utf8))
        #expect(text(&setup.board) == "in front\r\n")
        setup.board.show(guest: 1, uncovers: false)
        #expect(text(&setup.board) == "backplane: right: a\r\nin the back\r\n")
    }
}

/// The keys, the board of guests and the terminal together.
@Suite struct GuestSwitchTests {
    private struct Setup {
        let guests = GuestBoard(names: ["left", "bare", "right"])
        let terminal: TerminalMultiplexer
        let keys: GuestSwitch
        let left = FakeClient("left: com1", guest: 0)
        let right = FakeClient("right: com1", guest: 2)

        init(opens: Bool = true) throws {
            terminal = try TerminalMultiplexer(log: try LogWriter(level: .error))
            keys = GuestSwitch(guests, terminal)
            if opens { terminal.open(left) }
            terminal.open(right)
            keys.begin()
        }
    }

    @Test func digitsAndNextSwitch() throws {
        let setup = try Setup()
        #expect(setup.keys.bring(3) == [])
        #expect(setup.guests.foreground == 2 && setup.terminal.isForeground(setup.right))
        #expect(setup.keys.bringNextConsole() == [])
        #expect(setup.guests.foreground == 0 && setup.terminal.isForeground(setup.left))
        #expect(setup.keys.bringNextConsole() == [])
        #expect(setup.guests.foreground == 2 && setup.terminal.isForeground(setup.right))
        #expect(setup.keys.bring(9) == ["there is no guest 9: there are 1 left, 2 bare, 3 right"])
        #expect(setup.guests.foreground == 2)
    }

    @Test func aGuestWithoutConsoleIsSaidToHaveNone() throws {
        let setup = try Setup()
        #expect(setup.keys.bring(2) == ["guest 2, bare, has no console"])
        #expect(setup.guests.foreground == 1)
        #expect(!setup.terminal.isForeground(setup.left))
        #expect(setup.keys.bring(1) == [])
        #expect(setup.terminal.isForeground(setup.left))
    }

    @Test func whoeverBringsAGuestTheTerminalFollows() throws {
        let setup = try Setup()
        setup.guests.bring(2)
        #expect(setup.terminal.isForeground(setup.right))
        setup.terminal.close(setup.right)
        setup.guests.seat(2).end()
        #expect(setup.guests.foreground == 0 && setup.terminal.isForeground(setup.left))
        #expect(setup.keys.bring(3) == ["guest 3, right, has ended"])
        #expect(setup.keys.bringNextConsole() == ["there is no other console"])
    }

    @Test func theFirstGuestWithAConsoleBegins() throws {
        let setup = try Setup(opens: false)
        #expect(setup.guests.foreground == 2 && setup.terminal.isForeground(setup.right))
    }

    @Test func oneGuestAloneIsSaidToBeAlone() throws {
        let terminal = try TerminalMultiplexer(log: try LogWriter(level: .error))
        let keys = GuestSwitch(GuestBoard(names: ["only"]), terminal)
        terminal.open(FakeClient("only: com1", guest: 0))
        keys.begin()
        #expect(keys.bring(2) == ["there is no guest 2: this one is alone"])
        #expect(keys.bring(1) == [])
        #expect(keys.bringNextConsole() == ["there is no other console"])
    }
}
