// How a deferred access gets its answer on the bench: by the thread that waits for it, which does meanwhile what brings answers.

import CHost
import Core

/// Whether a class's answers come as virtual time passes, or from its own threads: found out once for all of its instances, so that
/// time passes only where it must. Used from the bench's thread.
final class AnswerHabits: @unchecked Sendable {
    private var byClock = 0
    private var byHost = 0
    private var owed = 0

    /// Host nanoseconds for which an answer of the host's is waited for before the clock moves.
    var hostsTurn: UInt64 { byHost > 0 ? 1_000_000_000 : byClock >= 3 || owed > 0 ? 0 : 30_000_000 }

    /// The longest wait, where `most` is all patience: a class that is known to owe answers has had it.
    func patience(_ most: UInt64) -> UInt64 { owed > 0 ? min(most, 50_000_000) : most }

    func note(clockHasMoved: Bool) { if clockHasMoved { byClock += 1 } else { byHost += 1 } }
    func noteOwed() { owed += 1 }
}

/// The wait for one answer.
struct AnswerWait {
    var rounds = 0
    let began = monotonic()
    /// Timers fired.
    var timers = 0

    /// Timers that are fired for one answer, and virtual nanoseconds that pass at most.
    static let timerLimit = 2000
    static let timeLimit: UInt64 = 60_000_000_000
}

extension Bench {
    /// Around an access of the guest's: `bringAnswer` serves it where it is deferred.
    func awaitingAnswers(_ operation: Operation, _ body: () -> Void) {
        wait = AnswerWait()
        timeBefore = now
        isOwed = false
        body()
        if isOwed {
            fault(
                "its answer to '\(operation.text)' was BP_DEFERRED, and no completion has come: timers were fired, posts delivered "
                    + "and threads waited for")
        } else if wait.rounds > 0 {
            plan.habits.note(clockHasMoved: now != timeBefore)
        }
    }

    /// One step toward the answer that the bench's thread waits for. False: it will not come.
    func bringAnswer() -> Bool {
        plan.journal?.beat()
        wait.rounds += 1
        if wait.rounds == 1 {
            releasePeers()
            machine.runPosted()
            return true
        }
        machine.serveHost(milliseconds: 0)
        let waited = monotonic() &- wait.began
        guard waited >= plan.habits.hostsTurn else {
            if wait.rounds > 3 { sleepShortly(20) }
            return true
        }
        if fireNextTimer() { return true }
        if wait.rounds > 3, waited >= (mayComeFromHost ? plan.habits.patience(plan.patience) : 0) {
            isOwed = true
            plan.habits.noteOwed()
            return false
        }
        if wait.rounds > 3 { sleepShortly(20) }
        return true
    }

    /// False: no timer is set that an answer could come from.
    private func fireNextTimer() -> Bool {
        guard wait.timers < AnswerWait.timerLimit, let next = machine.nextTimer,
            next <= timeBefore &+ AnswerWait.timeLimit
        else { return false }
        wait.timers += max(1, machine.advance(to: max(next, now), limit: 8).fired)
        return true
    }

    /// Whether anything but the clock can bring an answer: a thread of the plugin's, or a descriptor.
    private var mayComeFromHost: Bool {
        if machine.watchesDescriptors { return true }
        return ch_thread_count() > 1
    }

    /// Lets go on what a deferred access may wait for.
    private func releasePeers() {
        machine.perform(as: streams) {
            for index in 0..<plan.slotStreams where board.state.streams[index].isThrottled {
                board.state.streams[index].isThrottled = false
                board.streamPeers?.throttle(index, false)
            }
        }
        machine.perform(as: disks) { while board.diskPeers?.complete(well: true) == true {} }
    }
}
