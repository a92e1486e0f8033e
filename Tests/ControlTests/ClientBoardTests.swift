import Testing

@testable import Control

/// 64 KiB, 16 KiB and 1 MiB are the task's own numbers, not the board's constants.
@Suite struct ClientBoardTests {
    private func bytes(_ count: Int, _ value: UInt8 = 0x2e) -> [UInt8] { [UInt8](repeating: value, count: count) }
    private func text(_ board: ClientBoard) -> String { String(decoding: board.nextOutput(.max), as: UTF8.self) }

    // MARK: Input

    @Test func nothingIsReceivedWithoutRoom() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        #expect(board.inputRoom == 0)
        let taken = board.type(Array("hello".utf8))
        #expect(taken == 5)
        #expect(client.text == "")
        board.grant(client, 3)
        #expect(client.text == "hel")
        board.grant(client, 16)
        #expect(client.text == "hello")
        #expect(board.inputRoom == 14)
    }

    @Test func roomIsAbsoluteAndBytesUnderWayCountAgainstIt() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        board.grant(client, 16)
        board.grant(client, 16)
        #expect(board.inputRoom == 16)
        _ = board.type(bytes(10))
        client.undelivered = 10
        board.grant(client, 16)
        #expect(board.inputRoom == 6)
        client.undelivered = 20
        board.grant(client, 16)
        #expect(board.inputRoom == 0)
    }

    @Test func typedAheadIsBounded() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        let first = board.type(bytes(256 << 10))
        #expect(first == 256 << 10)
        let beyond = board.type(bytes(1))
        #expect(beyond == 0)
        board.grant(client, 10)
        let more = board.type(bytes(20))
        #expect(more == 10)
    }

    @Test func keysStayWithTheClientTheyWereTypedFor() {
        var board = ClientBoard()
        let (a, b) = (FakeClient("a"), FakeClient("b"))
        board.open(a)
        board.open(b)
        _ = board.type(Array("for a".utf8))
        let hasSwitched = board.switchTo(1)
        #expect(hasSwitched)
        board.grant(b, 100)
        _ = board.type(Array("for b".utf8))
        board.grant(a, 100)
        #expect(a.text == "for a")
        #expect(b.text == "for b")
    }

    @Test func enormousRoomIsTaken() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        board.grant(client, .max)
        let taken = board.type(Array("x".utf8))
        #expect(taken == 1)
        #expect(board.inputRoom == .max)
        #expect(client.text == "x")
    }

    // MARK: Output

    @Test func throttleAbove64KiBAndOnBelow16() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        board.write(client, bytes(65536))
        #expect(client.throttles == [])
        board.write(client, bytes(1))
        board.write(client, bytes(100))
        #expect(client.throttles == [true])
        board.didWrite(65637 - 16384)
        #expect(client.throttles == [true])
        board.didWrite(1)
        #expect(client.throttles == [true, false])
    }

    @Test func aClientThatIgnoresTheThrottleLosesTheEndOnly() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        for _ in 0..<20 { board.write(client, bytes(100_000)) }
        #expect(board.nextOutput(.max).count == 1 << 20)
        let lost = board.takeDropped()
        #expect(lost == UInt64(2_000_000 - (1 << 20)))
        let lostSince = board.takeDropped()
        #expect(lostSince == 0)
    }

    @Test func deadOutputDropsAllAndThrottlesNobody() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        board.write(client, bytes(70_000))
        board.dropOutput()
        #expect(client.throttles == [true, false])
        board.write(client, bytes(200_000))
        #expect(!board.hasOutput)
        #expect(client.throttles == [true, false])
    }

    @Test func statusTextIsOnLinesOfItsOwn() {
        var board = ClientBoard()
        let client = FakeClient()
        board.open(client)
        board.say(["one"])
        board.write(client, Array("$ ".utf8))
        board.say(["two", "three"])
        board.write(client, Array("x".utf8))
        #expect(text(board) == "one\r\n$ \r\ntwo\r\nthree\r\nx")
    }

    // MARK: Several clients

    @Test func firstOpenedIsInTheForegroundAndOthersAreKeptUntilSwitchedTo() {
        var board = ClientBoard()
        let (a, b) = (FakeClient("vm: a"), FakeClient("vm: b"))
        board.open(a)
        board.open(b)
        board.write(b, Array("b1\r\n".utf8))
        board.write(a, Array("a1\r\n".utf8))
        board.write(b, Array("b2\r\n".utf8))
        #expect(text(board) == "a1\r\n")
        let hasSwitched = board.switchTo(1)
        #expect(hasSwitched)
        #expect(text(board) == "a1\r\nbackplane: vm: b\r\nb1\r\nb2\r\n")
        board.write(b, Array("b3".utf8))
        board.write(a, Array("a2".utf8))
        #expect(text(board).hasSuffix("b2\r\nb3"))
        let isThirdThere = board.switchTo(2)
        #expect(!isThirdThere)
        let isNegativeThere = board.switchTo(-1)
        #expect(!isNegativeThere)
        #expect(board.foreground == 1)
    }

    @Test func backlogKeepsTheLast64KiBFromALineStart() {
        var board = ClientBoard()
        let (a, b) = (FakeClient("a"), FakeClient("b"))
        board.open(a)
        board.open(b)
        for number in 0..<10_000 { board.write(b, Array("line \(1_000_000 + number)\n".utf8)) }  // 13 bytes each
        #expect(b.throttles == [])
        board.switchTo(1)
        let shown = text(board).split(whereSeparator: \.isNewline)
        #expect(shown.first == "backplane: b")
        // 65536 / 13 = 5041 whole lines.
        #expect(shown.count == 1 + 5041)
        #expect(shown[1] == "line \(1_000_000 + 10_000 - 5041)")
        #expect(shown.last == "line 1009999")
    }

    @Test func aThrottledClientGoesOnInTheBackground() {
        var board = ClientBoard()
        let (a, b) = (FakeClient("a"), FakeClient("b"))
        board.open(a)
        board.open(b)
        board.write(a, bytes(70_000))
        #expect(a.throttles == [true])
        board.switchTo(1)
        #expect(a.throttles == [true, false])
        #expect(b.throttles == [true])
        board.didWrite(.max)
        #expect(b.throttles == [true, false])
    }

    @Test func whenTheForegroundClosesTheNextComesAndItsPlaceIsUsedAgain() {
        var board = ClientBoard()
        let (a, b, c) = (FakeClient("a"), FakeClient("b"), FakeClient("c"))
        board.open(a)
        board.open(b)
        board.write(b, Array("kept".utf8))
        board.close(a)
        #expect(board.foreground == 1)
        #expect(text(board) == "backplane: b\r\nkept")
        board.write(a, Array("late".utf8))
        board.grant(a, 16)
        #expect(text(board) == "backplane: b\r\nkept")
        board.open(c)
        #expect(board.index(of: c) == 0)
        board.close(b)
        board.close(c)
        #expect(board.foreground == nil)
        let taken = board.type(Array("nobody".utf8))
        #expect(taken == 6)
    }
}
