import Core
import Glibc
import PluginBench

/// Tests one class in child processes: what ends a child, hangs it or breaks it is found, named, and repeated in other children until
/// the list of operations that leads there is short.
struct BenchSupervisor {
    let library: String
    let className: String
    let subject: BenchSubject
    private let journal: Journal

    /// How a child ended that should have said that it is done.
    private enum Fate: Equatable {
        case done
        case refused
        case crashed(signal: Int32)
        case exited(status: Int32)
        case hung

        /// The same kind of end.
        func isLike(_ other: Fate) -> Bool {
            switch (self, other) {
            case (.exited, .exited): true
            default: self == other
            }
        }
    }

    /// Seconds for shortening a list, and for one attempt that hangs.
    private static let shrinkTime: UInt64 = 30
    private static let attemptLimit = 1.0
    /// Seconds for starting a child and loading the library.
    private static let startLimit = 15.0

    init(library: String, className: String, subject: BenchSubject) throws(BenchError) {
        (self.library, self.className, self.subject) = (library, className, subject)
        journal = try Journal()
    }

    /// nil: it cannot be tested, as was said.
    func test() throws(HostError) -> Report? {
        journal.clear()
        let fate = try run([], limit: Double(subject.limit) + 2, .errors)
        let report = BenchForParent.report(journal.text)
        switch fate {
        case .refused:
            complain("\(className): \(journal.text)")
            return nil
        case .done:
            guard var done = report, let index = done.results.firstIndex(where: { !$0.isShortest }) else {
                return report
            }
            try shorten(&done.results[index])
            done.skip("not made: the process is not as it was after '\(done.results[index].check.rawValue)'")
            return done
        default:
            let place = journal.place
            var broken = report ?? Report(plugin: library, className: className, seed: subject.seed)
            broken.results.append(try failure(fate, place))
            broken.skip("not made: the process did not survive '\(place.check.rawValue)'")
            return broken
        }
    }

    // MARK: Children

    private func run(_ words: [String], limit: Double, _ streams: ChildProcess.Streams) throws(HostError) -> Fate {
        let process = try ChildProcess(
            ["plugin", "bench-for-parent", library, className] + subject.words + words, streams,
            sharing: journal.descriptor, inOwnGroup: true)
        guard let end = watch(process, limit: limit) else {
            process.kill()
            _ = process.wait()
            return .hung
        }
        switch end {
        case .killed(let signal): return .crashed(signal: signal)
        case .exited(let status):
            switch journal.stage {
            case .done where status == 0: return .done
            case .refused where status == 0: return .refused
            default: return journal.isHung ? .hung : .exited(status: status)
            }
        }
    }

    /// nil: nothing has happened in it for too long. Time in which this process did not run either does not count.
    private func watch(_ process: ChildProcess, limit: Double) -> ChildProcess.End? {
        var beats: UInt64 = 0
        var stood = 0.0
        var pause: UInt32 = 500
        while true {
            if let end = process.poll() { return end }
            usleep(pause)
            if journal.beats != beats {
                beats = journal.beats
                stood = 0
            } else {
                stood += Double(pause) / 1_000_000
            }
            if stood > (beats == 0 ? max(limit, BenchSupervisor.startLimit) : limit) { return nil }
            pause = min(pause * 2, 20_000)
        }
    }

    // MARK: What went wrong

    private func sentence(_ fate: Fate, _ place: Place) -> String {
        let subject = "instance 'device' (\(className))"
        let loading = place.note.isEmpty ? "" : ", with a state \(place.note)"
        let where_ = place.callback.map { " in \($0)" } ?? " outside of every callback, as on a thread of its own"
        switch fate {
        case .crashed(let signal): return "\(subject) crashes\(where_): \(String(cString: strsignal(signal)))\(loading)"
        case .exited(let status): return "\(subject) ends the process\(where_), with status \(status)\(loading)"
        case .hung:
            let callback = place.callback.map { "does not return from \($0)" } ?? "hangs outside of every callback"
            return "\(subject) \(callback): nothing has happened for \(self.subject.limit) s\(loading)"
        case .done, .refused: return ""
        }
    }

    private func failure(_ fate: Fate, _ place: Place) throws(HostError) -> CheckResult {
        let words = [
            "--check", place.check.rawValue, "--round", "\(place.round)", "--length", "\(place.length)", "--note",
            place.note,
        ]
        let list = try operations(words).prefix((place.position ?? -1) + 1)
        let shortest = try shortest(Array(list), words) { fate.isLike($0) ? sentence($0, journal.place) : nil }
        return CheckResult(
            check: place.check, verdict: .failed, sentence: shortest?.sentence ?? sentence(fate, place) + notAgain,
            operations: shortest?.operations ?? Array(list.suffix(20)), round: place.round,
            isShortest: shortest != nil)
    }

    private let notAgain = "; it did not happen again when the operations were repeated"

    /// What broke the process, in other ones.
    private func shorten(_ result: inout CheckResult) throws(HostError) {
        let words = ["--check", result.check.rawValue, "--round", "\(result.round ?? 0)", "--of-process"]
        let shortest = try shortest(result.operations, words) {
            $0 == .done && !journal.text.isEmpty ? journal.text : nil
        }
        guard let shortest else { return }
        result.operations = shortest.operations
        result.sentence = shortest.sentence
        result.isShortest = true
    }

    private func operations(_ words: [String]) throws(HostError) -> [PluginBench.Operation] {
        journal.clear()
        guard try run(words + ["--list"], limit: Double(subject.limit), .nowhere) == .done else { return [] }
        return (try? parseSequence(journal.text)) ?? []
    }

    /// The shortest list found that fails as `accept` says of a child that has played it; nil: not even the whole does.
    private func shortest(
        _ list: [PluginBench.Operation], _ words: [String], accept: (Fate) -> String?
    ) throws(HostError) -> (operations: [PluginBench.Operation], sentence: String)? {
        func play(_ list: [PluginBench.Operation], limit: Double) -> Failure? {
            journal.clear()
            journal.text = list.map(\.text).joined(separator: "\n")
            guard let fate = try? run(words, limit: limit, .nowhere) else { return nil }
            return accept(fate).map { Failure(sentence: $0, position: list.count - 1) }
        }
        let full = Double(subject.limit) + 2
        guard let first = play(list, limit: full) ?? play(list, limit: full) else { return nil }
        let limit = min(full, BenchSupervisor.attemptLimit)
        let short = shrink(list, first, limit: BenchSupervisor.shrinkTime &* 1_000_000_000) { play($0, limit: limit) }
        guard short.operations.count < list.count else { return (list, first.sentence) }
        // With all the time that the whole list had.
        guard let confirmed = play(short.operations, limit: full) else { return (list, first.sentence) }
        return (short.operations, confirmed.sentence)
    }
}

extension Report {
    /// What was not tested any more, and why.
    fileprivate mutating func skip(_ reason: String) {
        for check in PluginBench.Check.allCases where result(of: check) == nil {
            results.append(CheckResult(check: check, verdict: .skipped, sentence: reason))
        }
    }
}
