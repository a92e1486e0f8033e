import CHost
import Core
import Glibc

enum Threads {
    /// `name`: at most 15 bytes, for debuggers. To be joined or detached.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ControlError) -> pthread_t {
        let (thread, code) = startThread(name) {
            ch_thread_begin(nil)
            body()
            ch_thread_end()
        }
        guard let thread else { throw ControlError("starting the thread '\(name)'", code: code) }
        return thread
    }
}

/// Counts up; others sleep until it has.
final class Gate: Sendable {
    // SAFETY: one word, accessed atomically, freed in deinit.
    private nonisolated(unsafe) let word = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)

    init() { word.initialize(to: 0) }
    deinit { word.deallocate() }

    var value: UInt32 { ch_load(word) }

    func open() {
        ch_store(word, ch_load(word) &+ 1)
        ch_wake(word)
    }

    /// Returns at once if the count is no longer `seen`; after `nanoseconds` (negative: no limit) in any case.
    func wait(past seen: UInt32, _ nanoseconds: Int64) { ch_wait(word, seen, nanoseconds) }
}
