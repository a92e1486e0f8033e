import CHost
import Glibc

/// Starts a detached thread with a name for debuggers (at most 15 bytes) and a stack of 1 MiB.
func spawnThread(_ name: String, _ body: @escaping @Sendable () -> Void) throws(MachineError) {
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
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 1 << 20)
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
    if status != 0 {
        box.release()
        throw MachineError("starting the thread '\(name)': \(String(cString: strerror(status)))", status: 6)
    }
}
