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
    /// Nanoseconds of the host's time, for all checks; nil: as long as the operations take.
    public var timeLimit: UInt64?
    /// Whether this process is for the test alone, so that what it holds and has set can be looked at: leaks, signals...
    public var ownsProcess = false
    /// One round of one check only: how a child process that died is asked what it died of.
    public var round: Int?
    /// Called ahead of each operation on the instance under test.
    public var onOperation: ((Operation) -> Void)?
    /// Called as each round begins: the check, the round, and how many there are.
    public var progress: (Check, Int, Int) -> Void = { _, _, _ in }
    /// Called after each check, with the report so far.
    public var onResult: (Report) -> Void = { _ in }

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

/// The operations of one round, as `testPlugin` plays them. `length`: as many as make a round; what `Place.length` says.
public func operationsOfRound(
    _ plan: BenchPlan, _ options: TestOptions, _ check: Check, round: Int, length: Int
) throws(BenchError) -> [Operation] {
    let tester = try Tester(plan, options)
    return tester.operations(for: check, round: round, count: length)
}

/// One check once, on a list of operations; nil: nothing fails. `note`: what `Place.note` said of the round, `round` its number.
public func playOnce(
    _ plan: BenchPlan, _ options: TestOptions, _ check: Check, round: Int, note: String, _ operations: [Operation]
) -> Failure? {
    let scenario = Scenario(plan: plan, onOperation: options.onOperation, ownsProcess: options.ownsProcess)
    plan.journal?.begin(check, round: round, length: operations.count)
    guard check == .hostileState else { return scenario.run(check, operations) }
    var random = Random(seed: Tester.seed(options.seed, check, round: round), stream: 1)
    return scenario.hostileState(note, operations, random: &random)
}

private struct Tester {
    private let plan: BenchPlan
    private let options: TestOptions
    private var scenario: Scenario
    private let claims: [ClaimSummary]
    /// Why no second instance can be beside a first: both use the same file, say. nil: it can.
    private let isAlone: String?
    private var report: Report
    /// Host nanoseconds that an operation takes, where that is long.
    private var pace: UInt64 = 0
    /// Shares of all operations, in percent, and how many make a round.
    private static let shares: [(check: Check, percent: Int, round: Int)] = [
        (.hosting, 0, 0), (.leaks, 5, 100), (.fuzz, 40, 4000), (.saveAndLoad, 20, 1000), (.reset, 10, 1000),
        (.peek, 10, 1000), (.reentry, 10, 2000), (.hostileState, 10, 200),
    ]
    /// Checks by the number that their seeds have: a new one comes last, so that seeds stay what they are.
    private static let numbered: [Check] = [
        .hosting, .fuzz, .saveAndLoad, .reset, .peek, .reentry, .hostileState, .leaks,
    ]
    /// Operations of `fuzz` before all else, so that what crashes at once does so in the check that is about it.
    private static let firstLook = 500

    init(_ plan: BenchPlan, _ options: TestOptions) throws(BenchError) {
        self.plan = plan
        self.options = options
        plan.journal?.begin(.hosting, round: 0, length: 0)
        scenario = Scenario(plan: plan, onOperation: options.onOperation, ownsProcess: options.ownsProcess)
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
            guard report.result(of: share.check) == nil else { continue }
            report.results.append(result(share.check, share.percent, share.round))
            options.onResult(report)
            if share.check == .hosting, options.checks == nil, let failed = lookFirst() {
                report.results.append(failed)
            }
            report.nanoseconds = monotonic() &- begin
            options.onResult(report)
            // In a process that is broken nothing more can be said.
            if report.results.contains(where: { !$0.isShortest }) { break }
        }
        Machine.setActivity("")
        return report
    }

    private mutating func lookFirst() -> CheckResult? {
        plan.journal?.begin(.fuzz, round: 0, length: Tester.firstLook)
        Machine.setActivity("testing \(plan.type.name): fuzz, seed \(options.seed), the first look")
        let limit = share(5)
        scenario.deadline = limit.map { monotonic() &+ $0 } ?? .max
        let began = monotonic()
        let failed = play(.fuzz, 0, Tester.firstLook)
        pace = (monotonic() &- began) / UInt64(Tester.firstLook)
        return failed
    }

    private mutating func result(_ check: Check, _ percent: Int, _ length: Int) -> CheckResult {
        if let reason = reasonToSkip(check) { return CheckResult(check: check, verdict: .skipped, sentence: reason) }
        let planned = options.operations / 100 * percent
        let length = affordable(length, percent)
        let rounds = length == 0 ? 1 : max(1, planned / length)
        let limit = share(percent)
        let (begin, began) = (report.operations, monotonic())
        var round = options.round ?? 0
        let end = options.round.map { $0 + 1 } ?? rounds
        var isCut = false
        while round < end {
            // A check's share is used up sooner where its rounds are longer than planned.
            if options.round == nil, round > 0, report.operations - begin > planned { break }
            if let limit, options.round == nil, round > 0, monotonic() &- began > limit {
                isCut = true
                break
            }
            options.progress(check, round, rounds)
            plan.journal?.begin(check, round: round, length: length)
            Machine.setActivity("testing \(plan.type.name): \(check.rawValue), seed \(options.seed), round \(round)")
            scenario.deadline = limit.map { began &+ $0 } ?? .max
            if let failed = play(check, round, length) { return failed }
            round += 1
        }
        let count = report.operations - begin
        if count > 0 { pace = max(pace, (monotonic() &- began) / UInt64(count)) }
        let did = count > 0 ? "; \(count) operations" + (isCut ? ", and its share of the time was up" : "") : ""
        return CheckResult(check: check, verdict: .passed, sentence: check.promise + did)
    }

    /// A check's share of the time; nil: there is no limit.
    private func share(_ percent: Int) -> UInt64? { options.timeLimit.map { $0 / 100 * UInt64(max(5, percent)) } }

    /// So that a round of slow operations fits a quarter of its check's time.
    private func affordable(_ length: Int, _ percent: Int) -> Int {
        guard let limit = share(percent), pace > 0, options.round == nil else { return length }
        return min(length, max(20, Int(clamping: limit / 4 / pace)))
    }

    private func reasonToSkip(_ check: Check) -> String? {
        switch check {
        case .saveAndLoad: plan.type.savable ? isAlone : "it says that it cannot be saved"
        case .hostileState: plan.type.savable ? nil : "it says that it cannot be saved"
        case .reset, .peek: isAlone
        case .leaks:
            !options.ownsProcess
                ? "it needs a process of its own" : report.result(of: .fuzz) == nil ? nil : "not made: 'fuzz' fails"
        default: nil
        }
    }

    // MARK: One round

    static func seed(_ seed: UInt64, _ check: Check, round: Int) -> UInt64 {
        let position = UInt64(numbered.firstIndex(of: check) ?? 0)
        return seed &+ position << 48 &+ UInt64(round) << 16
    }

    private mutating func play(_ check: Check, _ round: Int, _ length: Int) -> CheckResult? {
        let seed = Tester.seed(options.seed, check, round: round)
        if check == .hostileState { return playHostile(seed, round) }
        let list = operations(for: check, round: round, count: length)
        let times = [.fuzz, .reentry, .hosting].contains(check) ? 1 : check == .leaks ? Scenario.leakRounds : 2
        report.operations += list.count * times
        guard let failure = scenario.run(check, list) else { return nil }
        let isAsked = options.round != nil
        let shortest =
            isAsked || failure.isOfProcess
            ? (operations: list, failure: failure) : shortened(list, failure) { $0.run(check, $1) }
        return CheckResult(
            check: check, verdict: .failed, sentence: shortest.failure.sentence + " (round \(round))", seed: seed,
            operations: shortest.operations, round: round, isShortest: !failure.isOfProcess)
    }

    /// What never comes is waited for shortly while lists are shortened; the shortest has to fail with all patience too.
    private func shortened(
        _ list: [Operation], _ failure: Failure, run: (Scenario, [Operation]) -> Failure?
    ) -> (operations: [Operation], failure: Failure) {
        let patience = plan.patience
        defer { plan.patience = patience }
        plan.patience = min(patience, 1_000_000_000)
        var scenario = scenario
        scenario.deadline = .max
        let shortest = shrink(list, failure) { run(scenario, $0) }
        plan.patience = patience
        guard shortest.operations.count < list.count else { return shortest }
        guard let confirmed = run(scenario, shortest.operations) else { return (list, failure) }
        return (shortest.operations, confirmed)
    }

    private func generator(_ seed: UInt64) -> Generator {
        Generator(plan, claims: claims, sequences: options.sequences, random: Random(seed: seed, stream: 0))
    }

    func operations(for check: Check, round: Int, count: Int) -> [Operation] {
        let seed = Tester.seed(options.seed, check, round: round)
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
        case .hostileState: return generator.operations(Tester.hostileBefore(seed)) + [.mark] + generator.operations(60)
        default: return generator.operations(count)
        }
    }

    private static func hostileBefore(_ seed: UInt64) -> Int { Int(seed >> 16 & 0xff) * 4 }

    /// With sweeps of a debugger in between.
    private func peeked(_ list: [Operation], _ random: inout Random) -> [Operation] {
        var result: [Operation] = []
        for operation in list {
            result.append(operation)
            guard random.chance(4), let claim = random.pick(claims.filter { $0.widths != 0 }) else { continue }
            let length = claim.last &- claim.first
            let first = length > 32 ? random.below(length - 31) : 0
            for offset in first...min(length, first + 31) {
                let narrow = UInt8(1) << UInt8(random.chance(70) ? 0 : random.below(4))
                let width = claim.kind == .msrs ? 8 : narrow
                result.append(.peek(Space(claim.kind), address: claim.first &+ offset, width: width))
            }
        }
        return result
    }

    private mutating func playHostile(_ seed: UInt64, _ round: Int) -> CheckResult? {
        var generator = generator(seed)
        let before = generator.operations(Tester.hostileBefore(seed))
        var random = Random(seed: seed, stream: 1)
        var count = before.count
        let found = scenario.hostileStates(
            before: before, random: &random, after: { _ in generator.operations(60) }, count: &count)
        report.operations += count
        guard let found else { return nil }
        let shortest = shortened(found.operations, found.failure) { (scenario, list) in
            var random = Random(seed: seed, stream: 1)
            return scenario.hostileState(found.state, list, random: &random)
        }
        return CheckResult(
            check: .hostileState, verdict: .failed, sentence: shortest.failure.sentence + " (round \(round))",
            seed: seed,
            operations: shortest.operations, round: round)
    }
}
