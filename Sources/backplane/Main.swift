import ArgumentParser
import CHost
import Glibc

@main
struct Backplane: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backplane",
        abstract: "A modular x86 virtual machine monitor: a machine file names the parts and wires them.",
        version: Version.text,
        subcommands: [
            Run.self, Ctl.self, Top.self, Check.self, Show.self, SchemaCommand.self, PluginCommand.self,
            DiskCommand.self,
        ])

    /// Bad usage is bad input: status 2, as for a bad machine file.
    static func main() {
        ch_ignore_write_signals()
        _ = ch_end_without_memory()
        ch_thread_begin(nil)
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            let isUsage = exitCode(for: error) == .validationFailure
            if isUsage {
                writeAll(STDERR_FILENO, (fullMessage(for: error) + "\n").utf8)
                Glibc.exit(2)
            }
            exit(withError: error)
        }
    }
}

enum Version {
    static let text = "0.1.0"
}

/// Options of every command that reads a machine file or plugins.
struct PluginOptions: ParsableArguments {
    @Option(
        name: .customLong("plugin-path"),
        help: ArgumentHelp(
            "A directory to look for plugins in, before the others. Repeatable.", valueName: "directory"),
        completion: .directory)
    var pluginPath: [String] = []
}

struct MachineFileArguments: ParsableArguments {
    @Argument(
        help: "Machine files, or host files that list some.", completion: .file(extensions: ["yaml", "yml", "json"]))
    var files: [String]

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "A parameter: NAME=VALUE, or of one of several machines MACHINE:NAME=VALUE. Repeatable.",
            valueName: "NAME=VALUE"))
    var settings: [String] = []

    @Option(help: "The engine that runs the CPU, whatever the file says: auto, kvm or soft.", completion: .engine)
    var engine: String?

    @Option(
        name: .customLong("policy"),
        help: ArgumentHelp(
            "A policy for the head of the chain: NAME, NAME,property=value... or id=NAME,... Repeatable.",
            valueName: "NAME,..."),
        completion: .policy)
    var policies: [String] = []

    @OptionGroup var plugins: PluginOptions
}
