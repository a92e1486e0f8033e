import Glibc

/// A mutex with a condition: what a backend's own thread and its callbacks share.
public final class Monitor: @unchecked Sendable {
    // SAFETY: allocated once, initialised before use, freed when nobody holds the monitor any more.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    public init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    public func locked<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Wakes all that wait.
    public func wake() { pthread_cond_broadcast(condition) }

    /// Only inside `locked`: lets the others in until one wakes it. It may also return for no reason.
    public func wait() { pthread_cond_wait(condition, mutex) }

    /// As `wait`, at most until `deadline` of the host's monotonic clock. False: that has passed.
    public func wait(until deadline: Deadline) -> Bool {
        var time = deadline.time
        return pthread_cond_timedwait(condition, mutex, &time) != ETIMEDOUT
    }

    /// A point on the host's monotonic clock: for waiting on the host, never seen by a guest.
    public struct Deadline: Sendable {
        let time: timespec

        public init(milliseconds: Int) {
            var now = timespec()
            clock_gettime(CLOCK_MONOTONIC, &now)
            now.tv_sec += milliseconds / 1000
            now.tv_nsec += milliseconds % 1000 * 1_000_000
            if now.tv_nsec >= 1_000_000_000 {
                now.tv_sec += 1
                now.tv_nsec -= 1_000_000_000
            }
            time = now
        }
    }
}
