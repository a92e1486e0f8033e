import ArgumentParser
import CHost
import Core
import FoundationEssentials
import Glibc
import PluginBench

/// The process in which a plugin is tested: started by BenchSupervisor, which reads its journal.
struct BenchForParent: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-for-parent", shouldDisplay: false)

    @Argument var library: String
    @Argument var className: String
    @OptionGroup var subject: BenchSubject
    /// A check of which one round is played, or only listed.
    @Option var check: String?
    @Option var round = 0
    @Option var length = 0
    @Option var note = ""
    /// The journal's text becomes the round's list of operations.
    @Flag var list = false
    /// Of one round, only what breaks the process is a failure: descriptors and threads that are kept, settings that are changed.
    @Flag var ofProcess = false

    func run() throws {
        ch_end_with_parent()
        let journal = try Journal(descriptor: ChildProcess.sharedDescriptor)
        journal.closeDescriptor()
        do {
            let plan = try subject.plan(library: library, className: className, journal: journal)
            try perform(plan, journal)
        } catch {
            journal.text = "\(error)"
            journal.end(.refused, status: 2)
        }
    }

    private func perform(_ plan: BenchPlan, _ journal: Journal) throws {
        var options = try subject.options()
        options.ownsProcess = true
        if let name = check, let check = PluginBench.Check(rawValue: name) {
            return try play(plan, options, check, journal)
        }
        options.onResult = { journal.text = BenchForParent.text($0) }
        let report = try testPlugin(plan, options)
        journal.text = BenchForParent.text(report)
        journal.end(.done, status: report.exitStatus)
    }

    private func play(_ plan: BenchPlan, _ options: TestOptions, _ check: PluginBench.Check, _ journal: Journal) throws
    {
        if list {
            let operations = try operationsOfRound(plan, options, check, round: round, length: length)
            journal.text = operations.map { $0.text }.joined(separator: "\n")
            return journal.end(.done, status: 0)
        }
        let operations = try parseSequence(journal.text)
        var failure = playOnce(plan, options, check, round: round, note: note, operations)
        if ofProcess, failure?.isOfProcess == false { failure = nil }
        journal.text = failure?.sentence ?? ""
        journal.end(.done, status: failure == nil ? 0 : 4)
    }

    static func text(_ report: Report) -> String {
        (try? JSONEncoder().encode(report)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    static func report(_ text: String) -> Report? { try? JSONDecoder().decode(Report.self, from: Data(text.utf8)) }
}

/// What is tested, and how: the same for the command and for its children.
struct BenchSubject: ParsableArguments {
    @Option(name: .customLong("set"), help: "A property of the instance: NAME=VALUE. Repeatable.") var settings:
        [String] = []

    @Option(help: "How many operations in all.") var operations = 1_000_000

    @Option(help: "Seed: the same one makes the same run.") var seed: UInt64 = 1

    @Option(help: "Seconds for all checks: where operations take long, fewer are made.") var time = 120

    @Option(
        help:
            "Seconds after which an operation that does not return, or an answer that does not come, counts as hanging."
    )
    var limit = 10

    @Option(
        name: .customLong("with"),
        help: "Another library, by path: it describes an interface that a slot of the plugin needs. Repeatable.")
    var others: [String] = []

    /// For a child's command line.
    var words: [String] {
        settings.flatMap { ["--set", $0] } + others.flatMap { ["--with", $0] }
            + ["--operations", "\(operations)", "--seed", "\(seed)", "--time", "\(time)", "--limit", "\(limit)"]
    }

    func plan(library path: String, className: String, journal: Journal?) throws -> BenchPlan {
        var properties: [String: String] = [:]
        for setting in settings {
            guard let equals = setting.firstIndex(of: "=") else {
                throw ValidationError("--set takes NAME=VALUE, and got '\(setting)'")
            }
            properties[String(setting[..<equals])] = String(setting[setting.index(after: equals)...])
        }
        func load(_ path: String) throws -> PluginLibrary {
            do throws(LibraryError) { return try PluginLibrary(path: path) } catch {
                throw BenchSubjectError("\(path): \(error)")
            }
        }
        let plan = try BenchPlan(
            library: try load(path), className: className, properties: properties, others: try others.map(load),
            journal: journal)
        plan.patience = UInt64(clamping: limit) &* 1_000_000_000
        plan.watchdog = plan.patience
        return plan
    }

    func options() throws -> TestOptions {
        var options = TestOptions()
        options.operations = operations
        options.seed = seed
        options.timeLimit = UInt64(clamping: time) &* 1_000_000_000
        return options
    }

    func validate() throws {
        guard (1...86400).contains(limit), (1...86400).contains(time), operations >= 0 else {
            throw ValidationError("--limit and --time take 1 to 86400 seconds, and --operations a count")
        }
    }
}

/// Why the plugin cannot be tested, as a sentence.
private struct BenchSubjectError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
