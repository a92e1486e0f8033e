import CHost
import Core

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

    /// What is never given back, as the object of "leaves"; nil: all is. A process runs out of descriptors and threads, and nothing
    /// more can be tested in it.
    func leak(rounds: Int) -> (what: String, isOfProcess: Bool)? {
        if let count = growth({ UInt64($0.descriptors) }, rounds: rounds, least: 1) {
            return (Self.count(count, "descriptor") + " open", true)
        }
        if let count = growth({ UInt64($0.threads) }, rounds: rounds, least: 1) {
            return (Self.count(count, "thread") + " running", true)
        }
        // The least that malloc gives is 24 bytes and takes 32.
        if let bytes = growth({ $0.heap }, rounds: rounds, least: 16) {
            return ("\(bytes) bytes of memory allocated", false)
        }
        if let bytes = growth({ $0.mapped }, rounds: rounds, least: 4096) {
            return ("\(bytes) bytes of memory mapped", false)
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
        var series = UsageSeries()
        for _ in 0..<Scenario.looks {
            for _ in 0..<Scenario.instances {
                let bench = try make()
                guard play(operations, on: bench) else { return nil }
                try bench.quiesce()
            }
            series.look(plan.journal)
        }
        if let (what, isOfProcess) = series.leak(rounds: Scenario.instances) {
            return Failure(
                sentence: "each instance that is destroyed leaves \(what)", position: operations.count - 1,
                isOfProcess: isOfProcess)
        }
        var repeated = UsageSeries()
        let bench = try make()
        for _ in 0..<Scenario.looks {
            for _ in 0..<Scenario.rounds {
                guard play(operations, on: bench) else { return nil }
                _ = bench.apply(.reset(warm: false))
            }
            repeated.look(plan.journal)
        }
        return repeated.leak(rounds: Scenario.rounds).map { (what, isOfProcess) in
            Failure(
                sentence: "the same operations, and a reset, leave \(what) each time", position: operations.count - 1,
                isOfProcess: isOfProcess)
        }
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
