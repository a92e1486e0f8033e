// The guests of one process: their numbers, which of them is in the foreground, and which may run.
//
// Order of locks: a machine's, then the board's; nothing is called with the board's held. What the board asks of a machine takes none of
// the machine's locks: a word is set, and the vCPUs are called in or woken. So a machine that hangs keeps no other from its turn.

import CHost
import Synchronization

/// When a guest runs.
public enum RunMode: UInt32, Sendable {
    case always = 0
    /// While it is in the foreground.
    case foreground
    /// In turn with all others of this mode.
    case turn
}

/// A guest, as a table shows it.
public struct GuestSummary: Sendable, Equatable {
    /// From 1, in the order of the files.
    public var number: Int
    public var name: String
    public var mode: RunMode
    /// Nanoseconds; of the mode `turn`.
    public var quantum: UInt64
    public var isForeground: Bool
    public var hasEnded: Bool
    /// False: it stands still until it gets its turn, or comes to the foreground.
    public var mayRun: Bool
}

public final class GuestBoard: Sendable {
    public static let quanta: ClosedRange<UInt64> = 1_000_000...10_000_000_000
    public static let usualQuantum: UInt64 = 100_000_000

    struct Member {
        let name: String
        weak var machine: Machine?
        var mode = RunMode.always
        var quantum = GuestBoard.usualQuantum
        var hasEnded = false
        /// It has instructions to execute: it has begun, does not wait in HLT, and nobody has stopped it.
        var isBusy = false
    }

    struct State {
        var members: [Member]
        /// nil: all have ended.
        var foreground: Int?
        var turn = Turn()
        var observers: [@Sendable () -> Void] = []
    }

    let state: Mutex<State>
    /// Whether each guest may run: read by its vCPUs without a lock.
    /// SAFETY: a word for each, allocated here and freed in deinit; seats hold the board.
    nonisolated(unsafe) let rights: UnsafeMutablePointer<UInt32>
    let clock = TurnClock()
    public let count: Int

    /// All guests that there will be, in order. The first is in the foreground.
    public init(names: [String]) {
        count = names.count
        state = Mutex(State(members: names.map { Member(name: $0) }, foreground: names.isEmpty ? nil : 0))
        rights = .allocate(capacity: max(1, names.count))
        rights.initialize(repeating: 1, count: max(1, names.count))
    }

    deinit { rights.deallocate() }

    /// `index`: from 0.
    public func seat(_ index: Int) -> GuestSeat {
        precondition((0..<count).contains(index), "there is no such guest")
        return GuestSeat(board: self, index: index)
    }

    // MARK: The foreground

    /// From 0; nil: all have ended.
    public var foreground: Int? { state.withLock { $0.foreground } }

    public var names: [String] { state.withLock { $0.members.map(\.name) } }

    public var summaries: [GuestSummary] {
        state.withLock { state in
            state.members.enumerated().map { index, member in
                GuestSummary(
                    number: index + 1, name: member.name, mode: member.mode, quantum: member.quantum,
                    isForeground: state.foreground == index, hasEnded: member.hasEnded,
                    mayRun: ch_load(rights + index) != 0)
            }
        }
    }

    /// Called whenever another guest has come to the foreground, on the thread that did it, which may hold its machine's lock: must not
    /// block. Two calls may overlap: `foreground` says what holds now.
    public func onForeground(_ observer: @escaping @Sendable () -> Void) {
        state.withLock { $0.observers.append(observer) }
    }

    /// Brings a guest to the foreground: by its number from 0. False: there is none, or it has ended.
    @discardableResult
    public func bring(_ index: Int) -> Bool {
        let isDone: Bool? = change { state in
            guard state.members.indices.contains(index), !state.members[index].hasEnded else { return nil }
            guard state.foreground != index else { return false }
            state.foreground = index
            state.turn.seize(index, state.members, now: ch_monotonic())
            return true
        }
        if isDone == true { tellObservers() }
        return isDone != nil
    }

    /// The next one that has not ended; the first after the last.
    @discardableResult
    public func bringNext() -> Bool {
        let next = state.withLock { state in state.foreground.flatMap { GuestBoard.next(after: $0, state.members) } }
        return next.map(bring) ?? false
    }

    static func next(after index: Int, _ members: [Member]) -> Int? {
        (1...max(1, members.count)).lazy.map { (index + $0) % max(1, members.count) }
            .first { members.indices.contains($0) && !members[$0].hasEnded }
    }

    private func tellObservers() {
        for observer in state.withLock({ $0.observers }) { observer() }
    }

    // MARK: What machines say of themselves, by their seats

    func occupy(_ index: Int, _ machine: Machine) { state.withLock { $0.members[index].machine = machine } }

    func setMode(_ index: Int, _ mode: RunMode, quantum: UInt64) {
        change { state in
            state.members[index].mode = mode
            state.members[index].quantum = min(max(quantum, GuestBoard.quanta.lowerBound), GuestBoard.quanta.upperBound)
        }
    }

    func setBusy(_ index: Int, _ isBusy: Bool) {
        change { state in
            state.members[index].isBusy = isBusy
            // Who is being looked at does not wait behind the others for each of its answers.
            if isBusy, state.foreground == index { state.turn.prefer(index) }
        }
    }

    /// The next one comes to the foreground if it was there.
    func end(_ index: Int) {
        let isForeground = change { state in
            guard !state.members[index].hasEnded else { return false }
            state.members[index].hasEnded = true
            state.members[index].isBusy = false
            guard state.foreground == index else { return false }
            state.foreground = GuestBoard.next(after: index, state.members)
            return true
        }
        if isForeground { tellObservers() }
    }

    // MARK: Who may run

    /// Makes a change, and gives and withdraws rights as it asks for.
    @discardableResult
    func change<R: Sendable>(_ body: (inout State) -> sending R) -> R {
        let (result, signals, mustTime) = state.withLock { state in
            let result = body(&state)
            let (signals, mustTime) = settle(&state)
            return (result, signals, mustTime)
        }
        carryOut(signals)
        if mustTime { clock.wake(for: self) }
        return result
    }

    struct Signal: Sendable {
        var machine: Machine
        var mayRun: Bool
    }

    func carryOut(_ signals: [Signal]) {
        for signal in signals { signal.machine.rightChanged(signal.mayRun) }
    }

    /// What changes, and whether the clock of turns must look again.
    func settle(_ state: inout State) -> ([Signal], Bool) {
        let mustTime = state.turn.settle(state.members, now: ch_monotonic())
        var signals: [Signal] = []
        for (index, member) in state.members.enumerated() {
            let mayRun = GuestBoard.mayRun(index, state)
            guard (ch_load(rights + index) != 0) != mayRun else { continue }
            ch_store(rights + index, mayRun ? 1 : 0)
            if let machine = member.machine { signals.append(Signal(machine: machine, mayRun: mayRun)) }
        }
        return (signals, mustTime)
    }

    private static func mayRun(_ index: Int, _ state: State) -> Bool {
        let member = state.members[index]
        switch member.mode {
        case _ where member.hasEnded: return true
        case .always: return true
        case .foreground: return state.foreground == index
        // Who has nothing to do needs no turn: its clock goes on, until an interrupt wakes it.
        case .turn: return !member.isBusy || state.turn.holder == index
        }
    }
}

/// A machine's place on the board.
public struct GuestSeat: Sendable {
    public let board: GuestBoard
    /// From 0.
    public let index: Int

    var mayRun: Bool { ch_load(board.rights + index) != 0 }

    func setBusy(_ isBusy: Bool) { board.setBusy(index, isBusy) }

    /// The machine has ended, or will never begin.
    public func end() { board.end(index) }
}
