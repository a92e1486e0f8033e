// What a machine has to do with the other guests of the process: its right to run, and what its plugins ask of the board.

import CBackplane
import CHost

extension Machine {
    /// Whether the vCPUs must stand still between two instructions.
    var mustPark: Bool { state.mustPark || !seat.mayRun }

    // MARK: From any thread, with any lock held but the board's

    /// The word of the right is set already.
    func rightChanged(_ mayRun: Bool) {
        if mayRun { unpark() } else { callIn() }
    }

    // MARK: With the lock held

    /// Tells the board whether the guest has instructions to execute.
    func noteBusy() {
        guard seat.board.count > 1 else { return }
        let isBusy =
            state.isStarted && state.pauses.isEmpty && state.end == nil && state.pendingEnd == nil
            && state.halted < vcpus.count
        guard isBusy != state.wasBusy else { return }
        state.wasBusy = isBusy
        seat.setBusy(isBusy)
    }

    /// A vCPU begins to wait in HLT (1), or wakes (-1).
    func noteHalted(_ change: Int) {
        state.halted += change
        noteBusy()
    }

    /// `number`: of a guest, from 1; 0: the next one.
    func bring(_ number: UInt32) throws(MachineError) {
        let board = seat.board
        let isDone = number == 0 ? board.bringNext() : board.bring(Int(number) - 1)
        if isDone { return }
        let count = board.count
        let range = count == 1 ? "this machine runs alone" : "the guests are 1 to \(count)"
        let reason = (1...UInt32(clamping: count)).contains(number) ? "it has ended" : range
        throw MachineError("asks for guest \(number) in the foreground: \(reason)")
    }

    func setRunMode(_ mode: RunMode, quantum: UInt64, of owner: PluginInstance) {
        state.runModes.removeAll { $0.owner === owner }
        state.runModes.append((owner, mode, quantum))
        applyRunMode()
    }

    /// Its wish goes with it.
    func forgetRunMode(of owner: PluginInstance) {
        guard state.runModes.contains(where: { $0.owner === owner }) else { return }
        state.runModes.removeAll { $0.owner === owner }
        applyRunMode()
    }

    /// The last wish of a policy that is on line, or none.
    func applyRunMode() {
        let wish = state.runModes.last { !$0.owner.isOffline }
        seat.board.setMode(
            seat.index, wish?.mode ?? .always, quantum: wish?.quantum ?? GuestBoard.usualQuantum)
    }
}
