import Testing

@testable import Core

/// Who may run, without machines.
@Suite struct GuestBoardTests {
    private func board(_ count: Int = 3) -> GuestBoard {
        GuestBoard(names: (1...count).map { "guest\($0)" })
    }
    private func running(_ board: GuestBoard) -> [Bool] { board.summaries.map(\.mayRun) }
    private func setModes(_ board: GuestBoard, _ mode: RunMode, quantum: UInt64 = 10_000_000_000) {
        for index in 0..<board.count { board.setMode(index, mode, quantum: quantum) }
    }

    @Test func theFirstIsInTheForegroundAndAllRun() {
        let board = board()
        #expect(board.foreground == 0)
        #expect(running(board) == [true, true, true])
        #expect(board.summaries.map(\.number) == [1, 2, 3])
    }

    @Test func inTheModeForegroundOnlyThatOneRuns() {
        let board = board()
        setModes(board, .foreground)
        #expect(running(board) == [true, false, false])
        let isDone = board.bring(2)
        #expect(isDone)
        #expect(running(board) == [false, false, true])
        board.setMode(0, .always, quantum: 0)
        #expect(running(board) == [true, false, true])
    }

    @Test func oneTurnGoesAroundAmongThoseThatHaveSomethingToDo() {
        let board = board()
        setModes(board, .turn)
        // Nobody has anything to do: their clocks go on.
        #expect(running(board) == [true, true, true])
        for index in [1, 2, 0] { board.setBusy(index, true) }
        #expect(running(board) == [false, true, false])
        // Guest 1 is in the foreground: it comes before guest 3, which has waited for longer.
        board.setBusy(1, false)
        #expect(running(board) == [true, true, false])
        board.setBusy(0, false)
        #expect(running(board) == [true, true, true])
        board.setBusy(1, true)
        #expect(running(board) == [true, false, true])
        board.setBusy(2, false)
        #expect(running(board) == [true, true, true])
    }

    @Test func aGuestThatStopsTakingTurnsGivesItsTurnUp() {
        let board = board(2)
        setModes(board, .turn)
        board.setBusy(0, true)
        board.setBusy(1, true)
        #expect(running(board) == [true, false])
        board.setMode(0, .foreground, quantum: 0)
        #expect(running(board) == [true, true])
        board.bring(1)
        #expect(running(board) == [false, true])
    }

    @Test func whoIsBroughtToTheForegroundHasTheTurnAtOnceAndWhoHadItIsNext() {
        let board = board(4)
        setModes(board, .turn)
        for index in 0..<4 { board.setBusy(index, true) }
        #expect(running(board) == [true, false, false, false])
        board.bring(3)
        #expect(running(board) == [false, false, false, true])
        board.setBusy(3, false)
        #expect(running(board) == [true, false, false, true])
        board.bring(2)
        board.bring(1)
        #expect(running(board) == [false, true, false, true])
    }

    @Test func aTurnEndsOnceItsQuantumIsOverAndOthersWait() {
        func member(_ quantum: UInt64) -> GuestBoard.Member {
            var member = GuestBoard.Member(name: "")
            (member.mode, member.quantum, member.isBusy) = (.turn, quantum, true)
            return member
        }
        let members = [member(100), member(70), member(100)]
        var turn = Turn()
        let mustTime = turn.settle(members, now: 1000)
        #expect(mustTime)
        #expect(turn.holder == 0 && turn.queue == [1, 2] && turn.deadline == 1100)
        turn.expire(members, now: 1099)
        #expect(turn.holder == 0)
        turn.expire(members, now: 1100)
        #expect(turn.holder == 1 && turn.queue == [2, 0] && turn.deadline == 1170)
        turn.expire(members, now: 1500)
        #expect(turn.holder == 2 && turn.queue == [0, 1] && turn.deadline == 1600)
        // Alone, it keeps its turn.
        var alone = members
        (alone[0].isBusy, alone[1].isBusy) = (false, false)
        _ = turn.settle(alone, now: 1500)
        #expect(turn.holder == 2 && turn.deadline == nil)
        turn.expire(alone, now: 5000)
        #expect(turn.holder == 2)
    }

    @Test func theClockEndsTurnsByItself() async throws {
        let board = board(2)
        setModes(board, .turn, quantum: 1_000_000)
        board.setBusy(0, true)
        board.setBusy(1, true)
        for holder in [1, 0, 1] {
            for _ in 0..<5000 where !running(board)[holder] { try await Task.sleep(for: .milliseconds(1)) }
            #expect(running(board)[holder])
        }
    }

    @Test func theNextOneTakesTheForegroundOfOneThatEnds() {
        let board = board()
        setModes(board, .foreground)
        board.bring(1)
        board.end(1)
        #expect(board.foreground == 2)
        #expect(running(board) == [false, true, true])
        let isBack = board.bring(1)
        #expect(!isBack)
        let isThere = board.bring(9)
        #expect(!isThere)
        board.bringNext()
        #expect(board.foreground == 0)
        board.bringNext()
        #expect(board.foreground == 2)
        board.end(2)
        board.end(2)
        #expect(board.foreground == 0)
        let isAlone = board.bringNext()
        #expect(isAlone)
        board.end(0)
        #expect(board.foreground == nil)
        let isNobody = board.bringNext()
        #expect(!isNobody)
    }

    @Test func observersAreToldOfEveryChangeAndOfNothingElse() {
        let board = board()
        let told = Told()
        board.onForeground { [weak board] in told.add(board?.foreground) }
        board.bring(1)
        board.bring(1)
        board.bring(7)
        board.end(2)
        board.end(1)
        #expect(told.all == [1, 0])
    }

    private final class Told: @unchecked Sendable {
        private(set) var all: [Int?] = []
        func add(_ index: Int?) { all.append(index) }
    }

    @Test func quantaAreBounded() {
        let board = board(1)
        board.setMode(0, .turn, quantum: 0)
        #expect(board.summaries[0].quantum == 1_000_000)
        board.setMode(0, .turn, quantum: .max)
        #expect(board.summaries[0].quantum == 10_000_000_000)
    }
}
