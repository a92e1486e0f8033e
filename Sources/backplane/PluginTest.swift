import ArgumentParser
import Core
import Glibc
import PluginBench

struct PluginTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract:
            "Test a plugin on the bench: random accesses, save and load, reset, peek, re-entry, hostile states, leaks.",
        discussion: """
            The bench hosts the plugin without a CPU, in a child process that is watched: one that ends the process, crashes or \
            hangs has failed. Status 0: all passed; 4: a check failed; 2: it cannot be hosted.
            """)

    @Argument(help: "Its name, or a path to the library.", completion: .plugin) var name: String

    @Option(name: .customLong("class"), help: "Only this class of the library.") var className: String?

    @OptionGroup var subject: BenchSubject

    @Flag(help: "With the address sanitizer: its runtime, gcc's or clang's, is loaded first.") var sanitize = false

    @Option(
        name: .customLong("sanitizer-runtime"), help: "The runtime for --sanitize, where it is not found by itself.",
        completion: .file(extensions: ["so"]))
    var runtime: String?

    @Flag(
        name: .customLong("in-process"),
        help: "In this process, for a debugger: what crashes is not shortened, and nothing is said of leaks.")
    var isInProcess = false

    @OptionGroup var plugins: PluginOptions

    func run() throws {
        let finder = PluginFinder(paths: plugins.pluginPath, isolation: .childProcess)
        let path = try finder.libraryPath(named: name)
        if sanitize || runtime != nil { try AddressSanitizer.enable(for: path, runtime: runtime) }
        let description: PluginDescription
        // Described anew: a library that was compiled for the sanitizer loads only with its runtime.
        switch PluginFinder(paths: plugins.pluginPath, isolation: .childProcess).description(of: path) {
        case .success(let found): description = found
        case .failure(let problem):
            complain("\(path): \(problem.text)")
            throw ExitCode(2)
        }
        let classes = description.classes.map(\.name).filter { className == nil || $0 == className }
        guard !classes.isEmpty else {
            complain("\(path) has no class '\(className ?? "")'")
            throw ExitCode(2)
        }
        var status: Int32 = 0
        for type in classes { status = max(status, try test(path, type)) }
        if status != 0 { throw ExitCode(status) }
    }

    private func test(_ path: String, _ type: String) throws -> Int32 {
        do {
            let report =
                isInProcess
                ? try testPlugin(subject.plan(library: path, className: type, journal: nil), subject.options())
                : try BenchSupervisor(library: path, className: type, subject: subject).test()
            guard let report else { return 2 }
            print(report.text)
            return report.exitStatus
        } catch let error as ValidationError {
            throw error
        } catch {
            complain("\(type): \(error)")
            return 2
        }
    }
}
