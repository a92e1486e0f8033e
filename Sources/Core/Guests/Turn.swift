// Turns: who of the guests that run in turn has it, and who comes next.

import CHost
import Glibc
import Synchronization

/// The one turn of all guests of the mode `turn`: decisions only, without time of its own.
struct Turn {
    /// nil: none of them has anything to do.
    private(set) var holder: Int?
    /// Those that wait, the next one first.
    private(set) var queue: [Int] = []
    /// Monotonic ns of the host: when the holder must give it up, if others wait.
    private(set) var end: UInt64 = 0
    /// Whoever asked for it was told of no deadline yet that is as early.
    private var announced = UInt64.max

    /// Puts a guest before the others that wait; it need not wait yet.
    mutating func prefer(_ index: Int) {
        queue.removeAll { $0 == index }
        if holder != index { queue.insert(index, at: 0) }
    }

    /// Whoever has been brought to the foreground has the turn at once; who had it comes next.
    mutating func seize(_ index: Int, _ members: [GuestBoard.Member], now: UInt64) {
        prefer(index)
        guard let holder, holder != index, Turn.takesPart(members[index]) else { return }
        queue.insert(holder, at: 1)
        pass(members, now: now)
    }

    private static func takesPart(_ member: GuestBoard.Member) -> Bool {
        member.mode == .turn && member.isBusy && !member.hasEnded
    }

    /// Brings holder and queue into line with what the members say. True: the clock must be looked at anew.
    mutating func settle(_ members: [GuestBoard.Member], now: UInt64) -> Bool {
        func takesPart(_ index: Int) -> Bool { Turn.takesPart(members[index]) }
        queue.removeAll { !takesPart($0) }
        if let holder, !takesPart(holder) { self.holder = nil }
        for index in members.indices where takesPart(index) && holder != index && !queue.contains(index) {
            queue.append(index)
        }
        if holder == nil, !queue.isEmpty { pass(members, now: now) }
        guard let deadline, deadline < announced else { return false }
        announced = deadline
        return true
    }

    /// The quantum is over: the next one's turn, if it is so.
    mutating func expire(_ members: [GuestBoard.Member], now: UInt64) {
        guard let holder, !queue.isEmpty, now >= end else { return }
        queue.append(holder)
        pass(members, now: now)
    }

    private mutating func pass(_ members: [GuestBoard.Member], now: UInt64) {
        let next = queue.removeFirst()
        holder = next
        end = now &+ members[next].quantum
    }

    /// When there is something to do; nil: nobody waits.
    var deadline: UInt64? { holder != nil && !queue.isEmpty ? end : nil }

    /// The clock sleeps until this time: it need not be woken for later ones.
    mutating func announce(_ deadline: UInt64?) { announced = deadline ?? .max }
}

/// The thread that ends turns. It begins when somebody waits for one, and ends once nobody has for a while.
final class TurnClock: Sendable {
    /// SAFETY: a word that the thread sleeps on; freed in deinit, when no thread holds this object.
    nonisolated(unsafe) private let word = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    private let isRunning = Mutex(false)
    private static let idleLimit: Int64 = 1_000_000_000

    init() { word.initialize(to: 0) }
    deinit { word.deallocate() }

    /// Something is to be done sooner than was thought.
    func wake(for board: GuestBoard) {
        _ = ch_add(word, 1)
        ch_wake(word)
        let mustBegin = isRunning.withLock { isRunning in
            defer { isRunning = true }
            return !isRunning
        }
        guard mustBegin else { return }
        let (thread, _) = startThread("turns", stackSize: 256 << 10) { [self] in run(board) }
        guard let thread else {
            // Without it turns end only where guests halt. The next who waits tries again.
            isRunning.withLock { $0 = false }
            board.state.withLock { $0.turn.announce(nil) }
            return
        }
        pthread_detach(thread)
    }

    private func run(_ board: GuestBoard) {
        while true {
            let seen = ch_load(word)
            let (signals, deadline) = board.expireTurn()
            board.carryOut(signals)
            if let deadline {
                let now = ch_monotonic()
                if deadline > now { ch_wait(word, seen, Int64(clamping: deadline - now)) }
                continue
            }
            ch_wait(word, seen, TurnClock.idleLimit)
            let isOver = isRunning.withLock { isRunning in
                // Who wakes it changes the word first.
                guard ch_load(word) == seen else { return false }
                isRunning = false
                return true
            }
            if isOver { return }
        }
    }
}

extension GuestBoard {
    /// Ends the turn if it is over. Answers when to look again; nil: nobody waits.
    func expireTurn() -> ([Signal], UInt64?) {
        state.withLock { state in
            state.turn.expire(state.members, now: ch_monotonic())
            let (signals, _) = settle(&state)
            let deadline = state.turn.deadline
            state.turn.announce(deadline)
            return (signals, deadline)
        }
    }
}
