import Glibc
import Synchronization

/// Runs what it is given in order on a thread of its own. Requests wait for machines here, and nobody who reads a descriptor
/// waits for them. The thread is there from the start: when something must be ended, the host may have none left to give.
final class SerialThread: Sendable {
    private struct State {
        var work: [@Sendable () -> Void] = []
        var thread: pthread_t?
        var mustEnd = false
    }

    private let state = Mutex(State())
    private let gate = Gate()

    init(_ name: String) throws(ControlError) {
        let thread = try Threads.start(name) { [self] in loop() }
        state.withLock { $0.thread = thread }
    }

    /// False: it has ended.
    @discardableResult
    func run(_ body: @escaping @Sendable () -> Void) -> Bool {
        let isTaken = state.withLock { state in
            guard !state.mustEnd else { return false }
            state.work.append(body)
            return true
        }
        gate.open()
        return isTaken
    }

    /// Runs what is left, and ends the thread.
    func finish() {
        let thread = state.withLock { state in
            state.mustEnd = true
            defer { state.thread = nil }
            return state.thread
        }
        gate.open()
        if let thread { pthread_join(thread, nil) }
    }

    private func loop() {
        while true {
            let seen = gate.value
            let (work, mustEnd) = state.withLock { state in
                defer { state.work = [] }
                return (state.work, state.mustEnd)
            }
            for body in work { body() }
            if work.isEmpty {
                if mustEnd { return }
                gate.wait(past: seen, -1)
            }
        }
    }
}
