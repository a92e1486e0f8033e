import ArgumentParser
import CHost
import Control
import Core
import Glibc
import MachineFile

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a machine.",
        discussion: """
            Exit status: 0 powered off, 2 bad input, 4 a plugin's fault, 6 the engine failed or the guest halted for ever, \
            8 stopped by a policy; odd ones are the guest's own, (value << 1) | 1.
            """)

    @OptionGroup var machineFile: MachineFileArguments

    @Option(name: .customLong("log"), help: "Lowest level of log lines: trace, debug, info, warning or error.")
    var logLevel = "info"

    @Option(name: .customLong("pid-file"), help: "Write the process id to this file; removed at the end.")
    var pidFile: String?

    func run() throws {
        guard let level = LogLevel.named(logLevel) else {
            throw ValidationError("--log takes trace, debug, info, warning or error, and got '\(logLevel)'")
        }
        ch_report_exit()
        let finder = PluginFinder(paths: machineFile.plugins.pluginPath, isolation: .inProcess)
        let description = try machineFile.load(finder)
        let pid = try pidFile.map { try PIDFile(path: $0) }
        defer { pid?.remove() }
        let end = try run(description, finder, level)
        if !end.reason.isEmpty { complain(end.reason) }
        pid?.remove()
        if end.status != 0 { throw ExitCode(end.status) }
    }
}

extension Run {
    private func run(_ description: MachineDescription, _ finder: PluginFinder, _ level: LogLevel) throws -> MachineEnd
    {
        do {
            let log = try LogWriter(level: level)
            let console = try Console(log: log)
            let selection = EngineSelection(choice: description.engine, cpuCount: description.cpuCount) { line in
                log.machineLog(.debug, nil, line)
            }
            let options = MachineOptions(
                makeEngine: { (requirements) throws(MachineError) in try selection.make(requirements) },
                log: log.machineLog, logLevel: log.level, console: console,
                loadLibrary: { (instance) throws(LibraryError) in try finder.library(for: instance) })
            let machine = try Machine(description, options: options)
            try console.start([machine])
            defer { console.finish() }
            do {
                try machine.start()
            } catch {
                machine.tearDown()
                throw error
            }
            return machine.waitForEnd()
        } catch let error as MachineError {
            throw fail(error)
        } catch let error as ControlError {
            complain("\(error)")
            throw ExitCode(6)
        }
    }
}

extension LogLevel {
    static func named(_ name: String) -> LogLevel? { allCases.first { "\($0)" == name } }
}

/// `--pid-file`
struct PIDFile {
    let path: String

    init(path: String) throws {
        self.path = path
        // Whole or not at all: who waits for the file must not read half a number.
        let fresh = "\(path).\(getpid())"
        let descriptor = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        let isWritten = descriptor >= 0 && writeAll(descriptor, "\(getpid())\n".utf8)
        var code = errno
        if descriptor >= 0 { close(descriptor) }
        if isWritten, rename(fresh, path) == 0 { return }
        if isWritten { code = errno }
        if descriptor >= 0 { unlink(fresh) }
        complain("--pid-file: \(path) cannot be written: \(String(cString: strerror(code)))")
        throw ExitCode(2)
    }

    func remove() { unlink(path) }
}
