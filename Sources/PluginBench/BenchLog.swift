import Core
import Glibc

/// What the core and the plugin log at level error, from any thread.
final class BenchLog: @unchecked Sendable {
    // SAFETY: freed in deinit; guards `errors`.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var errors: [String] = []

    init() { pthread_mutex_init(lock, nil) }
    deinit { lock.deallocate() }

    var function: MachineOptions.Log {
        { [self] level, _, text in
            guard level == .error else { return }
            pthread_mutex_lock(lock)
            if errors.count < 100 { errors.append(text) }
            pthread_mutex_unlock(lock)
        }
    }

    func takeErrors() -> [String] {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        guard !errors.isEmpty else { return [] }
        let taken = errors
        errors = []
        return taken
    }
}

/// A terminal that takes everything.
final class BenchConsole: ConsoleProvider, @unchecked Sendable {
    // Used with the machine's lock held.
    private let board: Board

    init(_ board: Board) { self.board = board }

    func open(_ client: ConsoleClient) {}
    func write(_ client: ConsoleClient, _ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { board.record(.console, 0, UInt64(byte)) }
    }
    func ready(_ client: ConsoleClient, room: UInt64) {}
    func close(_ client: ConsoleClient) {}
}

func sleepShortly(_ microseconds: UInt32) { usleep(microseconds) }
