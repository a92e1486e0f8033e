import CHost
import Core

/// What is never given back, as the object of "leaves".
private struct Leak {
    let what: String
    /// Descriptors and threads: a process runs out of them, and nothing more can be tested in it.
    let isOfProcess: Bool
}

/// What the process holds, looked at again and again while the same things are done: what grows each time is never given back.
private struct UsageSeries {
    private var usages: [ch_usage] = []

    /// Looks; threads that are just ending are waited for, for 0.4 s at most.
    mutating func look(_ journal: Journal?) {
        var usage = ch_usage()
        ch_process_usage(&usage)
        let began = monotonic()
        while let last = usages.last, usage.threads > last.threads, monotonic() &- began < 400_000_000 {
            journal?.beat()
            sleepShortly(500)
            ch_process_usage(&usage)
        }
        usages.append(usage)
    }

    /// Of the quantity, for each of `rounds` between two looks, where it grew by at least `least` a round every time; the first look
    /// is not compared, for what is made once and kept.
    private func growth(_ quantity: (ch_usage) -> UInt64, rounds: Int, least: UInt64) -> UInt64? {
        let values = usages.dropFirst().map(quantity)
        for (earlier, later) in zip(values, values.dropFirst()) where later < earlier &+ least * UInt64(rounds) {
            return nil
        }
        guard let first = values.first, let last = values.last, values.count > 2 else { return nil }
        return (last - first) / UInt64((values.count - 1) * rounds)
    }

    /// What is never given back.
    func leak(rounds: Int) -> Leak? {
        if let count = growth({ UInt64($0.descriptors) }, rounds: rounds, least: 1) {
            return Leak(what: Self.count(count, "descriptor") + " open", isOfProcess: true)
        }
        if let count = growth({ UInt64($0.threads) }, rounds: rounds, least: 1) {
            return Leak(what: Self.count(count, "thread") + " running", isOfProcess: true)
        }
        // The least that malloc gives is 24 bytes and takes 32.
        if let bytes = growth({ $0.heap }, rounds: rounds, least: 16) {
            return Leak(what: "\(bytes) bytes of memory allocated", isOfProcess: false)
        }
        if let bytes = growth({ $0.mapped }, rounds: rounds, least: 4096) {
            return Leak(what: "\(bytes) bytes of memory mapped", isOfProcess: false)
        }
        return nil
    }

    private static func count(_ count: UInt64, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }
}

extension Scenario {
    private static let looks = 6
    private static let instances = 8
    private static let rounds = 4
    /// How often a list is played.
    static let leakRounds = looks * (instances + rounds)

    /// Instances that are made, used and destroyed, then one that does the same again and again, leave nothing. What faults is for
    /// other checks to find.
    func leaks(_ operations: [Operation]) throws(BenchError) -> Failure? {
        func failure(_ leak: Leak, _ sentence: String) -> Failure {
            Failure(sentence: sentence, position: operations.count - 1, isOfProcess: leak.isOfProcess)
        }
        let ofInstances = try leak(rounds: Scenario.instances) { () throws(BenchError) in
            let bench = try make()
            guard play(operations, on: bench) else { return false }
            try bench.quiesce()
            return true
        }
        if let ofInstances { return failure(ofInstances, "each instance that is destroyed leaves \(ofInstances.what)") }
        let bench = try make()
        let ofUse = try leak(rounds: Scenario.rounds) { () throws(BenchError) in
            guard play(operations, on: bench) else { return false }
            _ = bench.apply(.reset(warm: false))
            return true
        }
        return ofUse.map { failure($0, "the same operations, and a reset, leave \($0.what) each time") }
    }

    /// What `body`, done `rounds` times between two looks, does not give back; nil where it answers false. The allocator keeps what was
    /// freed for each thread and size, and counts it as in use: memory is a leak only where it grows through a second series too.
    private func leak(rounds: Int, _ body: () throws(BenchError) -> Bool) throws(BenchError) -> Leak? {
        func series() throws(BenchError) -> Leak? {
            var series = UsageSeries()
            for _ in 0..<Scenario.looks {
                for _ in 0..<rounds {
                    guard try body() else { return nil }
                }
                series.look(plan.journal)
            }
            return series.leak(rounds: rounds)
        }
        guard let first = try series() else { return nil }
        return first.isOfProcess ? first : try series()
    }

    /// False: something went wrong.
    private func play(_ operations: [Operation], on bench: Bench) -> Bool {
        for (position, operation) in operations.enumerated() {
            _ = bench.apply(operation, at: position)
            if !bench.faults.isEmpty { return false }
        }
        return true
    }
}
