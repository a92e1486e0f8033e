import Core
import Glibc

/// Finds a shorter list that still fails: what follows the failing operation goes, then most of what leads to it, then ever smaller
/// pieces. `limit`: nanoseconds of the host's time.
public func shrink(
    _ operations: [Operation], _ first: Failure, limit: UInt64 = 4_000_000_000, fails: ([Operation]) -> Failure?
) -> (operations: [Operation], failure: Failure) {
    let deadline = monotonic() &+ limit
    var best = operations
    var failure = first
    func attempt(_ candidate: [Operation]) -> Bool {
        guard candidate.count < best.count, let found = fails(candidate) else { return false }
        best = candidate
        failure = found
        return true
    }
    if first.position < operations.count - 1 { _ = attempt(Array(operations[...first.position])) }
    // The last few often do: much is saved where each attempt takes long.
    let reached = best
    for count in sequence(first: 1, next: { $0 * 4 }).prefix(while: { $0 < reached.count }) {
        if monotonic() > deadline { return (best, failure) }
        let left = Array(reached.suffix(count))
        let mark = reached.contains(.mark) && !left.contains(.mark) ? [Operation.mark] : []
        if attempt(mark + left) { break }
    }
    var size = max(1, best.count / 2)
    while true {
        var start = 0
        var hasShrunk = false
        while start < best.count {
            if monotonic() > deadline { return (best, failure) }
            let end = min(best.count, start + size)
            // The mark is what the check is about.
            let kept = best[start..<end].contains(.mark) ? [Operation.mark] : []
            if attempt(Array(best[..<start]) + kept + Array(best[end...])) { hasShrunk = true } else { start += size }
        }
        if size == 1, !hasShrunk { return (best, failure) }
        size = max(1, size / 2)
    }
}

/// Host nanoseconds.
func monotonic() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
}
