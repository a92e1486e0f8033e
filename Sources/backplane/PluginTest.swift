import ArgumentParser
import CHost
import Core
import Glibc
import PluginBench

struct PluginTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Test a plugin on the bench: random accesses, save and load, reset, peek, re-entry, hostile states.",
        discussion: """
            The bench hosts the plugin without a CPU, in a child process. Status 0: all passed; 4: a check failed or the plugin \
            crashed; 2: it cannot be hosted.
            """)

    @Argument(help: "Its name, or a path to the library.", completion: .plugin) var name: String

    @Option(name: .customLong("class"), help: "Only this class of the library.") var className: String?

    @Option(name: .customLong("set"), help: "A property of the instance: NAME=VALUE. Repeatable.") var settings:
        [String] = []

    @Option(help: "How many operations in all.") var operations = 1_000_000

    @Option(help: "Seed: the same one makes the same run.") var seed: UInt64 = 1

    @Flag(name: .customLong("in-process"), help: ArgumentHelp("Test in this process.", visibility: .hidden))
    var isInProcess = false

    @OptionGroup var plugins: PluginOptions

    func run() throws {
        if isInProcess { return try test() }
        let process: ChildProcess
        do throws(HostError) {
            process = try ChildProcess(Array(CommandLine.arguments.dropFirst()) + ["--in-process"])
        } catch {
            complain(error.description)
            throw ExitCode(2)
        }
        switch process.wait() {
        case .exited(let status): if status != 0 { throw ExitCode(status) }
        case .killed(let signal):
            complain("the plugin did not survive the test: \(String(cString: strsignal(signal)))")
            throw ExitCode(4)
        }
    }

    private func test() throws {
        let finder = PluginFinder(paths: plugins.pluginPath, isolation: .inProcess)
        let path = try finder.libraryPath(named: name)
        let library: PluginLibrary
        switch finder.load(path) {
        case .success(let loaded): library = loaded
        case .failure(let problem):
            complain("\(path): \(problem.text)")
            throw ExitCode(2)
        }
        let classes = library.description.classes.map(\.name).filter { className == nil || $0 == className }
        guard !classes.isEmpty else {
            complain("\(path) has no class '\(className ?? "")'")
            throw ExitCode(2)
        }
        var status: Int32 = 0
        for type in classes { status = max(status, try test(library, type)) }
        if status != 0 { throw ExitCode(status) }
    }

    private func test(_ library: PluginLibrary, _ type: String) throws -> Int32 {
        var properties: [String: String] = [:]
        for setting in settings {
            guard let equals = setting.firstIndex(of: "=") else {
                throw ValidationError("--set takes NAME=VALUE, and got '\(setting)'")
            }
            properties[String(setting[..<equals])] = String(setting[setting.index(after: equals)...])
        }
        do {
            let report = try testPlugin(
                library: library, className: type, properties: properties, operations: operations, seed: seed)
            print(report.text)
            return report.exitStatus
        } catch {
            complain("\(type): \(error)")
            return 2
        }
    }
}
