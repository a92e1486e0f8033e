import ArgumentParser
import CHost
import Core
import Glibc
import MachineFile

/// Reads machine files and rehearses the machines: in a child process, since plugins run.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check machine files without running them; status 2 where they have errors.",
        discussion: """
            Devices, policies and the loader are created and connected, in a process of its own, so that images, kernels and \
            what plugins claim are checked as `run` checks them. Nothing is started, and nothing is opened for writing.
            """)

    @OptionGroup var machineFile: MachineFileArguments

    @Flag(help: "Check the files alone: no plugin runs, and nothing that they name is opened.")
    var filesOnly = false

    @Option(help: .hidden)
    var reportTo: Int32?

    static func line(_ file: String, _ guest: MachineDescription) -> String {
        "\(file): ok: machine '\(guest.name)', \(guest.instances.count) instances"
    }

    func run() throws {
        if filesOnly {
            let result = try machineFile.load(
                PluginFinder(paths: machineFile.plugins.pluginPath, isolation: .childProcess))
            for (file, guest) in zip(result.files, result.guests ?? []) { print(Check.line(file, guest)) }
            return
        }
        if let reportTo { return try CheckInChild(machineFile: machineFile, report: reportTo).run() }
        let end: ChildProcess.End
        let hasFinished: Bool
        do throws(HostError) {
            let report = try ClosingPipe()
            let arguments = ["check", "--report-to", "\(report.writing)"] + CommandLine.arguments.dropFirst(2)
            let child = try ChildProcess(arguments, .shared, inherited: report.writing)
            report.closeWriting()
            var word: UInt8 = 0
            hasFinished = read(report.reading, &word, 1) == 1
            end = child.wait()
        } catch {
            complain("error: \(error)")
            throw ExitCode(Int32(CH_STATUS_HOST_FAILED))
        }
        switch end {
        case .exited(let status) where hasFinished: if status != 0 { throw ExitCode(status) }
        case .exited(let status) where status != 0: throw ExitCode(status)
        case .exited:
            complain("error: a plugin has ended the process that checks the machine")
            throw ExitCode(Int32(CH_STATUS_PLUGIN_FAULT))
        case .killed(let signal):
            complain(
                "error: a plugin has ended the process that checks the machine: \(String(cString: strsignal(signal)))")
            throw ExitCode(Int32(CH_STATUS_PLUGIN_FAULT))
        }
    }
}

/// The child's side.
private struct CheckInChild {
    let machineFile: MachineFileArguments
    let report: Int32

    /// Of machine files that switch the watchdog off: whoever checks them waits.
    private static let watchdog: UInt64 = 10_000_000_000

    func run() throws {
        // Not for what a plugin starts.
        _ = fcntl(report, F_SETFD, FD_CLOEXEC)
        // Reached however this ends, unless a plugin ends the process.
        defer { writeAll(report, [1]) }
        // What a plugin prints must not mix with the answers.
        let answers = dup(STDOUT_FILENO)
        dup2(STDERR_FILENO, STDOUT_FILENO)
        ch_report_exit()
        let result = try machineFile.load(PluginFinder(paths: machineFile.plugins.pluginPath, isolation: .childProcess))
        let finder = PluginFinder(paths: machineFile.plugins.pluginPath, isolation: .inProcess)
        var worst: ExitCode?
        for (file, guest) in zip(result.files, result.guests ?? []) {
            let errors = rehearse(guest, finder)
            let statuses = errors.map(fail)
            worst = worst ?? statuses.first
            guard errors.isEmpty else { continue }
            writeAll(answers, (Check.line(file, guest) + "\n").utf8)
        }
        if let worst { throw worst }
    }

    private func rehearse(_ guest: MachineDescription, _ finder: PluginFinder) -> [MachineError] {
        var guest = guest
        if guest.watchdog == 0 { guest.watchdog = CheckInChild.watchdog }
        let options = MachineOptions(
            makeEngine: nil,
            log: { level, id, text in
                if level >= .warning { complain("\(id.map { $0 + ": " } ?? "")\(level): \(text)") }
            },
            loadLibrary: { (instance) throws(LibraryError) in try finder.library(for: instance) })
        let rehearsal = Machine.rehearse(guest, options: options)
        let selection = EngineSelection(choice: guest.engine, cpuCount: guest.cpuCount) { _, _ in }
        let engine = selection.problem(with: rehearsal.requirements)
        return rehearsal.errors + (engine.map { [$0] } ?? [])
    }
}
