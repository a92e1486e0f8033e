import CHost
import Core
import Glibc
import Synchronization

/// Passes what the escape key and the signals ask for to the machines, which answer when they are between two
/// callbacks: each machine has a thread that asks it, so that one that hangs takes neither the terminal nor another machine
/// with it.
final class OperatorDesk: TerminalOperator {
    private struct State {
        var machines: [(machine: any ControlledMachine, thread: SerialThread)] = []
        var policy = SignalPolicy()
        /// For machines that come later.
        var end: (status: Int32, reason: String)?
        var hasAskedPowerOff = false
        var monitor: MonitorConsole?
        var guests: GuestSwitch?
    }

    private let state = Mutex(State())
    private let log: LogWriter

    init(log: LogWriter) { self.log = log }

    func attach(_ machine: any ControlledMachine) throws(ControlError) {
        let thread = try SerialThread("operator")
        let (end, hasAsked) = state.withLock { state in
            state.machines.append((machine, thread))
            return (state.end, state.hasAskedPowerOff)
        }
        if let end { return ask(machine) { $0.stop(end.status, end.reason) } }
        if hasAsked { ask(machine) { $0.powerButton() } }
    }

    /// Once they have ended.
    func detachAll() {
        let all = state.withLock { state in
            defer { state.machines = [] }
            return state.machines
        }
        for (_, thread) in all { thread.finish() }
    }

    // MARK: Requests

    func quit() { end(0, "") }

    func powerOff(_ machine: (any ControlledMachine)?) { ask(machine) { $0.powerButton() } }

    func use(_ guests: GuestSwitch?) { state.withLock { $0.guests = guests } }

    var foregroundMachine: (any ControlledMachine)? {
        state.withLock { state in
            guard let index = state.guests?.guests.foreground, state.machines.indices.contains(index) else {
                return nil
            }
            return state.machines[index].machine
        }
    }
    var guestCount: Int { state.withLock { $0.guests }?.guests.count ?? 1 }
    func bring(guest number: Int) -> [String] { state.withLock { $0.guests }?.bring(number) ?? [] }
    func bringNextConsole() -> [String] { state.withLock { $0.guests }?.bringNextConsole() ?? [] }

    func use(_ monitor: MonitorConsole?) { state.withLock { $0.monitor = monitor } }

    func monitor() -> Bool {
        guard let monitor = state.withLock({ $0.monitor }) else { return false }
        monitor.toggle()
        return true
    }

    func reset(_ machine: (any ControlledMachine)?) { ask(machine) { $0.reset() } }

    func signal(_ number: Int32) {
        let now = ch_monotonic()
        switch state.withLock({ $0.policy.receive(number, at: now) }) {
        case .nothing: break
        case .powerOff:
            let isOne = state.withLock { state in
                state.hasAskedPowerOff = true
                return state.machines.count < 2
            }
            let again = "a second \(SignalPolicy.name(number)) ends \(isOne ? "it" : "them") at once"
            log.write(.info, nil, "\(isOne ? "the guest is" : "the guests are") asked to power off; \(again)")
            powerOff(nil)
        case .end(let status, let reason): end(status, reason)
        case .exitNow(let status, let reason):
            ch_tty_restore()
            log.showHeld()
            log.write(.error, nil, reason)
            ch_end_process(status)
        }
    }

    private func end(_ status: Int32, _ reason: String) {
        state.withLock { state in
            if state.end == nil { state.end = (status, reason) }
        }
        ask(nil) { $0.stop(status, reason) }
    }

    /// nil: all machines.
    private func ask(
        _ machine: (any ControlledMachine)?, _ request: @escaping @Sendable (any ControlledMachine) -> Void
    ) {
        for (other, thread) in state.withLock({ $0.machines }) where machine == nil || other === machine {
            thread.run { request(other) }
        }
    }
}
