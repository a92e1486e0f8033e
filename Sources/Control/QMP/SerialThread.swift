import Glibc
import Synchronization

/// Runs what it is given in order on a thread of its own, which begins with the first. Commands wait for machines here, and
/// nobody who reads a descriptor waits for them.
final class SerialThread: Sendable {
    private struct State {
        var work: [@Sendable () -> Void] = []
        var thread: pthread_t?
        var mustEnd = false
    }

    private let state = Mutex(State())
    private let gate = Gate()
    private let name: String

    init(_ name: String) { self.name = name }

    /// False: it has ended, or the host gives no thread.
    @discardableResult
    func run(_ body: @escaping @Sendable () -> Void) -> Bool {
        let isTaken = state.withLock { state in
            guard !state.mustEnd else { return false }
            if state.thread == nil {
                guard let thread = try? Threads.start(name, { [self] in loop() }) else { return false }
                state.thread = thread
            }
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
