import BackendSupport
import Glibc
import Synchronization
import Testing

@testable import SharedFolder

@Suite struct FolderWorkerTests {
    private final class Posts: Sendable {
        let count = Atomic(0)
        /// While false the host takes none.
        let areTaken = Atomic(true)
    }

    private func worker(_ folder: Folder, _ posts: Posts) throws -> FolderWorker {
        let link = HostLink(
            post: { _ in
                guard posts.areTaken.load(ordering: .relaxed) else { return false }
                posts.count.add(1, ordering: .relaxed)
                return true
            }, log: { _, _ in })
        return FolderWorker(try FolderSession(path: folder.path, isReadOnly: false), link: link, postArgument: 1)
    }

    private let version: [UInt8] = [21, 0, 0, 0, 100, 255, 255, 0, 32, 0, 0, 8, 0] + Array("9P2000.L".utf8)
    private let attach: [UInt8] = [23, 0, 0, 0, 104, 1, 0, 5, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]

    private func wait(_ condition: () -> Bool) { while !condition() { usleep(1000) } }

    @Test func answersComeInTheOrderOfSubmissionWithAPostEach() throws {
        let (folder, posts) = (Folder(), Posts())
        let worker = try worker(folder, posts)
        for tag in 0..<100 as Range<UInt64> { worker.submit(.init(tag: tag, message: version, room: 8192)) }
        try worker.start()
        wait { posts.count.load(ordering: .relaxed) == 100 }
        for tag in 0..<100 as Range<UInt64> {
            let answer = worker.takeAnswer()
            #expect(answer?.tag == tag && answer?.message[4] == 101)
        }
        #expect(worker.takeAnswer() == nil && worker.statistics.answers == 100)
        #expect(worker.stop())
    }

    @Test func postThatTheHostCannotTakeIsTriedAgain() throws {
        let posts = Posts()
        let worker = try worker(Folder(), posts)
        posts.areTaken.store(false, ordering: .relaxed)
        try worker.start()
        worker.submit(.init(tag: 1, message: version, room: 8192))
        wait { worker.statistics.answers == 1 }
        posts.areTaken.store(true, ordering: .relaxed)
        wait { posts.count.load(ordering: .relaxed) == 1 }
        #expect(worker.takeAnswer()?.tag == 1)
        #expect(worker.stop())
    }

    @Test func afterAResetNothingIsLeft() throws {
        let (folder, posts) = (Folder(), Posts())
        let worker = try worker(folder, posts)
        try worker.start()
        worker.submit(.init(tag: 1, message: version, room: 8192))
        worker.submit(.init(tag: 2, message: attach, room: 8192))
        wait { worker.statistics.answers == 2 }
        #expect(worker.statistics.fids == 1 && worker.statistics.messageSize == 8192)
        worker.reset()
        #expect(worker.takeAnswer() == nil && worker.statistics.fids == 0)
        worker.submit(.init(tag: 3, message: attach, room: 8192))
        wait { worker.statistics.answers == 3 }
        let answer = try #require(worker.takeAnswer())
        #expect(answer.tag == 3 && answer.message[4] == 7, "no version is agreed on any more")
        worker.reset(messageSize: 8192)
        worker.submit(.init(tag: 4, message: attach, room: 8192))
        wait { worker.statistics.answers == 4 }
        #expect(worker.takeAnswer()?.message[4] == 105)
        #expect(worker.stop())
    }
}
