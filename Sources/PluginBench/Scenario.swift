import Core

/// Why a list of operations fails a check, and the position of the operation that shows it.
public struct Failure: Sendable {
    public var sentence: String
    public var position: Int
    /// What was broken is the process: only another one can show it again.
    public var isOfProcess: Bool

    public init(sentence: String, position: Int, isOfProcess: Bool = false) {
        self.sentence = sentence
        self.position = position
        self.isOfProcess = isOfProcess
    }
}

/// One check's run of a list of operations, from a new instance on. Everything is repeatable, so that lists can be
/// shortened.
struct Scenario {
    let plan: BenchPlan
    var onOperation: ((Operation) -> Void)?
    /// Whether this process is for the test alone, so that what it holds and has set can be looked at.
    var ownsProcess = false
    /// Host time after which `bear` goes no further.
    var deadline = UInt64.max

    func make() throws(BenchError) -> Bench {
        let bench = try Bench(plan)
        bench.onOperation = onOperation
        return bench
    }

    /// What happened where the bench itself had to give up.
    private func orFailure(_ body: () throws(BenchError) -> Failure?) -> Failure? {
        do throws(BenchError) { return try body() } catch {
            return Failure(sentence: "\(error)", position: .max)
        }
    }

    func run(_ check: Check, _ operations: [Operation]) -> Failure? {
        orFailure { () throws(BenchError) in
            switch check {
            case .hosting: return try bear([], mode: .patient)
            case .fuzz: return try bear(operations, mode: .patient)
            case .reentry: return try bear(operations, mode: .reentrant)
            case .saveAndLoad: return try saveAndLoad(operations)
            case .reset: return try reset(operations)
            case .peek: return try peek(operations)
            case .leaks: return try leaks(operations)
            case .hostileState: return nil
            }
        }
    }

    // MARK: Fuzz and re-entry

    private func bear(_ operations: [Operation], mode: PeerMode) throws(BenchError) -> Failure? {
        let process = ownsProcess ? ProcessSettings() : nil
        let bench = try make()
        bench.board.mode = mode
        let others = bench.foreignClaims
        let before = bench.holdings
        for (position, operation) in operations.enumerated() {
            _ = bench.apply(operation, at: position)
            if let fault = bench.faults.first { return Failure(sentence: fault, position: position) }
            if deadline != .max, monotonic() > deadline { break }
        }
        let after = bench.holdings
        if let leak = after.leak(since: before) { return Failure(sentence: leak, position: operations.count - 1) }
        if bench.foreignClaims != others {
            return Failure(sentence: "claims of others have changed", position: operations.count - 1)
        }
        try bench.quiesce()
        return process?.change.map { Failure(sentence: $0, position: operations.count - 1, isOfProcess: true) }
    }

    // MARK: Two instances

    /// The first operation whose outcomes differ. The one is done before the other begins, so that what they share,
    /// and must not, shows too.
    private func compare(
        _ one: Bench, _ other: Bench, _ operations: ArraySlice<Operation>, _ names: (String, String),
        skipping: (Operation) -> Bool = { _ in false }
    ) -> Failure? {
        let outcomes = zip(operations.indices, operations).map { one.apply($1, at: $0) }
        for (position, operation) in zip(operations.indices, operations) where !skipping(operation) {
            let first = outcomes[position - operations.startIndex]
            let second = other.apply(operation, at: position)
            if !agree(first, second) {
                return Failure(
                    sentence: "'\(operation.text)' gives \(first.text) in \(names.0), and \(second.text) in \(names.1)",
                    position: position)
            }
        }
        return nil
    }

    /// What a backend sends comes from its own threads, at times of the host's.
    private func agree(_ one: Outcome, _ other: Outcome) -> Bool {
        plan.type.kind == .backend ? one.value == other.value && one.bytes == other.bytes : one == other
    }

    private func comparePins(_ one: Pins, _ other: Pins, _ names: (String, String), at position: Int) -> Failure? {
        one.difference(to: other).map {
            Failure(sentence: "between \(names.0) and \(names.1): \($0)", position: position)
        }
    }

    func parts(_ operations: [Operation]) -> (before: ArraySlice<Operation>, after: ArraySlice<Operation>) {
        let mark = operations.firstIndex(of: .mark) ?? operations.endIndex
        return (operations[..<mark], operations[min(mark + 1, operations.endIndex)...])
    }

    /// Up to the mark by one instance; then a copy of it goes on beside it.
    private func saveAndLoad(_ operations: [Operation]) throws(BenchError) -> Failure? {
        let (before, after) = parts(operations)
        let original = try make()
        for (position, operation) in before.enumerated() { _ = original.apply(operation, at: position) }
        let saved = try original.snapshot()
        let copy = try Bench(plan, from: saved)
        let names = ("the original", "the copy")
        if let failure = comparePins(saved.pins, copy.pins, names, at: before.endIndex) { return failure }
        return compare(original, copy, after, names)
    }

    /// Up to the mark by one instance, which is then reset as at power-on beside a new one.
    private func reset(_ operations: [Operation]) throws(BenchError) -> Failure? {
        let (before, after) = parts(operations)
        let used = try make()
        for (position, operation) in before.enumerated() { _ = used.apply(operation, at: position) }
        let regions = plan.type.provided.contains { $0.interface == "block/1" }
        _ = used.apply(.reset(warm: false))
        let around = used.board.state
        let (ram, entropy) = (used.machine.ramContents, used.machine.entropyState)
        let new = try Bench(
            plan, at: used.now, beforeReset: { $0.surround(around, keepingRooms: false) },
            beforeStart: { (bench) throws(BenchError) in bench.tellConditions() })
        new.machine.ramContents = ram
        // A reset changes no byte of a region, as none of RAM; what `reset` writes there it has written in both.
        new.machine.setRegions(used.machine.regions(of: used.device), of: new.device)
        new.machine.entropyState = entropy
        let names = ("one that was used and reset", "a new one")
        if let failure = comparePins(used.pins, new.pins, names, at: before.endIndex) { return failure }
        // A medium keeps what was written.
        return compare(used, new, regions ? [] : after, names)
    }

    /// Two new instances; only one is read by a debugger.
    private func peek(_ operations: [Operation]) throws(BenchError) -> Failure? {
        let one = try make()
        let other = try Bench(plan)
        let names = ("one that a debugger has read", "one that it has not")
        let failure = compare(one, other, operations[...], names) {
            if case .peek = $0 { true } else { false }
        }
        if let failure { return failure }
        if let failure = comparePins(one.pins, other.pins, names, at: operations.count - 1) { return failure }
        guard plan.type.savable else { return nil }
        try one.quiesce()
        try other.quiesce()
        let (first, second) = (try one.save(), try other.save())
        return first.difference(to: second).map { key in
            Failure(
                sentence: "the saved field '\(key)' is \(first.text(of: key)) in \(names.0), and "
                    + "\(second.text(of: key)) in \(names.1)",
                position: operations.count - 1)
        }
    }
}

/// What an instance holds of the machine.
struct Holdings: Equatable {
    var claims: Int
    var mappings: Int
    var timers: Int
    var wants: Int

    /// A sentence where they have grown beyond what a machine could need.
    func leak(since before: Holdings) -> String? {
        for (what, count, start) in [
            ("claims", claims, before.claims), ("mappings", mappings, before.mappings),
            ("timers", timers, before.timers), ("wants", wants, before.wants),
        ] where count > start + 256 {
            return "it holds \(count) \(what), and held \(start) at the start: it never gives them back"
        }
        return nil
    }
}

extension Bench {
    var holdings: Holdings {
        let (claims, mappings, timers, wants) = machine.holdings(of: device)
        return Holdings(claims: claims, mappings: mappings, timers: timers, wants: wants)
    }

    /// Everything but the instance's own.
    var foreignClaims: [ClaimSummary] { machine.claimSummaries().filter { $0.owner != BenchPlan.deviceID } }
}
