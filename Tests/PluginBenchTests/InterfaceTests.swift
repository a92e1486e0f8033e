import Core
import Testing

import PluginBench

/// What is behind net/1 and behind interfaces of a plugin's own.
@Suite(.serialized) struct InterfaceTests {
    private func bench(_ name: String, _ properties: [String: String] = [:]) throws -> Bench {
        try Bench(library: try PluginLibrary(builtIn: interfaceDescriptor()), className: name, properties: properties)
    }

    private func report(_ name: String, _ properties: [String: String] = [:]) throws -> Report {
        try testPlugin(
            library: try PluginLibrary(builtIn: interfaceDescriptor()), className: name, properties: properties,
            operations: 40_000, seed: 3)
    }

    // MARK: Interfaces of a plugin's own

    @Test func functionsAreCalledWithWhatTheirDescriptorSays() throws {
        let bench = try bench("tally")
        func send(_ function: String, _ arguments: CallArgument...) -> Outcome {
            bench.apply(.send(end: "tally/1.0", function: function, arguments))
        }
        _ = send("add", .number(7))
        _ = send("put", .bytes([1, 2, 3]))
        _ = send("label", .bytes(Array("four".utf8)))
        #expect(send("sum").value == 17)
        // BP_OK and three bytes.
        let filled = send("fill", .number(3))
        #expect(filled.value == 0)
        #expect(filled.bytes == [17, 17, 17])
        // A u8 takes eight bits.
        _ = send("add", .number(0x101))
        #expect(send("sum").value == 18)
        #expect(bench.faults == [])
    }

    @Test func whatTheDeviceCallsIsAnEffect() throws {
        let bench = try bench("tally")
        let outcome = bench.apply(.send(end: "tally/1.0", function: "add", [.number(100)]))
        #expect(outcome.effects.map(\.kind) == [.call])
        let user = try self.bench("tally-user")
        let first = user.apply(.write(.port, address: 0x100, width: 1, value: 5)).effects
        let second = user.apply(.write(.port, address: 0x100, width: 1, value: 6)).effects
        #expect(first.map(\.kind) == [.call])
        #expect(first.map(\.value) != second.map(\.value))
        _ = user.apply(.send(end: "tally.0", function: "reached", [.number(9)]))
        #expect(user.apply(.read(.port, address: 0x100, width: 1)).value == 9)
    }

    @Test(arguments: ["tally", "tally-user", "card", "hub"])
    func soundClassPassesAndNothingIsLeftOpen(_ name: String) throws {
        let report = try report(name)
        #expect(report.passed, "\(report.text)")
        #expect(report.notes == [])
    }

    @Test func aSaveThatIsMissingBehindAnInterfaceIsFound() throws {
        let result = try #require(try report("tally", ["flaw": "1"]).result(of: .saveAndLoad))
        #expect(result.verdict == .failed)
        // Something added, the save, and a look.
        #expect(result.operations.count == 3, "\(result.operations.map(\.text))")
    }

    @Test func aWriteBeyondTheBufferThatWasGivenIsFound() throws {
        let result = try #require(try report("tally", ["flaw": "2"]).result(of: .fuzz))
        #expect(result.sentence.contains("its 'fill' wrote beyond the 3 bytes"), "\(result.sentence)")
        #expect(result.operations.map(\.text) == ["send tally/1.0 fill 0x3"])
    }

    @Test func operationsReadAsTheyAreWritten() throws {
        let operations: [PluginBench.Operation] = [
            .frame(0, [1, 0xff]), .link(1, true), .link(0, false),
            .send(end: "bus/1.0", function: "get", []),
            .send(end: "bus.1", function: "put", [.number(7), .bytes([0, 0x10]), .bytes([])]),
        ]
        #expect(try parseSequence(operations.map(\.text).joined(separator: "\n")) == operations)
        #expect(throws: SequenceError.self) { try parseSequence("send bus/1.0 put [0") }
    }

    @Test func anotherLibraryMayDescribeWhatASlotNeeds() throws {
        let samples = try PluginLibrary(builtIn: sampleDescriptor())
        let others = [try PluginLibrary(builtIn: interfaceDescriptor())]
        #expect(throws: BenchError.self) { try BenchPlan(library: samples, className: "stranger", others: others) }
        let plan = try BenchPlan(library: samples, className: "tally-user", others: others)
        #expect(throws: BenchError.self) { try BenchPlan(library: samples, className: "tally-user") }
        let bench = try Bench(plan)
        #expect(bench.faults == [])
    }

    // MARK: net/1

    @Test func framesGoBothWaysWhereThereIsRoom() throws {
        let bench = try bench("card")
        let frame = [UInt8](repeating: 0x5a, count: 14)
        let sent = bench.apply(.write(.port, address: 0x100, width: 1, value: 0x5a)).effects
        #expect(sent.map(\.kind) == [.frame])
        #expect(sent.first.map { $0.value >> 48 } == 14)
        #expect(bench.apply(.frame(0, frame)).value == 1)
        #expect(bench.apply(.read(.port, address: 0x100, width: 1)).value == 14)
        #expect(bench.apply(.read(.port, address: 0x101, width: 1)).value == 0)
        _ = bench.apply(.link(0, true))
        #expect(bench.apply(.read(.port, address: 0x101, width: 1)).value == 1)
        #expect(bench.faults == [])
    }

    @Test func aCardThatSavesNothingIsFound() throws {
        #expect(try report("card", ["forgetful": "on"]).result(of: .saveAndLoad)?.verdict == .failed)
    }

    @Test func aNetworkThatSendsWithoutRoomIsFound() throws {
        let bench = try bench("hub", ["polite": "off"])
        _ = bench.apply(.link(0, false))
        _ = bench.apply(.frame(0, [UInt8](repeating: 1, count: 60)))
        #expect(bench.faults.contains { $0.contains("granted no room") })
        #expect(try report("hub", ["polite": "off"]).result(of: .fuzz)?.verdict == .failed)
    }
}
