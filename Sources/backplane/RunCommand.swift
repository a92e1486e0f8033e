import ArgumentParser
import CHost
import Control
import Core
import Glibc
import MachineFile

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run machines, each with its own memory, engine, policies and console.",
        discussion: """
            A disk image in place of a machine file runs on machines/pc.yaml, a file called .qcow2 on pc-qcow2.yaml, an ISO image on \
            pc-cdrom.yaml, one of a floppy on pc-floppy.yaml. \
            Ctrl-A 1, Ctrl-A 2 and so on, and Ctrl-A n, give the terminal to another machine. \
            Exit status: 0 powered off, 2 bad input, 4 a plugin's fault, 6 the engine failed or the guest halted for ever, \
            8 stopped by a policy; odd ones are the guest's own, (value << 1) | 1. Of several machines, the first that is not 0.
            """)

    @OptionGroup var machineFile: MachineFileArguments

    @Option(
        name: .customLong("log"),
        help: ArgumentHelp(
            "Lowest level of log lines: trace, debug, info, warning or error.", valueName: "level"),
        completion: .logLevel)
    var logLevel = "info"

    @Option(
        name: .customLong("pid-file"),
        help: ArgumentHelp("Write the process id to this file; removed at the end.", valueName: "file"),
        completion: .file())
    var pidFile: String?

    @Option(
        help: ArgumentHelp(
            "A socket that speaks QEMU's Machine Protocol, for this user only: unix:PATH.", valueName: "unix:PATH"))
    var qmp: String?

    @Option(
        help: ArgumentHelp(
            """
            A port for gdb: tcp:[HOST:]PORT, on the loopback interface unless HOST says otherwise (port 0: any), or \
            unix:PATH. MACHINE= before it names another machine than the first; ,arch=i386 or ,arch=x86-64 behind it says \
            what gdb is told, which is else the CPU's mode when gdb connects.
            """,
            valueName: "tcp:[HOST:]PORT|unix:PATH"))
    var gdb: [String] = []

    @Flag(name: .customLong("gdb-wait"), help: "The guest stands still until a debugger lets it go on.")
    var gdbWait = false

    @Option(
        help: ArgumentHelp(
            "A port of this host that leads to the guest, where the machine file has the parameter 'forward', as those of images have: tcp:2222:22. Repeatable.",
            valueName: "PROTOCOL:PORT:PORT"))
    var forward: [String] = []

    @Option(
        help: ArgumentHelp(
            "A folder that the guest may mount: mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt. Its tag is 'share' unless given; ,ro: the guest changes nothing. For machines with a PCI bus 'pci'. Repeatable.",
            valueName: "DIR[:TAG][,ro]"))
    var share: [ShareOption] = []

    @Option(
        help: ArgumentHelp(
            "One more disk, by virtio: a raw image, or a file called .qcow2. For machines with a PCI bus 'pci'. Repeatable.",
            valueName: "FILE"),
        completion: .file())
    var disk: [String] = []

    @Flag(
        name: .customLong("print"),
        help:
            "Print the machine file instead of running it: of an image, --share and --disk the one that they stand for."
    )
    var printsFile = false

    mutating func run() throws {
        let shorthands = Shorthands(shares: share, disks: disk, forwards: forward)
        if printsFile {
            let text = try machineFile.printed(shorthands)
            writeAll(STDOUT_FILENO, (text + (try machineFile.impliedScreen(shorthands))).utf8)
            return
        }
        if shorthands.isEmpty {
            if !forward.isEmpty { machineFile.settings.append("forward=" + forward.joined(separator: ",")) }
            try machineFile.replaceImages()
        } else {
            try machineFile.apply(shorthands)
        }
        guard let level = LogLevel.named(logLevel) else {
            throw ValidationError("--log takes trace, debug, info, warning or error, and got '\(logLevel)'")
        }
        let socket = try qmp.map(Run.socketPath)
        let debuggers = try gdb.map(Run.debuggerAddress)
        if gdbWait, debuggers.isEmpty { throw ValidationError("--gdb-wait needs --gdb") }
        ch_report_exit()
        Run.raiseDescriptorLimit()
        let finder = PluginFinder(paths: machineFile.plugins.pluginPath, isolation: .inProcess)
        let descriptions = try machineFile.load(finder).guests ?? []
        let pid = try pidFile.map { try PIDFile(path: $0) }
        defer { pid?.remove() }
        let status = try run(descriptions, finder, level, socket, debuggers)
        pid?.remove()
        if status != 0 { throw ExitCode(status) }
    }
}

extension Run {
    /// A shared folder holds a descriptor for each file that its guest knows: this process has as many as it may.
    private static func raiseDescriptorLimit() {
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(files, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(files, &limit)
    }

    /// As QEMU writes it; what a server does by itself may be said: unix:PATH,server=on,wait=off.
    private static func socketPath(_ text: String) throws -> String {
        var parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        while let last = parts.last, ["server", "server=on", "wait=off", "nowait"].contains(last) { parts.removeLast() }
        let path = parts.joined(separator: ",")
        guard path.hasPrefix("unix:"), path.utf8.count > 5 else {
            throw ValidationError("--qmp takes unix:PATH, and got '\(text)'")
        }
        return String(path.dropFirst(5))
    }

    private static func debuggerAddress(_ text: String) throws -> GDBAddress {
        if let address = GDBAddress(text: text) { return address }
        throw ValidationError(
            "--gdb takes [MACHINE=]tcp:[HOST:]PORT or unix:PATH, [,arch=i386|x86-64], and got '\(text)'")
    }

    private func run(
        _ descriptions: [MachineDescription], _ finder: PluginFinder, _ level: LogLevel, _ socket: String?,
        _ debuggers: [GDBAddress]
    ) throws -> Int32 {
        do {
            let log = try LogWriter(level: level)
            let console = try Console(log: log)
            let plane = try ControlPlane(version: Version.text, catalog: finder, log: log)
            let guests = try GuestRunner(descriptions, finder: finder, log: log, console: console)
            finder.guestsRun = true
            for machine in guests.machines { plane.attach(machine) }
            console.useMonitor(of: plane)
            try start(console, guests)
            defer { console.finish() }
            defer { plane.finish() }
            if let socket { try listen(plane, guests, socket) }
            for address in debuggers { try listen(plane, guests, address, log) }
            if gdbWait { hold(guests, debuggers) }
            try guests.start()
            return guests.waitForEnd()
        } catch let error as MachineError {
            throw fail(error)
        } catch let error as ControlError {
            complain("\(error)")
            throw ExitCode(6)
        }
    }
}

extension Run {
    private func start(_ console: Console, _ guests: GuestRunner) throws(ControlError) {
        do throws(ControlError) {
            try console.start(guests.machines, guests: guests.board)
        } catch {
            guests.tearDown()
            throw error
        }
    }

    private func listen(_ plane: ControlPlane, _ guests: GuestRunner, _ socket: String) throws(MachineError) {
        do throws(ControlError) {
            try plane.listen(at: socket)
        } catch {
            guests.tearDown()
            throw MachineError("--qmp: \(error)")
        }
    }

    private func listen(
        _ plane: ControlPlane, _ guests: GuestRunner, _ address: GDBAddress, _ log: LogWriter
    ) throws(MachineError) {
        do throws(ControlError) {
            log.write(.info, nil, "gdb: target remote \(try plane.listenForDebugger(at: address))")
        } catch {
            guests.tearDown()
            throw MachineError("--gdb: \(error)")
        }
    }

    /// Those that have a port for a debugger.
    private func hold(_ guests: GuestRunner, _ debuggers: [GDBAddress]) {
        for (index, machine) in guests.machines.enumerated() {
            let names = [machine.description.name, "\(index + 1)"]
            if debuggers.contains(where: { $0.machine.map { names.contains($0) } ?? (index == 0) }) {
                machine.holdForDebugger()
            }
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
