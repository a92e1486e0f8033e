import Core
import Testing

import PluginBench

/// The bench as an instrument: what it drives and what it shows.
@Suite struct BenchTests {
    private func bench() throws -> Bench {
        try Bench(library: try PluginLibrary(builtIn: sampleDescriptor()), className: "sample")
    }

    @Test func timerFiresAtItsOwnTimeWithinALongAdvance() throws {
        let bench = try bench()
        _ = bench.apply(.write(.port, address: 0x102, width: 1, value: 9))
        let outcome = bench.apply(.advance(1_000_000))
        #expect(outcome.effects == [Effect(kind: .line, index: 0, value: 1, time: 10_000)])
        #expect(bench.now == 1_000_000)
        #expect(bench.apply(.read(.port, address: 0x101, width: 1)).value == 1)
    }

    @Test func wideAccessIsSplitAndTheRestFloats() throws {
        let bench = try bench()
        _ = bench.apply(.write(.port, address: 0x100, width: 1, value: 5))
        // Counter, status, two ports of which one has no register; and one port past the claim.
        #expect(bench.apply(.read(.port, address: 0x100, width: 4)).value == 0x00ff_0005)
        #expect(bench.apply(.read(.port, address: 0x103, width: 2)).value == 0xff00)
    }

    @Test func streamGetsNoMoreThanItHasRoomFor() throws {
        let bench = try bench()
        #expect(bench.apply(.input(0, [1, 2, 3, 4, 5, 6])).value == 4)
        #expect(bench.apply(.read(.port, address: 0x103, width: 1)).value == 4)
        let outcome = bench.apply(.write(.port, address: 0x103, width: 1, value: 0x41))
        #expect(outcome.effects == [Effect(kind: .output, index: 0, value: 0x41, time: 0)])
    }

    @Test func sequencesReadAsTheyAreWritten() throws {
        let operations: [PluginBench.Operation] = [
            .read(.port, address: 0x3f8, width: 1), .write(.memory, address: 0xfed0_0000, width: 8, value: .max),
            .peek(.port, address: 0, width: 4), .readString(port: 0x1f0, width: 2, count: 256),
            .writeString(port: 0x1f0, width: 1, bytes: [0, 0xff, 7]), .advance(12), .line(3, true), .line(3, false),
            .input(0, [0x41]), .throttle(1, true), .event(0, 3), .complete(false), .complete(true),
            .request(0, .write, sector: 9, count: 2, pattern: 200), .acknowledge, .call("seed", ["1"]),
            .exit(12, address: 1, value: 2), .reset(warm: true), .reset(warm: false), .mark,
        ]
        let text = operations.map(\.text).joined(separator: "\n")
        #expect(try parseSequence(text) == operations)
        #expect(try parseSequence("# nothing\n\n  advance 3ms  # late\n") == [.advance(3_000_000)])
    }

    @Test(arguments: ["reed port 1 1", "read port 1", "read port 1 3", "advance 3 ms", "outs 0x10 1 zz", "line x 1"])
    func badLineIsNamed(_ line: String) throws {
        let error = #expect(throws: SequenceError.self) { try parseSequence("mark\n" + line) }
        #expect(error?.description.contains("line 2") == true)
    }

    @Test func unknownPropertyAndClassAreNamed() throws {
        let library = try PluginLibrary(builtIn: sampleDescriptor())
        #expect(throws: BenchError.self) { try BenchPlan(library: library, className: "simple") }
        #expect(throws: BenchError.self) {
            try BenchPlan(library: library, className: "sample", properties: ["flow": "1"])
        }
        #expect(throws: BenchError.self) {
            try BenchPlan(library: library, className: "sample", properties: ["flaw": "one"])
        }
    }

    @Test func equalSeedsGiveEqualRuns() throws {
        let library = try PluginLibrary(builtIn: sampleDescriptor())
        func run(_ seed: UInt64) throws -> [PluginBench.Operation] {
            var done: [PluginBench.Operation] = []
            var options = TestOptions()
            options.operations = 2000
            options.seed = seed
            options.onOperation = { done.append($0) }
            _ = try testPlugin(try BenchPlan(library: library, className: "sample"), options)
            return done
        }
        let first = try run(3)
        #expect(first.count > 1000)
        #expect(try run(3) == first)
        #expect(try run(4) != first)
    }
}
