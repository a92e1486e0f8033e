import CHost
import Glibc

enum Threads {
    private final class Box {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// `name`: at most 15 bytes, for debuggers. To be joined or detached.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ControlError) -> pthread_t {
        var thread = pthread_t()
        // SAFETY: the box is released by the new thread, or below.
        let box = Unmanaged.passRetained(Box(name, body))
        let code = pthread_create(
            &thread, nil,
            { raw in
                let box = Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue()
                ch_thread_name(box.name)
                ch_thread_begin(nil)
                box.body()
                ch_thread_end()
                return nil
            }, box.toOpaque())
        if code != 0 {
            box.release()
            throw ControlError("starting the thread '\(name)'", code: code)
        }
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
