import BackendSupport
import FilePump
import Foundation
import Glibc
import PluginKit
import Testing

/// A pump on a temporary file, and what it told.
final class Bench: @unchecked Sendable {
    let directory: String
    let path: String
    let pump: FilePump
    private let monitor = Monitor()
    private var posts = 0
    private var lines: [String] = []

    init(output: String? = nil, flags: Int32 = O_WRONLY | O_CREAT | O_TRUNC, input: [UInt8]? = nil) throws {
        directory = NSTemporaryDirectory() + "/pump-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        path = output ?? directory + "/out"
        var source: Descriptor?
        if let input {
            try Data(input).write(to: URL(fileURLWithPath: directory + "/in"))
            source = try Descriptor.open(directory + "/in", O_RDONLY)
        }
        let box = Box()
        pump = FilePump(
            name: "out", output: try Descriptor.open(path, flags | O_NONBLOCK, mode: 0o644), input: source,
            link: HostLink(
                post: { argument in
                    box.bench?.post()
                    return argument == 9 || argument == 10
                }, log: { _, text in box.bench?.log(text) }),
            postArgument: 9)
        box.bench = self
    }

    private final class Box: @unchecked Sendable { weak var bench: Bench? }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func post() {
        monitor.locked {
            posts += 1
            monitor.wake()
        }
    }
    private func log(_ text: String) {
        monitor.locked {
            lines.append(text)
            monitor.wake()
        }
    }

    var log: [String] { monitor.locked { lines } }

    /// Waits for news; empty after five seconds.
    func news() -> FilePump.News {
        let deadline = Monitor.Deadline(milliseconds: 5000)
        return monitor.locked {
            while posts == 0 {
                if !monitor.wait(until: deadline) { return [] }
            }
            posts -= 1
            return pump.takeNews()
        }
    }

    func until(_ condition: () -> Bool) -> Bool {
        for _ in 0..<500 {
            if condition() { return true }
            usleep(10000)
        }
        return false
    }

    @discardableResult
    func write(_ bytes: [UInt8]) -> OutputQueue.Effect { bytes.withUnsafeBytes { pump.write($0) } }

    var contents: [UInt8] { FileManager.default.contents(atPath: path).map { [UInt8]($0) } ?? [] }
}

@Suite struct FilePumpTests {
    @Test func everythingIsWrittenInItsOrder() throws {
        let bench = try Bench()
        try bench.pump.start()
        var expected: [UInt8] = []
        for index in 0..<300 {
            let bytes = [UInt8](repeating: UInt8(index % 256), count: index)
            bench.write(bytes)
            expected += bytes
        }
        #expect(bench.pump.stop())
        #expect(bench.contents == expected)
        #expect(bench.log == [])
    }

    @Test func drainTellsWhenAllIsInTheFile() throws {
        let bench = try Bench()
        #expect(bench.pump.drain())
        bench.write([1, 2, 3])
        #expect(!bench.pump.drain())
        try bench.pump.start()
        #expect(bench.news() == .drained)
        #expect(bench.contents == [1, 2, 3])
        #expect(bench.pump.stop())
    }

    @Test func appendingKeepsWhatWasThere() throws {
        let bench = try Bench()
        try bench.pump.start()
        bench.write([1])
        #expect(bench.pump.stop())
        let again = try Bench(output: bench.path, flags: O_WRONLY | O_APPEND)
        try again.pump.start()
        again.write([2])
        #expect(again.pump.stop())
        #expect(bench.contents == [1, 2])
    }

    @Test func aFullDiskIsReportedOnceAndHangsNobody() throws {
        let bench = try Bench(output: "/dev/full", flags: O_WRONLY)
        try bench.pump.start()
        for _ in 0..<20 {
            bench.write([UInt8](repeating: 0x41, count: 1000))
            usleep(1000)
        }
        #expect(bench.pump.stop())
        #expect(bench.log == ["'out' cannot be written: No space left on device; the guest's output is dropped"])
    }

    @Test func throttledGuestIsReleasedWhenTheFileHasTakenEnough() throws {
        let bench = try Bench()
        #expect(bench.write([UInt8](repeating: 1, count: 200_000)).throttle == true)
        #expect(bench.pump.isThrottled)
        try bench.pump.start()
        #expect(bench.news().contains(.released))
        #expect(!bench.pump.isThrottled)
        #expect(bench.pump.stop())
        #expect(bench.contents.count == 200_000)
    }

    @Test func aPipeThatNobodyReadsHoldsUpNeitherDrainNorStop() throws {
        let bench = try Bench()
        let fifo = bench.directory + "/fifo"
        try #require(mkfifo(fifo, 0o600) == 0)
        let reader = try Descriptor.open(fifo, O_RDONLY | O_NONBLOCK)
        let piped = try Bench(output: fifo, flags: O_WRONLY)
        try piped.pump.start()
        piped.write([UInt8](repeating: 1, count: 500_000))
        #expect(!piped.pump.drain())
        #expect(piped.news().contains(.drained))
        #expect(piped.pump.stop())
        #expect(piped.log == ["nobody reads 'out': the last output to it is lost"])
        withExtendedLifetime(reader) {}
    }

    @Test func aReaderThatGoesAwayIsAnErrorAndNoSignal() throws {
        let bench = try Bench()
        let fifo = bench.directory + "/fifo"
        try #require(mkfifo(fifo, 0o600) == 0)
        var reader: Descriptor? = try Descriptor.open(fifo, O_RDONLY | O_NONBLOCK)
        #expect(reader != nil)
        let piped = try Bench(output: fifo, flags: O_WRONLY)
        reader = nil
        try piped.pump.start()
        piped.write([1])
        #expect(piped.pump.stop())
        #expect(piped.log == ["'out' cannot be written: Broken pipe; the guest's output is dropped"])
    }

    /// Two posts: one for the only piece, one for the end, where nothing more is to be had.
    @Test func theEndOfTheInputIsPostedToo() throws {
        let bench = try Bench(input: [1, 2, 3])
        try bench.pump.start()
        #expect(bench.news() == .input)
        #expect(bench.pump.takeInput() == [1, 2, 3])
        #expect(bench.news() == .input)
        #expect(bench.pump.takeInput() == [])
        #expect(bench.pump.stop())
    }

    @Test func inputComesInPiecesToItsEnd() throws {
        let input = (0..<100_000).map { UInt8($0 % 251) }
        let bench = try Bench(input: input)
        try bench.pump.start()
        var read: [UInt8] = []
        while read.count < input.count {
            try #require(bench.news() == .input)
            let piece = bench.pump.takeInput()
            #expect(piece.count <= 16384)
            read += piece
        }
        #expect(read == input)
        usleep(20000)
        #expect(bench.pump.takeInput() == [])
        #expect(bench.pump.stop())
    }

    @Test func aPostThatTheHostCannotTakeIsTriedAgain() throws {
        let refusals = Counter()
        let path = NSTemporaryDirectory() + "/pump-" + UUID().uuidString
        defer { unlink(path) }
        let pump = FilePump(
            name: "out", output: try Descriptor.open(path, O_WRONLY | O_CREAT, mode: 0o600), input: nil,
            link: HostLink(post: { _ in refusals.next() > 3 }, log: { _, _ in }), postArgument: 1)
        [UInt8](repeating: 1, count: 10).withUnsafeBytes { _ = pump.write($0) }
        #expect(!pump.drain())
        try pump.start()
        for _ in 0..<500 where refusals.count < 4 { usleep(10000) }
        #expect(refusals.count == 4)
        #expect(pump.takeNews() == .drained)
        #expect(pump.stop())
    }
}

final class Counter: @unchecked Sendable {
    private let monitor = Monitor()
    private var value = 0
    func next() -> Int {
        monitor.locked {
            value += 1
            return value
        }
    }
    var count: Int { monitor.locked { value } }
}
