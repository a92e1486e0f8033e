import BackendSupport
import Glibc
import PluginKit
import Testing

@testable import RawImage

@Suite struct DiskWorkerTests {
    @Test func completionsComeInTheOrderOfSubmission() throws {
        let bench = Bench(SlowMedium(count: 1 << 20))
        let buffers = (0..<100).map { _ in Buffer(count: 512) }
        for (index, buffer) in buffers.enumerated() {
            // A request that was refused at once waits for its turn.
            let request =
                index % 10 == 5
                ? DiskRequest(.read, tag: UInt64(index), verdict: .outOfRange)
                : buffer.request(.read, at: UInt64(index * 512), tag: UInt64(index))
            #expect(bench.worker.submit(request))
        }
        try bench.worker.start()
        let news = bench.news(100)
        #expect(news.tags == (0..<100).map { UInt64($0) })
        #expect(news.statuses[5] == .outOfRange)
        #expect(news.statuses[6] == .ok)
        #expect(buffers[7].bytes == Array(pattern(1 << 20)[3584..<4096]))
        #expect(bench.worker.stop())
    }

    @Test func longRequestsPassWhole() throws {
        let medium = SlowMedium(count: 1 << 20)
        let bench = Bench(medium)
        try bench.worker.start()
        let source = Buffer((0..<400_000).map { UInt8($0 % 13) })
        let target = Buffer(count: 500_000)
        #expect(bench.worker.submit(source.request(.write, at: 100_000, tag: 1)))
        #expect(bench.worker.submit(target.request(.read, at: 50000, tag: 2)))
        #expect(bench.news(2).statuses == [.ok, .ok])
        var expected = pattern(1 << 20)
        expected.replaceSubrange(100_000..<500_000, with: source.bytes)
        #expect(medium.contents == expected)
        #expect(target.bytes == Array(expected[50000..<550_000]))
        #expect(bench.worker.stop())
    }

    @Test func flushComesAfterTheWritesBeforeIt() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        let buffer = Buffer(count: 512)
        for tag in 0..<3 as Range<UInt64> { _ = bench.worker.submit(buffer.request(.write, at: tag * 512, tag: tag)) }
        _ = bench.worker.submit(.init(.flush, tag: 3))
        _ = bench.worker.submit(buffer.request(.write, at: 2048, tag: 4))
        try bench.worker.start()
        #expect(bench.news(5).tags == [0, 1, 2, 3, 4])
        #expect(medium.log == ["write 0 512", "write 512 512", "write 1024 512", "flush", "write 2048 512"])
        #expect(bench.worker.stop())
    }

    @Test(
        arguments: [
            (5, Status.ioError), (28, .noSpace), (122, .noSpace), (30, .readOnly), (1, .readOnly), (19, .ioError),
        ] as [(Int32, Status)])
    func hostFailuresHaveTheirStatus(_ code: Int32, _ status: Status) throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        medium.fail(code)
        try bench.worker.start()
        let buffer = Buffer([UInt8](repeating: 1, count: 512))
        for tag in 0..<3 as Range<UInt64> { _ = bench.worker.submit(buffer.request(.write, at: 512, tag: tag)) }
        _ = bench.worker.submit(.init(.flush, tag: 3))
        #expect(bench.news(4).statuses == [status, status, status, status])
        #expect(bench.log.count == 1)
        #expect(bench.log[0].hasPrefix("write of 'slow' at byte 512 failed: "))
        medium.fail(nil)
        _ = bench.worker.submit(buffer.request(.write, at: 512, tag: 4))
        #expect(bench.news(1).statuses == [.ok])
        #expect(bench.worker.statistics.errors == 4)
        #expect(bench.worker.stop())
    }

    @Test func requestsBeyondTheLimitAreRefused() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        for tag in 0..<256 as Range<UInt64> { #expect(bench.worker.submit(.init(.flush, tag: tag))) }
        #expect(!bench.worker.submit(.init(.flush, tag: 256)))
        try bench.worker.start()
        #expect(bench.news(256).tags.count == 256)
        #expect(bench.worker.submit(.init(.flush, tag: 257)))
        #expect(bench.worker.stop())
    }

    @Test func completionsThatNobodyFetchesAreBoundedToo() throws {
        let bench = Bench(SlowMedium(count: 4096))
        try bench.worker.start()
        var taken = 0
        for tag in 0..<5000 as Range<UInt64> {
            if bench.worker.submit(.init(.flush, tag: tag)) { taken += 1 } else { usleep(10) }
        }
        // At most one more is with the thread.
        #expect(taken <= 257)
        #expect(bench.posts == 1)
        #expect(bench.worker.stop())
    }

    /// The client frees its buffer as soon as `cancelAll` returns; the disk hangs all the while.
    @Test(arguments: [BlockOperation.read, .write])
    func cancelNeitherWaitsForAHungDiskNorTouchesABufferLater(_ operation: BlockOperation) throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        medium.hold()
        try bench.worker.start()
        let buffer = Buffer([UInt8](repeating: 0x55, count: 2048))
        #expect(bench.worker.submit(buffer.request(operation, at: 0, tag: 1)))
        #expect(bench.worker.submit(buffer.request(operation, at: 0, tag: 2)))
        #expect(medium.waitForCall())
        bench.worker.cancelAll()
        buffer.raw.copyBytes(from: [UInt8](repeating: 0x66, count: 2048))
        let other = Buffer(count: 512)
        #expect(bench.worker.submit(other.request(.read, at: 2048, tag: 3)))
        medium.letGo()
        #expect(bench.news(1).tags == [3])
        #expect(buffer.bytes == [UInt8](repeating: 0x66, count: 2048))
        // The write had its bytes before the cancel; what the client put there later never goes out.
        let expected = operation == .write ? [UInt8](repeating: 0x55, count: 2048) : Array(pattern(4096).prefix(2048))
        #expect(Array(medium.contents.prefix(2048)) == expected)
        #expect(medium.log.count == 2)
        #expect(bench.worker.stop())
    }

    @Test func cancelDropsCompletionsThatNobodyHasFetched() throws {
        let bench = Bench(SlowMedium(count: 4096))
        try bench.worker.start()
        _ = bench.worker.submit(.init(.flush, tag: 1))
        for _ in 0..<500 where bench.posts == 0 { usleep(10000) }
        bench.worker.cancelAll()
        #expect(bench.worker.takeNews().completions == [])
        #expect(bench.worker.stop())
    }

    /// Three completions are there, and the owner wants one for each post.
    @Test func whatIsLeftBeyondALimitIsPostedAnew() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        medium.hold()
        try bench.worker.start()
        for tag in 1...3 { #expect(bench.worker.submit(.init(.flush, tag: UInt64(tag)))) }
        medium.letGo()
        for _ in 0..<500 where bench.worker.statistics.flushes < 3 { usleep(10000) }
        for count in 1...3 {
            #expect(bench.posts == count)
            #expect(bench.worker.takeNews(limit: 1).completions.map(\.tag) == [UInt64(count)])
        }
        #expect(bench.posts == 3)
        #expect(bench.worker.takeNews(limit: 1).completions == [])
        #expect(bench.worker.stop())
    }

    @Test func quiesceFinishesAndFlushes() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        #expect(bench.worker.quiesce())
        let buffer = Buffer(count: 512)
        _ = bench.worker.submit(buffer.request(.write, at: 0, tag: 1))
        #expect(!bench.worker.quiesce())
        try bench.worker.start()
        let news = bench.news(1, untilQuiet: true)
        #expect(news.tags == [1])
        #expect(news.isQuiet)
        #expect(medium.log == ["write 0 512", "flush"])
        #expect(bench.worker.quiesce())
        #expect(bench.worker.stop())
    }

    @Test func quiesceFlushesWritesThatTheGuestDidNot() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        try bench.worker.start()
        _ = bench.worker.submit(Buffer(count: 512).request(.read, at: 0, tag: 0))
        #expect(bench.news(1).statuses == [.ok])
        #expect(bench.worker.quiesce())
        let buffer = Buffer(count: 512)
        _ = bench.worker.submit(buffer.request(.write, at: 0, tag: 1))
        #expect(bench.news(1).tags == [1])
        #expect(!bench.worker.quiesce())
        #expect(bench.news(0, untilQuiet: true).isQuiet)
        #expect(medium.log == ["read 0 512", "write 0 512", "flush"])
        #expect(bench.worker.stop())
    }

    @Test func aHungDiskHoldsUpStopForItsTimeOnly() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        medium.hold()
        try bench.worker.start()
        let buffer = Buffer(count: 512)
        _ = bench.worker.submit(buffer.request(.write, at: 0, tag: 1))
        #expect(medium.waitForCall())
        #expect(!bench.worker.stop(milliseconds: 50))
        medium.letGo()
        usleep(20000)
        #expect(bench.posts == 0)
    }

    @Test func stopLetsGoOfTheImage() throws {
        let folder = try Folder()
        let path = try folder.image(count: 4096)
        for _ in 0..<20 {
            let file = try ImageFile(path: path, mode: .readWrite, sectorSize: 512)
            var bench: Bench? = Bench(try ImageMedium(file, directory: folder.path))
            try bench?.worker.start()
            #expect(bench?.worker.stop() == true)
            bench = nil
            // `file` is let go by the compiler after its last use, above.
        }
        _ = try ImageFile(path: path, mode: .readWrite, sectorSize: 512)
    }

    @Test func aPostThatTheHostCannotTakeIsTriedAgain() throws {
        let bench = Bench(SlowMedium(count: 4096))
        bench.refuse(3)
        try bench.worker.start()
        _ = bench.worker.submit(.init(.flush, tag: 8))
        #expect(bench.news(1).tags == [8])
        #expect(bench.worker.stop())
    }

    @Test func aRequestWithoutABufferIsInvalid() throws {
        let bench = Bench(SlowMedium(count: 4096))
        try bench.worker.start()
        _ = bench.worker.submit(.init(.read, length: 512, tag: 1))
        _ = bench.worker.submit(.init(.read, length: 0, tag: 2))
        #expect(bench.news(2).statuses == [.invalid, .ok])
        #expect(bench.worker.stop())
    }

    @Test func statisticsCountWhatWasDone() throws {
        let bench = Bench(SlowMedium(count: 4096))
        try bench.worker.start()
        let buffer = Buffer(count: 1024)
        _ = bench.worker.submit(buffer.request(.read, at: 0, tag: 1))
        _ = bench.worker.submit(buffer.request(.read, at: 0, tag: 2))
        _ = bench.worker.submit(buffer.request(.write, at: 0, tag: 3))
        _ = bench.worker.submit(.init(.flush, tag: 4))
        _ = bench.worker.submit(.init(.read, tag: 5, verdict: .outOfRange))
        #expect(bench.news(5).tags.count == 5)
        #expect(
            bench.worker.statistics
                == DiskWorker.Statistics(
                    reads: 2, readBytes: 2048, writes: 1, writtenBytes: 1024, flushes: 1, errors: 1))
        #expect(bench.worker.stop())
    }
}
