import BackendSupport
import Glibc
import PluginKit
import Synchronization
import Testing

@testable import RawImage

/// Reads that need no thread, and what is told together.
@Suite struct AtOnceTests {
    @Test func aReadThatNeedsNoWaitingIsDoneOnTheCallersThread() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        try bench.worker.start()
        let buffer = Buffer(count: 1024)
        let read = buffer.request(.read, at: 512, tag: 1)
        let before = bench.worker.doneAtOnce(read)
        #expect(before == nil)
        medium.cache()
        let status = bench.worker.doneAtOnce(read)
        #expect(status == .ok && buffer.bytes == Array(pattern(4096)[512..<1536]))
        #expect(medium.log == ["cached 512 1024"] && bench.posts == 0)
        #expect(bench.worker.statistics == DiskWorker.Statistics(reads: 1, readBytes: 1024))
        #expect(bench.worker.stop())
    }

    @Test(
        arguments: [
            DiskRequest(.flush, tag: 1), DiskRequest(.discard, offset: 0, length: 512, tag: 1),
            DiskRequest(.read, tag: 1, verdict: .outOfRange), DiskRequest(.read, length: 512, tag: 1),
            DiskRequest(.read, length: 0, tag: 1),
        ])
    func othersWaitForTheirTurn(_ request: DiskRequest) {
        let medium = SlowMedium(count: 4096)
        medium.cache()
        let status = Bench(medium).worker.doneAtOnce(request)
        #expect(status == nil && medium.log == [])
    }

    @Test func aWriteIsNeverDoneAtOnce() {
        let medium = SlowMedium(count: 4096)
        medium.cache()
        let status = Bench(medium).worker.doneAtOnce(Buffer(count: 512).request(.write, at: 0, tag: 1))
        #expect(status == nil && medium.log == [])
    }

    /// A read gets what was written before it, and completions keep their order.
    @Test func nothingOvertakesWhatIsUnderWay() throws {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        medium.cache()
        medium.hold()
        try bench.worker.start()
        let read = Buffer(count: 512).request(.read, at: 0, tag: 2)
        #expect(bench.worker.submit(Buffer(count: 512).request(.write, at: 0, tag: 1)))
        let whileItWaits = bench.worker.doneAtOnce(read)
        #expect(medium.waitForCall())
        let whileItIsWritten = bench.worker.doneAtOnce(read)
        medium.letGo()
        for _ in 0..<500 where bench.posts == 0 { usleep(10000) }
        let whileNobodyHasFetchedIt = bench.worker.doneAtOnce(read)
        #expect(whileItWaits == nil && whileItIsWritten == nil && whileNobodyHasFetchedIt == nil)
        #expect(bench.news(1).tags == [1])
        let after = bench.worker.doneAtOnce(read)
        #expect(after == .ok)
        #expect(bench.worker.stop())
        let stopped = bench.worker.doneAtOnce(read)
        #expect(stopped == nil)
    }

    @Test func nothingIsDoneWhileTheMachineIsToBeSaved() {
        let medium = SlowMedium(count: 4096)
        let bench = Bench(medium)
        medium.cache()
        #expect(bench.worker.submit(DiskRequest(.flush, tag: 1)) && !bench.worker.quiesce())
        bench.worker.cancelAll()
        let status = bench.worker.doneAtOnce(Buffer(count: 512).request(.read, at: 0, tag: 2))
        #expect(status == nil && medium.log == [])
    }

    /// Half a millisecond, or 128 reads of 4 us here; then not before a pause of 50 us.
    @Test func aGuestThatAsksWithoutEndHasNotTheLockWithoutEnd() {
        let medium = SlowMedium(count: 4096)
        medium.cache()
        let time = Time(step: 2000)
        let bench = Bench(medium, clock: { time.next() })
        let read = Buffer(count: 512).request(.read, at: 0, tag: 1)
        var done = 0
        while done < 1000, bench.worker.doneAtOnce(read) != nil { done += 1 }
        #expect(done == 125)
        time.pass(40000)
        let tooSoon = bench.worker.doneAtOnce(read)
        time.pass(20000)
        let later = bench.worker.doneAtOnce(read)
        #expect(tooSoon == nil && later == .ok)
    }

    @Test func whatIsDoneFastIsToldTogether() throws {
        let bench = Bench(SlowMedium(count: 8192), clock: { 1_000_000_000 })
        let buffer = Buffer(count: 512)
        for tag in 0..<10 as Range<UInt64> {
            #expect(bench.worker.submit(buffer.request(.write, at: tag * 512, tag: tag)))
        }
        try bench.worker.start()
        for _ in 0..<500 where bench.worker.statistics.writes < 10 { usleep(10000) }
        #expect(bench.posts == 1)
        #expect(bench.worker.takeNews().completions.map(\.tag) == Array(0..<10))
        #expect(bench.worker.stop())
    }

    /// A medium that takes 100 us for each; and a flush, which may take any time, is not waited for by what was done before it.
    @Test(arguments: [(100_000, BlockOperation.write), (0, .flush)] as [(UInt64, BlockOperation)])
    func whatIsDoneWaitsForNothingSlow(_ step: UInt64, _ second: BlockOperation) throws {
        let medium = SlowMedium(count: 4096)
        let time = Time(step: step)
        let bench = Bench(medium, clock: { time.next() })
        let buffer = Buffer(count: 512)
        medium.hold()
        try bench.worker.start()
        #expect(bench.worker.submit(buffer.request(.write, at: 0, tag: 1)) && medium.waitForCall())
        #expect(bench.worker.submit(buffer.request(second, at: 512, tag: 2)))
        medium.passOne()
        #expect(bench.news(1).tags == [1], "the second is under way still")
        medium.letGo()
        #expect(bench.news(1).tags == [2])
        #expect(bench.worker.stop())
    }
}

/// A clock that goes on by a step whenever somebody looks at it.
private final class Time: Sendable {
    private let now = Mutex(1_000_000_000 as UInt64)
    private let step: UInt64
    init(step: UInt64) { self.step = step }

    func next() -> UInt64 {
        now.withLock {
            $0 += step
            return $0
        }
    }
    func pass(_ time: UInt64) { now.withLock { $0 += time } }
}
