// The terminal, standard input and output, shared by the consoles of all machines of the process.
//
// Machines call it from any thread, with their own lock held; it never waits. Order of locks: a machine's, the
// multiplexer's, the posting lock of an event loop. Descriptors are read and written by one thread only:
// TerminalPump.

import CHost
import Core
import Glibc
import Synchronization

/// Gets what the escape key and signals ask for. On the multiplexer's thread: must not block.
package protocol TerminalOperator: AnyObject, Sendable {
    /// All machines are to end.
    func quit()
    /// nil: all machines.
    func powerOff(_ machine: (any ControlledMachine)?)
    func reset(_ machine: (any ControlledMachine)?)
    /// To the monitor, or back to the guest. False: there is none.
    func monitor() -> Bool
    /// SIGTERM, SIGINT or SIGHUP.
    func signal(_ number: Int32)
    /// Of several guests the one in the foreground, which may have no console.
    var foregroundMachine: (any ControlledMachine)? { get }
    /// How many guests there are.
    var guestCount: Int { get }
    /// Brings a guest to the foreground, by its number from 1: what to say to it, or nothing.
    func bring(guest number: Int) -> [String]
    func bringNextConsole() -> [String]
}

extension TerminalOperator {
    // For operators of one machine.
    package var foregroundMachine: (any ControlledMachine)? { nil }
    package var guestCount: Int { 1 }
    package func bring(guest number: Int) -> [String] { [] }
    package func bringNextConsole() -> [String] { [] }
}

package final class TerminalMultiplexer: Sendable {
    package struct Configuration: Sendable {
        package var input: Int32 = 0
        package var output: Int32 = 1
        /// Signals come here as bytes, each a signal's number; negative: none.
        package var signals: Int32 = -1
        package var escape: UInt8? = 0x01
        /// Whether the escape key is one in input that is no terminal.
        package var escapesPipes = false
        /// Stops the process until SIGCONT; true: the whole job, as the terminal's suspend key would.
        package var suspend: @Sendable (Bool) -> Void = { JobControl.suspend(wholeJob: $0) }

        package init() {}
    }

    let board = Mutex(ClientBoard())
    let log: LogWriter
    private let pump = Mutex<TerminalPump?>(nil)
    private let thread = Mutex<pthread_t?>(nil)
    private let windowSize = Mutex<WindowSize?>(nil)
    private let wakeUp: Int32
    /// 1 once finishing has begun, 2 once nobody waits for the output's reader any more.
    private let ending = Atomic<Int>(0)
    private let flushed = Gate()

    package init(log: LogWriter) throws(ControlError) {
        self.log = log
        board.withLock { $0.logScreen = log.screen }
        wakeUp = ch_eventfd()
        if wakeUp < 0 { throw ControlError("creating an event descriptor", code: -wakeUp) }
    }

    deinit {
        stop()
        _ = Glibc.close(wakeUp)
    }

    // MARK: For clients, from any thread

    package func open(_ client: any TerminalClient) { board.withLock { $0.open(client) } }

    package func close(_ client: any TerminalClient) {
        board.withLock { $0.close(client) }
        wake()
    }

    package func write(_ client: any TerminalClient, _ bytes: UnsafeRawBufferPointer) {
        let mustWake = board.withLock { board in
            board.write(client, bytes)
            return board.hasOutput && !board.isWatchingOutput
        }
        if mustWake { wake() }
    }

    /// The input is this client's, and a regular file that has not been read to its end.
    package func hasSteadyInput(_ client: any TerminalClient) -> Bool {
        board.withLock { $0.isInputSteady && $0.foregroundClient === client }
    }

    /// Its `sized` is called where the size is known.
    package func tellSize(_ client: any TerminalClient) {
        board.withLock { board in
            if let window = board.window { client.sized(window) }
        }
    }

    package func ready(_ client: any TerminalClient, room: UInt64) {
        let mustWake = board.withLock { board in
            board.grant(client, room)
            return board.inputRoom > 0 && !board.isWatchingInput
        }
        if mustWake { wake() }
    }

    // MARK: For the control plane

    /// Brings a client to the foreground: by index, in the order of opening. False: there is none.
    package func switchTo(_ index: Int) -> Bool {
        defer { wake() }
        return board.withLock { $0.switchTo(index) }
    }

    /// Brings a client to the foreground. Nothing where it has closed.
    func bring(_ client: any TerminalClient) {
        board.withLock { board in
            if let index = board.index(of: client) { board.switchTo(index) }
        }
        wake()
    }

    /// Brings a client to the foreground, or, where it is there, what it has covered. True: it is in the foreground now.
    func toggle(_ client: any TerminalClient) -> Bool {
        defer { wake() }
        return board.withLock { $0.toggle(client) }
    }

    /// Shows the guest that `chosen` gives: asked with the lock held, so that of several changes the last one holds.
    func show(uncovers: Bool, _ chosen: () -> Int?) {
        board.withLock { $0.show(guest: chosen(), uncovers: uncovers) }
        wake()
    }

    /// From now on `show` says which guest comes next.
    func guide(_ chosen: () -> Int?) {
        board.withLock { board in
            board.isGuided = true
            board.show(guest: chosen(), uncovers: false)
        }
    }

    func isForeground(_ client: any TerminalClient) -> Bool { board.withLock { $0.foregroundClient === client } }

    /// nil: neither input nor output is a terminal that knows its size. Follows SIGWINCH.
    package var size: WindowSize? { windowSize.withLock { $0 } }
    func setSize(_ size: WindowSize?) {
        windowSize.withLock { $0 = size }
        board.withLock { $0.window = size }
    }

    /// Begins to read and write; a terminal is raw from here on. Once.
    package func start(_ configuration: Configuration, operator: any TerminalOperator) throws(ControlError) {
        let pump = TerminalPump(self, configuration, `operator`, wakeUp: wakeUp)
        pump.begin()
        self.pump.withLock { $0 = pump }
        do throws(ControlError) {
            let thread = try Threads.start("console") { pump.run() }
            self.thread.withLock { $0 = thread }
        } catch {
            pump.end()
            throw error
        }
    }

    package var isStarted: Bool { pump.withLock { $0 != nil } }

    /// Waits until all output has been written; false: not within this many ns (negative: no limit), or cut off by
    /// `abandonOutput`. True where nobody can read it any more.
    package func drain(timeout: Int64 = -1) -> Bool {
        let deadline = timeout < 0 ? nil : ch_monotonic() &+ UInt64(timeout)
        while true {
            let seen = flushed.value
            if !board.withLock({ $0.hasOutput }) { return true }
            if ending.load(ordering: .relaxed) == 2 { return false }
            let now = ch_monotonic()
            if let deadline, now >= deadline { return false }
            flushed.wait(past: seen, deadline.map { Int64(clamping: $0 - now) } ?? -1)
        }
    }

    /// From now on there are no machines: what would end them ends the wait for a slow reader.
    package func beginFinishing() {
        ending.store(1, ordering: .relaxed)
        board.withLock { $0.leavePainting() }
        wake()
    }
    var isFinishing: Bool { ending.load(ordering: .relaxed) > 0 }

    func abandonOutput() {
        ending.store(2, ordering: .relaxed)
        flushed.open()
    }

    func outputMoved() { flushed.open() }

    /// Ends the thread; the terminal is as it was before `start`.
    package func stop() {
        guard let pump = pump.withLock({ $0.take() }) else { return }
        pump.mustStop.store(true, ordering: .relaxed)
        wake()
        if let thread = thread.withLock({ $0.take() }) { pthread_join(thread, nil) }
        pump.end()
    }

    private func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(wakeUp, &one, 8)
    }
}
