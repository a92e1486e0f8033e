import Core

/// How `testPlugin` goes about it.
public struct TestOptions {
    /// Operations in all, of all checks.
    public var operations = 1_000_000
    public var seed: UInt64 = 1
    /// What drivers do, to be mutated (`parseSequence`).
    public var sequences: [[Operation]] = []
    /// Checks to make; nil: all.
    public var checks: Set<Check>?
    /// One round of one check only: how a child process that died is asked what it died of.
    public var round: Int?
    /// Called ahead of each operation on the instance under test.
    public var onOperation: ((Operation) -> Void)?
    /// Called as each round begins: the check, the round, and how many there are.
    public var progress: (Check, Int, Int) -> Void = { _, _, _ in }

    public init() {}
}

/// All checks on a class. `properties`: texts by the property's declared type.
public func testPlugin(
    library: PluginLibrary, className: String, properties: [String: String] = [:], operations: Int = 1_000_000,
    seed: UInt64 = 1, progress: @escaping (Check, Int, Int) -> Void = { _, _, _ in }
) throws(BenchError) -> Report {
    var options = TestOptions()
    options.operations = operations
    options.seed = seed
    options.progress = progress
    return try testPlugin(try BenchPlan(library: library, className: className, properties: properties), options)
}

/// All checks on what the plan hosts. Throws where the bench cannot host it.
public func testPlugin(_ plan: BenchPlan, _ options: TestOptions) throws(BenchError) -> Report {
    var tester = try Tester(plan, options)
    return tester.run()
}

private struct Tester {
    private let plan: BenchPlan
    private let options: TestOptions
    private let scenario: Scenario
    private let claims: [ClaimSummary]
    /// Why no second instance can be beside a first: both use the same file, say. nil: it can.
    private let isAlone: String?
    private var report: Report
    /// Shares of all operations, in percent, and how many make a round.
    private static let shares: [(check: Check, percent: Int, round: Int)] = [
        (.hosting, 0, 0), (.fuzz, 40, 4000), (.saveAndLoad, 20, 1000), (.reset, 10, 1000), (.peek, 10, 1000),
        (.reentry, 10, 2000), (.hostileState, 10, 200),
    ]

    init(_ plan: BenchPlan, _ options: TestOptions) throws(BenchError) {
        self.plan = plan
        self.options = options
        scenario = Scenario(plan: plan, onOperation: options.onOperation)
        let first = try Bench(plan)
        claims = first.pins.claims
        do throws(BenchError) {
            _ = try Bench(plan)
            isAlone = nil
        } catch {
            isAlone = "it needs a second instance beside the first: \(error)"
        }
        withExtendedLifetime(first) {}
        report = Report(plugin: plan.library.path, className: plan.type.name, seed: options.seed)
        report.notes += plan.unwired.map { "the slot \($0) is left open: the bench has no peer for it" }
        report.notes += plan.unused.map { "nothing uses the provided '\($0)': the bench has no peer for it" }
    }

    mutating func run() -> Report {
        let begin = monotonic()
        for share in Tester.shares where options.checks?.contains(share.check) ?? true {
            report.results.append(result(share.check, share.percent, share.round))
        }
        Machine.setActivity("")
        report.nanoseconds = monotonic() &- begin
        return report
    }

    private mutating func result(_ check: Check, _ percent: Int, _ length: Int) -> CheckResult {
        if let reason = reasonToSkip(check) {
            return CheckResult(check: check, verdict: .skipped, sentence: reason, seed: nil, operations: [])
        }
        let rounds = length == 0 ? 1 : max(1, options.operations / 100 * percent / length)
        let begin = report.operations
        var round = options.round ?? 0
        let end = options.round.map { $0 + 1 } ?? rounds
        while round < end {
            // A check's share is used up sooner where its rounds are longer than planned.
            if options.round == nil, round > 0, report.operations - begin > options.operations / 100 * percent { break }
            options.progress(check, round, rounds)
            Machine.setActivity("testing \(plan.type.name): \(check.rawValue), seed \(options.seed), round \(round)")
            if let failed = play(check, round, length) { return failed }
            round += 1
        }
        let count = report.operations - begin
        let did = count > 0 ? "; \(count) operations" : ""
        return CheckResult(check: check, verdict: .passed, sentence: check.promise + did, seed: nil, operations: [])
    }

    private func reasonToSkip(_ check: Check) -> String? {
        switch check {
        case .saveAndLoad: plan.type.savable ? isAlone : "it says that it cannot be saved"
        case .hostileState: plan.type.savable ? nil : "it says that it cannot be saved"
        case .reset, .peek: isAlone
        default: nil
        }
    }

    // MARK: One round

    private mutating func play(_ check: Check, _ round: Int, _ length: Int) -> CheckResult? {
        let position = UInt64(Check.allCases.firstIndex(of: check) ?? 0)
        let seed = options.seed &+ position << 48 &+ UInt64(round) << 16
        if check == .hostileState { return playHostile(seed, round) }
        let list = operations(for: check, seed: seed, count: length)
        report.operations += check == .fuzz || check == .reentry ? list.count : list.count * 2
        guard let failure = scenario.run(check, list) else { return nil }
        let shortest =
            options.round == nil
            ? shrink(list, failure) { scenario.run(check, $0) } : (operations: list, failure: failure)
        return CheckResult(
            check: check, verdict: .failed, sentence: shortest.failure.sentence + " (round \(round))", seed: seed,
            operations: shortest.operations)
    }

    private func generator(_ seed: UInt64) -> Generator {
        Generator(plan, claims: claims, sequences: options.sequences, random: Random(seed: seed, stream: 0))
    }

    private func operations(for check: Check, seed: UInt64, count: Int) -> [Operation] {
        var generator = generator(seed)
        var random = Random(seed: seed, stream: 1)
        switch check {
        case .saveAndLoad, .reset:
            var list = generator.operations(count)
            // Copies of new instances too; most have a past.
            list.insert(.mark, at: min(list.count, random.below(random.chance(20) ? 20 : max(1, count * 2 / 3))))
            return list
        case .peek: return peeked(generator.operations(count * 2 / 3), &random)
        case .hosting: return []
        default: return generator.operations(count)
        }
    }

    /// With sweeps of a debugger in between.
    private func peeked(_ list: [Operation], _ random: inout Random) -> [Operation] {
        var result: [Operation] = []
        for operation in list {
            result.append(operation)
            guard random.chance(4), let claim = random.pick(claims.filter { $0.widths != 0 }) else { continue }
            let length = claim.last &- claim.first
            let first = length > 32 ? random.below(length - 31) : 0
            for offset in first...min(length, first + 31) {
                let width = UInt8(1) << UInt8(random.chance(70) ? 0 : random.below(4))
                result.append(
                    .peek(claim.kind == .ports ? .port : .memory, address: claim.first &+ offset, width: width))
            }
        }
        return result
    }

    private mutating func playHostile(_ seed: UInt64, _ round: Int) -> CheckResult? {
        var generator = generator(seed)
        let before = generator.operations(Int(seed >> 16 & 0xff) * 4)
        var random = Random(seed: seed, stream: 1)
        var count = before.count
        let found = scenario.hostileStates(
            before: before, random: &random, after: { _ in generator.operations(60) }, count: &count)
        report.operations += count
        guard let (failure, operations) = found else { return nil }
        return CheckResult(
            check: .hostileState, verdict: .failed, sentence: failure.sentence + " (round \(round))", seed: seed,
            operations: Array(operations.prefix(failure.position == .max ? 0 : failure.position + 1)))
    }
}
