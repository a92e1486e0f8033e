/// What `testPlugin` checks.
public enum Check: String, Sendable, CaseIterable, Codable {
    case hosting, leaks, fuzz, saveAndLoad = "save and load", reset, peek, reentry = "re-entry"
    case hostileState = "hostile state"

    /// As a sentence's subject.
    var promise: String {
        switch self {
        case .hosting: "it can be created, connected, reset, started and destroyed"
        case .leaks: "it gives back all memory, descriptors and threads that it takes"
        case .fuzz: "it bears any access, input and time without a fault"
        case .saveAndLoad: "a copy made from its saved state goes on as it does"
        case .reset: "after a power-on reset it is as a new one"
        case .peek: "a debugger's reads change nothing"
        case .reentry: "it bears peers that call back inside each of its calls"
        case .hostileState: "it refuses or survives any saved state"
        }
    }
}

public enum Verdict: String, Sendable, Codable { case passed, failed, skipped }

/// What came of one check.
public struct CheckResult: Sendable, Codable {
    public var check: Check
    public var verdict: Verdict
    /// Why it failed or was skipped; what was done where it passed.
    public var sentence: String
    /// Of the round that failed.
    public var seed: UInt64?
    /// The shortest list found that fails.
    public var operations: [Operation]
    /// The round that failed.
    public var round: Int?
    /// False: a shorter list can only be found in other processes, since this one is broken.
    public var isShortest = true

    public init(
        check: Check, verdict: Verdict, sentence: String, seed: UInt64? = nil, operations: [Operation] = [],
        round: Int? = nil, isShortest: Bool = true
    ) {
        self.check = check
        self.verdict = verdict
        self.sentence = sentence
        self.seed = seed
        self.operations = operations
        self.round = round
        self.isShortest = isShortest
    }
}

public struct Report: Sendable, Codable {
    public var plugin: String
    public var className: String
    public var seed: UInt64
    public var results: [CheckResult] = []
    /// Operations performed, of all instances.
    public var operations = 0
    public var nanoseconds: UInt64 = 0
    /// What could not be tested: interfaces without a peer...
    public var notes: [String] = []

    public init(plugin: String, className: String, seed: UInt64) {
        self.plugin = plugin
        self.className = className
        self.seed = seed
    }

    public var passed: Bool { !results.contains { $0.verdict == .failed } }
    /// Of a process that tests: 0 all passed, 4 the plugin failed.
    public var exitStatus: Int32 { passed ? 0 : 4 }

    public func result(of check: Check) -> CheckResult? { results.first { $0.check == check } }

    /// For people.
    public var text: String {
        var lines = ["\(className) (\(plugin)), seed \(seed)"]
        for result in results {
            let mark = [.passed: "pass", .failed: "FAIL", .skipped: "skip"][result.verdict] ?? ""
            let name = result.check.rawValue + String(repeating: " ", count: max(0, 14 - result.check.rawValue.count))
            lines.append("  \(mark)  \(name) \(result.sentence)")
            guard result.verdict == .failed, !result.operations.isEmpty else { continue }
            let count = result.operations.count
            let what = result.isShortest ? "the shortest list found that fails" : "what was done last"
            lines.append("        \(what), \(count) operation\(count == 1 ? "" : "s"):")
            lines += result.operations.prefix(60).map { "          " + $0.text }
            if result.operations.count > 60 { lines.append("          and \(result.operations.count - 60) more") }
        }
        lines += notes.map { "  note  \($0)" }
        let seconds = Double(nanoseconds / 1_000_000) / 1000
        lines.append("  \(operations) operations in \(seconds) s")
        return lines.joined(separator: "\n") + "\n"
    }
}
