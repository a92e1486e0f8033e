import CBackendSupport
import Glibc

/// A thread of a backend's own, for work that may block. It takes no signals but those of its own faults.
public final class WorkerThread: @unchecked Sendable {
    private let monitor = Monitor()
    /// Guarded by `monitor`.
    private var hasEnded = false

    private final class Start {
        let name: String
        var body: (@Sendable () -> Void)?
        let thread: WorkerThread

        init(_ name: String, _ thread: WorkerThread, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.thread = thread
            self.body = body
        }
    }

    /// `name`: at most 15 bytes are shown.
    public init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(HostCallError) {
        let start = Unmanaged.passRetained(Start(name, self, body))
        var id = pthread_t()
        let code = pthread_create(
            &id, nil,
            { raw in
                // SAFETY: retained above for this thread.
                let start = Unmanaged<Start>.fromOpaque(raw!).takeRetainedValue()
                bh_thread_begin(start.name)
                start.body?()
                // What the body held, such as a locked descriptor, is let go before `join` returns.
                start.body = nil
                start.thread.end()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw HostCallError(code: code)
        }
        // `join` waits for `hasEnded`: a host call that never returns must not keep the process from its end.
        pthread_detach(id)
    }

    private func end() {
        monitor.locked {
            hasEnded = true
            monitor.wake()
        }
    }

    /// Waits for its end. False: it is still in a host call after `milliseconds`, and goes on alone.
    public func join(milliseconds: Int) -> Bool {
        let deadline = Monitor.Deadline(milliseconds: milliseconds)
        return monitor.locked {
            while !hasEnded {
                if !monitor.wait(until: deadline) { return hasEnded }
            }
            return true
        }
    }
}
