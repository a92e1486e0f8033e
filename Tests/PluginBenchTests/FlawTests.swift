import Core
import Testing

import PluginBench

/// Each flaw is found by the check that is about it.
@Suite(.serialized) struct FlawTests {
    private func report(_ flaw: SampleDevice.Flaw, _ checks: Set<Check>? = nil) throws -> Report {
        let library = try PluginLibrary(builtIn: sampleDescriptor())
        var options = TestOptions()
        options.operations = 200_000
        options.seed = 7
        options.checks = checks
        let plan = try BenchPlan(
            library: library, className: "sample", properties: ["flaw": "\(flaw.rawValue)"])
        return try testPlugin(plan, options)
    }

    private func failure(_ flaw: SampleDevice.Flaw, _ check: Check) throws -> CheckResult {
        let result = try #require(try report(flaw, [check]).result(of: check))
        #expect(result.verdict == .failed, "\(result.sentence)")
        return result
    }

    @Test func soundDevicePassesEverything() throws {
        let report = try report(.none)
        #expect(report.passed, "\(report.text)")
        #expect(report.exitStatus == 0)
        // Leaks need a process of their own (BenchVerdictTests).
        #expect(report.results.filter { $0.verdict == .passed }.map(\.check) == Check.allCases.filter { $0 != .leaks })
        #expect(report.result(of: .leaks)?.verdict == .skipped)
        #expect(report.operations >= 190_000)
    }

    @Test func missingFieldIsFoundByWhatACopyAnswers() throws {
        let result = try failure(.savesTooLittle, .saveAndLoad)
        // A write to the counter, the save, and a read of it is all that it takes.
        #expect(result.operations.count <= 4, "\(result.operations.map(\.text))")
        #expect(result.operations.contains(.mark))
    }

    @Test func pinThatALoadForgetsIsFound() throws {
        #expect(try failure(.forgetsPinOnLoad, .saveAndLoad).sentence.contains("interrupt line 0 is high in the one"))
    }

    @Test func timerThatALoadForgetsIsFound() throws {
        let result = try failure(.forgetsTimerOnLoad, .saveAndLoad)
        #expect(result.operations.contains { if case .advance = $0 { true } else { false } })
    }

    @Test func refusalOfItsOwnStateIsFound() throws {
        #expect(try failure(.refusesItself, .saveAndLoad).sentence.contains("refuses its own state"))
    }

    @Test func peekWithAnEffectIsFound() throws {
        let result = try failure(.peekHasEffect, .peek)
        #expect(result.operations.contains(.peek(.port, address: 0x101, width: 1)))
    }

    @Test func registerThatSurvivesPowerOnResetIsFound() throws {
        #expect(try failure(.resetForgets, .reset).operations.count <= 4)
    }

    @Test func stateSharedByTwoInstancesIsFound() throws { _ = try failure(.sharesState, .saveAndLoad) }

    @Test func answerThatComesBeforeTheNextAccessIsTried() throws {
        let result = try failure(.brokenByEcho, .reentry)
        #expect(result.sentence.contains("an answer came too soon"))
        // The write that is echoed, and a read: no input of the bench's is needed.
        #expect(result.operations.count == 2, "\(result.operations.map(\.text))")
    }

    @Test func faultNamesThePluginsReasonAndTheShortestWayThere() throws {
        let result = try failure(.faults, .fuzz)
        #expect(result.sentence.contains("the counter is 0x66"))
        #expect(result.operations.count <= 8, "\(result.operations.map(\.text))")
    }

    @Test func timerThatFiresWithoutEndIsFoundAndDoesNotHang() throws {
        #expect(try failure(.timerNeverRests, .fuzz).sentence.contains("clock stands still"))
    }

    @Test func claimsThatAreNeverReleasedAreFound() throws {
        #expect(try failure(.leaksClaims, .fuzz).sentence.contains("claims"))
    }

    @Test func loadThatChangesThingsBeforeItRefusesIsFound() throws {
        #expect(try failure(.loadsHalf, .hostileState).sentence.contains("'counter'"))
    }

    @Test func failedRoundRepeatsByItsNumber() throws {
        let library = try PluginLibrary(builtIn: sampleDescriptor())
        let plan = try BenchPlan(
            library: library, className: "sample", properties: ["flaw": "\(SampleDevice.Flaw.faults.rawValue)"])
        var options = TestOptions()
        options.operations = 40_000
        options.checks = [.fuzz]
        var last = 0
        options.progress = { _, round, _ in last = round }
        let first = try #require(try testPlugin(plan, options).result(of: .fuzz))
        options.round = last
        var done: [PluginBench.Operation] = []
        options.onOperation = { done.append($0) }
        let again = try #require(try testPlugin(plan, options).result(of: .fuzz))
        #expect(first.verdict == .failed)
        #expect(again.verdict == .failed)
        #expect(first.seed == again.seed)
        // What was done ends with the operation that fails.
        #expect(done.count < again.operations.count)
        #expect(Array(again.operations.prefix(done.count)) == done)
    }

    @Test func backendThatSendsWithoutRoomIsFound() throws {
        let library = try PluginLibrary(builtIn: sampleDescriptor())
        let rude = try testPlugin(library: library, className: "rude", operations: 20_000)
        #expect(rude.result(of: .fuzz)?.sentence.contains("had granted room for") == true, "\(rude.text)")
        let polite = try testPlugin(
            library: library, className: "rude", properties: ["polite": "on"], operations: 20_000)
        #expect(polite.result(of: .fuzz)?.verdict == .passed, "\(polite.text)")
    }

    @Test func classWithAnUnknownRequiredInterfaceCannotBeHosted() throws {
        let library = try PluginLibrary(builtIn: sampleDescriptor())
        let error = #expect(throws: BenchError.self) { try BenchPlan(library: library, className: "stranger") }
        #expect(error?.description.contains("odd/1") == true)
    }
}
