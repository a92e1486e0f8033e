import Core
import Glibc

/// A deferred access keeps the bench's thread until its answer comes. Here is a thread that then does what brings
/// answers: it lets throttled streams go on, completes disk requests, runs what was posted, fires timers; after a
/// second it cancels.
final class Deferral: @unchecked Sendable {
    private unowned(unsafe) let machine: Machine
    private let rescue: () -> Void
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    // Guarded by `lock`.
    private var mustEnd = false
    private var hasEnded = false
    private var isAccessing = false
    private var countBefore: UInt64 = 0

    /// `rescue` runs on this thread while the bench's waits; it has to take the machine's lock.
    init(_ machine: Machine, rescue: @escaping () -> Void) {
        self.machine = machine
        self.rescue = rescue
        // SAFETY: freed in deinit, after the thread has ended.
        pthread_mutex_init(lock, nil)
        pthread_cond_init(wake, nil)
        start()
    }

    deinit {
        lock.deallocate()
        wake.deallocate()
    }

    private func start() {
        var thread = pthread_t()
        // SAFETY: the reference is released by the new thread.
        let raw = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { raw in
                let deferral = Unmanaged<Deferral>.fromOpaque(raw.unsafelyUnwrapped).takeRetainedValue()
                deferral.run()
                return nil
            }, raw)
        if status == 0 { pthread_detach(thread) } else { hasEnded = true }
    }

    /// Around every access, from the bench's thread.
    @inline(__always)
    func watch<R>(_ body: () -> R) -> R {
        set(true)
        defer { set(false) }
        return body()
    }

    private func set(_ on: Bool) {
        pthread_mutex_lock(lock)
        isAccessing = on
        if on { countBefore = machine.deferredCount }
        pthread_mutex_unlock(lock)
    }

    func end() {
        pthread_mutex_lock(lock)
        mustEnd = true
        pthread_cond_broadcast(wake)
        while !hasEnded { pthread_cond_wait(wake, lock) }
        pthread_mutex_unlock(lock)
    }

    private func run() {
        var rounds = 0
        var served: UInt64 = 0
        // Looks often where there was a deferral lately.
        var haste = 0
        pthread_mutex_lock(lock)
        while !mustEnd {
            let count = machine.deferredCount
            if isAccessing, count != countBefore {
                pthread_mutex_unlock(lock)
                if count != served { rounds = 0 }
                served = count
                rounds += 1
                haste = 200
                if rounds == 1 { rescue() }
                if rounds > 1 { machine.runPosted() }
                if rounds > 20 { _ = machine.advance(to: machine.now &+ 1_000_000, limit: 100) }
                if rounds > 1000 { machine.cancelDeferred() }
                pthread_mutex_lock(lock)
            }
            haste -= haste > 0 ? 1 : 0
            sleepLocked(haste > 0 && rounds < 3 ? 50_000 : 1_000_000)
        }
        hasEnded = true
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(lock)
    }

    private func sleepLocked(_ nanoseconds: Int) {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_nsec += nanoseconds
        if until.tv_nsec >= 1_000_000_000 {
            until.tv_nsec -= 1_000_000_000
            until.tv_sec += 1
        }
        pthread_cond_timedwait(wake, lock, &until)
    }
}
