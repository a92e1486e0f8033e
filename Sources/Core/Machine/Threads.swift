import CHost
import Glibc

/// Starts a detached thread with a name for debuggers (at most 15 bytes) and a stack of 1 MiB.
func spawnThread(_ name: String, _ body: @escaping @Sendable () -> Void) throws(MachineError) {
    let (thread, code) = startThread(name, stackSize: 1 << 20, body)
    guard let thread else {
        throw MachineError("starting the thread '\(name)': \(String(cString: strerror(code)))", status: 6)
    }
    pthread_detach(thread)
}

/// To be joined or detached; nil, and what pthread_create answered: there is none to be had.
package func startThread(
    _ name: String, stackSize: Int? = nil, _ body: @escaping @Sendable () -> Void
) -> (thread: pthread_t?, code: Int32) {
    final class Box {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    if let stackSize { pthread_attr_setstacksize(&attributes, stackSize) }
    var thread = pthread_t()
    // SAFETY: the box is released by the new thread, or below.
    let box = Unmanaged.passRetained(Box(name, body))
    let status = pthread_create(
        &thread, &attributes,
        { raw in
            let box = Unmanaged<Box>.fromOpaque(raw.unsafelyUnwrapped).takeRetainedValue()
            ch_thread_name(box.name)
            box.body()
            return nil
        }, box.toOpaque())
    pthread_attr_destroy(&attributes)
    if status == 0 { return (thread, 0) }
    box.release()
    return (nil, status)
}

/// Set once, by another thread.
final class Flag: @unchecked Sendable {
    // SAFETY: one word, accessed atomically.
    private let word = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    init() { word.initialize(to: 0) }
    deinit { word.deallocate() }

    func set() {
        ch_store(word, 1)
        ch_wake(word)
    }

    var isSet: Bool { ch_load(word) != 0 }

    /// False: `goOn` said no before it was set.
    func wait(while goOn: () -> Bool) -> Bool {
        while ch_load(word) == 0 {
            if !goOn() { return ch_load(word) != 0 }
            ch_wait(word, 0, 50_000_000)
        }
        return true
    }
}
