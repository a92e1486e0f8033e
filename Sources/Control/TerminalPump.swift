import CHost
import Glibc
import Synchronization

/// The multiplexer's thread: moves bytes between the descriptors and the board, and obeys the escape key and signals.
///
/// SAFETY: `begin` and `end` run while the thread does not; all else is the thread's own, but for `mustStop`.
final class TerminalPump: @unchecked Sendable {
    let mustStop = Atomic<Bool>(false)

    private unowned let owner: TerminalMultiplexer
    private let configuration: TerminalMultiplexer.Configuration
    private let `operator`: any TerminalOperator
    private let wakeUp: Int32
    private var terminal: Terminal?
    private var output: OutputPort
    private var escape: EscapeKey
    private var isInputOpen = true {
        didSet { if oldValue, !isInputOpen { owner.board.withLock { $0.inputEnded() } } }
    }
    /// The next bell would repeat the last one.
    private var hasRung = false
    private let isOutputTerminal: Bool

    /// How soon a terminal is taken whose foreground we become: nothing announces it.
    private static let foregroundPoll: Int32 = 200

    init(
        _ owner: TerminalMultiplexer, _ configuration: TerminalMultiplexer.Configuration,
        _ operator: any TerminalOperator, wakeUp: Int32
    ) {
        self.owner = owner
        self.configuration = configuration
        self.operator = `operator`
        self.wakeUp = wakeUp
        terminal = Terminal(configuration.input)
        output = OutputPort(configuration.output)
        escape = EscapeKey(terminal != nil || configuration.escapesPipes ? configuration.escape : nil)
        isOutputTerminal = isatty(configuration.output) == 1
    }

    // MARK: Before and after the thread

    func begin() {
        takeTerminal()
        updateSize()
        var status = stat()
        let isRegular = fstat(configuration.input, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        let keepsAll = !isOutputTerminal
        owner.board.withLock { board in
            board.isInputSteady = isRegular
            board.keepsAll = keepsAll
        }
    }

    func end() {
        unpaint()
        leaveTerminal()
        owner.log.showHeld()
        output.close()
    }

    // MARK: The thread

    func run() {
        while !mustStop.load(ordering: .relaxed) { pass() }
    }

    /// Waits once, and does what there is to do.
    private func pass() {
        var entries = [
            pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
            pollfd(fd: configuration.signals, events: Int16(POLLIN), revents: 0),
            // A negative number: not looked at. Otherwise a hang-up would be reported for ever.
            pollfd(fd: -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: -1, events: Int16(POLLOUT), revents: 0),
        ]
        let canRead = isInputOpen && hasTerminal
        let isTerminal = terminal != nil
        owner.board.withLock { board in
            board.isWatchingInput = canRead && (isTerminal || board.inputRoom > 0)
            board.isWatchingOutput = board.hasOutput
            if board.isWatchingInput { entries[2].fd = configuration.input }
            if board.isWatchingOutput { entries[3].fd = output.descriptor }
        }
        let isWaitingForForeground = isInputOpen && isTerminal && !canRead
        let count = poll(&entries, nfds_t(entries.count), isWaitingForForeground ? TerminalPump.foregroundPoll : -1)
        if isWaitingForForeground {
            updateSize()
            takeTerminal()
        }
        guard count > 0 else { return }
        if entries[0].revents != 0 { clearWakeUp() }
        if entries[1].revents != 0 { readSignals() }
        if entries[2].revents != 0 { readInput(isValid: entries[2].revents & Int16(POLLNVAL) == 0) }
        if entries[3].revents != 0 { writeOutput() }
    }

    private func clearWakeUp() {
        var count: UInt64 = 0
        _ = read(wakeUp, &count, 8)
    }

    // MARK: The terminal

    private var hasTerminal: Bool { terminal?.isRaw ?? true }

    private func takeTerminal() {
        terminal?.enter()
        showOnScreen()
    }

    private func leaveTerminal() {
        terminal?.leave()
        showOnScreen()
    }

    /// The log's lines end as this terminal needs it, if they go there too. Nobody paints on a terminal that another process has.
    private func showOnScreen() {
        let shown = isOutputTerminal ? configuration.output : configuration.input
        owner.log.screen.set(terminal: shown, isRaw: terminal?.isRaw ?? false)
        let isOurs = hasTerminal
        owner.board.withLock { $0.mayPaint = isOurs }
    }

    private func updateSize() {
        owner.setSize(WindowSize(of: configuration.output) ?? WindowSize(of: configuration.input))
    }

    private func suspend(wholeJob: Bool) {
        unpaint()
        leaveTerminal()
        configuration.suspend(wholeJob)
        resume()
    }

    private func resume() {
        updateSize()
        takeTerminal()
        // What another process has left there meanwhile goes.
        owner.board.withLock { $0.enterPainting() }
    }

    /// The window is as it was before somebody painted it, as far as the terminal takes it now.
    private func unpaint() {
        owner.board.withLock { $0.leavePainting() }
        while writeOutput() {}
    }

    // MARK: Signals

    private func readSignals() {
        var numbers = [UInt8](repeating: 0, count: 64)
        let count = read(configuration.signals, &numbers, numbers.count)
        ch_signals_read()
        for number in numbers.prefix(max(0, count)) { obey(Int32(number)) }
    }

    private func obey(_ number: Int32) {
        switch number {
        case SIGWINCH: updateSize()
        case SIGTSTP: suspend(wholeJob: false)
        case SIGCONT: resume()
        default:
            if owner.isFinishing { owner.abandonOutput() } else { `operator`.signal(number) }
        }
    }

    // MARK: Input

    private func readInput(isValid: Bool) {
        if let terminal, !terminal.isForeground {
            self.terminal?.lose()
            return showOnScreen()
        }
        let room = terminal == nil ? owner.board.withLock { $0.inputRoom } : Int.max
        guard room > 0, isValid else {
            if !isValid { isInputOpen = false }
            return
        }
        var bytes = [UInt8](repeating: 0, count: min(room, 4096))
        let count = read(configuration.input, &bytes, bytes.count)
        let error = errno
        if count > 0 { return feed(bytes.prefix(count)) }
        if count < 0, error == EINTR || error == EAGAIN { return }
        // EIO also tells a background process of an orphaned group that it must not read.
        if count < 0, error == EIO, let terminal, !terminal.isForeground { return }
        isInputOpen = false
    }

    private func feed(_ bytes: ArraySlice<UInt8>) {
        var plain: [UInt8] = []
        for byte in bytes {
            switch escape.feed(byte) {
            case .byte(let byte): plain.append(byte)
            case .command(let command):
                type(&plain)
                carryOut(command)
            case nil: break
            }
        }
        type(&plain)
    }

    private func type(_ bytes: inout [UInt8]) {
        let rest = bytes.count - owner.board.withLock { $0.type(bytes) }
        bytes = []
        if rest > 0, !hasRung { owner.board.withLock { $0.ringBell() } }
        hasRung = rest > 0
    }

    // MARK: Commands

    private func carryOut(_ command: EscapeKey.Command) {
        let console = owner.board.withLock { $0.currentConsole ?? $0.foregroundClient }
        let machine = console?.controlledMachine ?? `operator`.foregroundMachine
        switch command {
        case .help:
            say(escape.help(guests: `operator`.guestCount, consoles: owner.board.withLock { $0.consoles().count }))
        case .guest(let number): say(`operator`.bring(guest: number))
        case .nextConsole: say(`operator`.bringNextConsole())
        case .quit: quit()
        case .powerOff:
            remark("the guest is asked to power off")
            `operator`.powerOff(machine)
        case .reset:
            remark("reset")
            `operator`.reset(machine)
        case .sendBreak:
            let hasSent = owner.board.withLock { $0.foregroundClient?.sendBreak() ?? false }
            if !hasSent { say(["this console knows no break"]) }
        case .suspend: suspend(wholeJob: true)
        case .monitor:
            if !`operator`.monitor() { say(["there is no monitor"]) }
        }
    }

    private func quit() {
        if owner.isFinishing { return owner.abandonOutput() }
        owner.board.withLock { $0.leavePainting() }
        say(["ended by \(EscapeKey.name(of: escape.key ?? 0)) x"])
        `operator`.quit()
    }

    /// What follows can be seen on a screen.
    private func remark(_ line: String) {
        if !owner.board.withLock({ $0.isPainted }) { say([line]) }
    }

    /// To the terminal; where standard output is none, to standard error, so that a captured output stays the guest's.
    private func say(_ lines: [String]) {
        if lines.isEmpty { return }
        let marked = lines.map { "backplane: " + $0 }
        if isOutputTerminal { return owner.board.withLock { $0.say(marked) } }
        owner.log.show(marked)
    }

    // MARK: Output

    /// False: nothing waits, or nothing goes now.
    @discardableResult
    private func writeOutput() -> Bool {
        let bytes = owner.board.withLock { $0.nextOutput(16 << 10) }
        guard !bytes.isEmpty else { return false }
        guard ch_tty_begin_write() else {
            // The end of the process is reported: nothing is painted over that.
            usleep(10_000)
            return false
        }
        let result = output.write(bytes)
        ch_tty_end_write()
        switch result {
        case .wrote(let count):
            didWrite(bytes.prefix(count))
            return count > 0
        case .wouldBlock: return false
        case .failed(let code):
            owner.board.withLock { $0.dropOutput() }
            owner.log.showHeld()
            let reason = String(cString: strerror(code))
            owner.log.write(.warning, nil, "standard output: \(reason); what the guest writes is dropped from here on")
            owner.outputMoved()
            return false
        }
    }

    private func didWrite(_ bytes: ArraySlice<UInt8>) {
        let dropped = owner.board.withLock { board in
            board.didWrite(bytes.count)
            return board.takeDropped()
        }
        if let last = bytes.last, isOutputTerminal { owner.log.screen.didShow(last: last) }
        if dropped > 0 {
            owner.log.write(.warning, nil, "\(dropped) bytes of output were dropped: its reader is too slow")
        }
        owner.outputMoved()
    }
}
