import Glibc

/// The host's monotonic clock: for what concerns the host alone, never seen by a guest.
public enum HostClock {
    /// Nanoseconds.
    public static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    public static var milliseconds: Int { Int(now / 1_000_000) }
}
