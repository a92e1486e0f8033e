// The control plane's part that owns the terminal and the process's signals. What `backplane run` does with it:
//
//     let log = try LogWriter(level: .info)
//     let console = try Console(log: log)                    // both before other files are opened: see `openStandard`
//     let options = MachineOptions(makeEngine: ..., log: log.machineLog, logLevel: log.level, console: console)
//     let machine = try Machine(description, options: options)
//     try console.start([machine])                           // raw terminal, signals
//     defer { console.finish() }                             // all output is out, the terminal as it was
//     try machine.start()
//     let end = machine.waitForEnd()
//
// One Console for a process. `finish` belongs to every way out, also where `machine.start` throws.
//
// Input. A terminal is raw while this process is in its foreground: all keys but the escape key go to the guest, ^C
// too. A pipe or a file is read as fast as the guest takes it; its end ends nothing. The escape key (Ctrl-A, then h for
// help) works in a terminal; in a pipe or a file every byte is the guest's, unless `escapesPipes` is set.
//
// Output. Nothing that a guest writes is lost for a slow reader: clients are throttled, and `finish` waits for the
// reader. If the reader has gone (EPIPE) or the disk is full, the guest's output is dropped and the machine goes on.
//
// Signals and exit statuses, which `Machine.waitForEnd` answers as `MachineEnd.status`:
//   Ctrl-A x             the machines end at once, 0
//   SIGTERM, SIGINT      the guests are asked to power off: 0 if they do. A second one, half a second or more after the
//                        first, ends the machines at once: 143, 130. A third leaves the process as it is.
//   SIGHUP               the machines end at once: 129
//   SIGTSTP, Ctrl-A z    the process stops, the terminal as it was before; SIGCONT continues. The guests' clocks go on.
//   SIGPIPE, SIGXFSZ     ignored: errors of the write. SIGHUP, SIGINT and SIGTSTP stay ignored where they were at the
//                        start (nohup).
//   all others           end the process as they always do, the terminal as it was before.
// In `finish`, where no machine is left, the same signals and Ctrl-A x end the wait for the reader.

import CHost
import Core
import Glibc

public final class Console: ConsoleProvider {
    public struct Options: Sendable {
        /// The escape key; nil: none.
        public var escape: UInt8? = 0x01
        /// Whether it is one in a pipe or a file too.
        public var escapesPipes = false

        public init() {}
    }

    package let terminal: TerminalMultiplexer
    private let options: Options
    private let desk: OperatorDesk

    public init(_ options: Options = Options(), log: LogWriter) throws(ControlError) {
        Descriptors.openStandard()
        ch_ignore_write_signals()
        self.options = options
        terminal = try TerminalMultiplexer(log: log)
        desk = OperatorDesk(log: log)
    }

    /// Takes over the terminal and the signals, for these machines. Once.
    public func start(_ machines: [Machine]) throws(ControlError) { try start(controlling: machines) }

    /// As `start`, for the guests of a board: the terminal shows the one in the foreground.
    public func start(_ machines: [Machine], guests: GuestBoard) throws(ControlError) {
        let guestSwitch = GuestSwitch(guests, terminal)
        guestSwitch.begin()
        desk.use(guestSwitch)
        try start(machines)
    }

    package func start(controlling machines: [any ControlledMachine]) throws(ControlError) {
        for machine in machines { try desk.attach(machine) }
        var configuration = TerminalMultiplexer.Configuration()
        configuration.escape = options.escape
        configuration.escapesPipes = options.escapesPipes
        configuration.signals = try Console.openSignals()
        try terminal.start(configuration, operator: desk)
    }

    /// The monitor that the escape key's `c` opens.
    public func useMonitor(of plane: ControlPlane) { desk.use(MonitorConsole(plane: plane, terminal: terminal)) }

    /// Brings a console to the foreground: by index, in the order of opening. The last 64 KiB of what it wrote
    /// meanwhile are shown. False: there is none.
    public func switchTo(_ index: Int) -> Bool { terminal.switchTo(index) }

    /// Of the terminal; nil: there is none, or it does not know. Follows SIGWINCH.
    public var size: WindowSize? { terminal.size }

    /// Once all machines have ended: waits until their output is out, then gives the terminal back. Nothing where
    /// `start` was not called.
    public func finish() {
        terminal.beginFinishing()
        if terminal.isStarted { _ = terminal.drain() }
        terminal.stop()
        desk.detachAll()
        desk.use(nil as MonitorConsole?)
        desk.use(nil as GuestSwitch?)
    }

    private static func openSignals() throws(ControlError) -> Int32 {
        let ignored = [SIGHUP, SIGINT, SIGTSTP].filter(JobControl.isIgnored)
        let signals = ch_signal_pipe()
        if signals < 0 { throw ControlError("handling signals", code: -signals) }
        for number in ignored { signal(number, SIG_IGN) }
        return signals
    }

    // MARK: For machines

    public func open(_ client: ConsoleClient) { terminal.open(client) }
    public func write(_ client: ConsoleClient, _ bytes: UnsafeRawBufferPointer) { terminal.write(client, bytes) }
    public func ready(_ client: ConsoleClient, room: UInt64) { terminal.ready(client, room: room) }
    public func close(_ client: ConsoleClient) { terminal.close(client) }
    public var hasWindow: Bool {
        let kind = getenv("TERM").map { String(cString: $0) } ?? "dumb"
        return kind != "dumb" && kind != "" && isatty(0) == 1 && isatty(1) == 1
    }
    public func tellSize(_ client: ConsoleClient) { terminal.tellSize(client) }
    public func hasSteadyInput(_ client: ConsoleClient) -> Bool { terminal.hasSteadyInput(client) }
}
