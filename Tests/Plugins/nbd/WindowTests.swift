import BackendSupport
import PluginKit
import Testing

@testable import NBDClient

/// Requests cut into parts, and the order in which these go out.
@Suite struct WindowTests {
    private func window(data: Int = 1024, clear: Int = 4096, parts: Int = 4) -> RequestWindow {
        RequestWindow(.init(data: data, clear: clear, parts: parts))
    }

    private func parts(_ window: inout RequestWindow) -> [RequestWindow.Part] {
        var all: [RequestWindow.Part] = []
        while let part = window.takePart() { all.append(part) }
        return all
    }

    @Test func aRequestIsCutIntoPartsThatTheServerTakes() {
        var window = window(parts: 16)
        window.append(.init(.write, offset: 512, length: 2560, tag: 1))
        let all = parts(&window)
        #expect(all.map(\.offset) == [512, 1536, 2560])
        #expect(all.map(\.length) == [1024, 1024, 512])
        #expect(all.map(\.place) == [0, 1024, 2048])
        for part in all.reversed() { window.complete(part, .ok) }
        #expect(window.takeFinished().map(\.status) == [.ok])
        #expect(window.isEmpty)
    }

    @Test func requestsWithoutDataHaveTheirOwnLimit() {
        var window = window(parts: 16)
        window.append(.init(.writeZeroes, offset: 0, length: 10000, tag: 1))
        #expect(parts(&window).map(\.length) == [4096, 4096, 1808])
    }

    @Test func noMorePartsAreOutThanAllowed() {
        var window = window(parts: 3)
        window.append(.init(.read, offset: 0, length: 1 << 40, tag: 1))
        let all = parts(&window)
        #expect(all.count == 3)
        window.complete(all[1], .ok)
        #expect(window.takePart()?.offset == 3072)
        #expect(window.takePart() == nil)
    }

    @Test func finishedRequestsLeaveInTheOrderOfSubmission() {
        var window = window()
        for tag in 0..<3 { window.append(.init(.read, offset: UInt64(tag) * 512, length: 512, tag: UInt64(tag))) }
        let all = parts(&window)
        window.complete(all[2], .ok)
        window.complete(all[1], .ioError)
        #expect(window.takeFinished().isEmpty)
        window.complete(all[0], .ok)
        let finished = window.takeFinished()
        #expect(finished.map(\.request.tag) == [0, 1, 2])
        #expect(finished.map(\.status) == [.ok, .ioError, .ok])
    }

    @Test func aFlushWaitsForTheWritesBeforeIt() {
        var window = window()
        window.append(.init(.write, offset: 0, length: 512, tag: 1))
        window.append(.init(.read, offset: 4096, length: 512, tag: 2))
        window.append(.init(.flush, tag: 3))
        window.append(.init(.write, offset: 8192, length: 512, tag: 4))
        let first = parts(&window)
        #expect(first.map(\.operation) == [.write, .read])
        window.complete(first[0], .ok)
        #expect(parts(&window).map(\.operation) == [.flush, .write])
    }

    @Test(
        arguments: [
            (.write, .read, false), (.read, .write, false), (.write, .write, false), (.discard, .read, false),
            (.read, .read, true),
        ] as [(BlockOperation, BlockOperation, Bool)])
    func whatOverlapsAWriteWaits(_ first: BlockOperation, _ second: BlockOperation, _ isTogether: Bool) {
        var window = window()
        window.append(.init(first, offset: 0, length: 1024, tag: 1))
        window.append(.init(second, offset: 512, length: 1024, tag: 2))
        let all = parts(&window)
        #expect(all.count == (isTogether ? 2 : 1))
        window.complete(all[0], .ok)
        #expect((window.takePart() != nil) == !isTogether)
    }

    @Test func neighboursDoNotWait() {
        var window = window()
        window.append(.init(.write, offset: 0, length: 512, tag: 1))
        window.append(.init(.write, offset: 512, length: 512, tag: 2))
        #expect(parts(&window).count == 2)
    }

    /// The first of the failed parts by its place decides, whichever fails first.
    @Test func theStatusIsThatOfTheFirstFailedPart() {
        var window = window()
        window.append(.init(.write, offset: 0, length: 8192, tag: 1))
        let all = parts(&window)
        window.complete(all[2], .ioError)
        window.complete(all[1], .noSpace)
        // Nothing more goes out.
        #expect(window.takePart() == nil)
        window.complete(all[0], .ok)
        window.complete(all[3], .ok)
        #expect(window.takeFinished().map(\.status) == [.noSpace])
    }

    @Test func whatIsDecidedOrEmptyOnlyWaitsForItsTurn() {
        var window = window()
        window.append(.init(.read, offset: 0, length: 512, tag: 1))
        window.append(.init(.write, tag: 2, verdict: .readOnly))
        window.append(.init(.read, offset: 0, length: 0, tag: 3))
        let all = parts(&window)
        #expect(all.count == 1)
        #expect(window.takeFinished().isEmpty)
        window.complete(all[0], .ok)
        #expect(window.takeFinished().map(\.status) == [.ok, .readOnly, .ok])
    }

    @Test func whatIsGivenUpLeavesOnceItsPartsAreBack() {
        var window = window(parts: 1)
        window.append(.init(.write, offset: 0, length: 2048, tag: 1))
        window.append(.init(.flush, tag: 2))
        window.append(.init(.read, tag: 3, verdict: .outOfRange))
        let part = window.takePart()
        window.giveUp(.stale)
        #expect(window.takePart() == nil)
        #expect(window.takeFinished().isEmpty)
        if let part { window.complete(part, .ok) }
        #expect(window.takeFinished().map(\.status) == [.stale, .stale, .outOfRange])
    }

    /// What a server says of itself may be anything; nothing here traps.
    @Test func limitsOfNothingStillMakeWay() {
        var window = window(data: 0, parts: 2)
        window.append(.init(.read, offset: UInt64(Int64.max) - 511, length: 512, tag: 1))
        #expect(parts(&window).map(\.length) == [1, 1])
    }
}
