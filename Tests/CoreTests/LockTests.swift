import CHost
import Glibc
import Testing

/// The ticket lock, whose release is a plain store.
@Suite(.serialized) struct LockTests {
    private final class Shared: @unchecked Sendable {
        let lock = UnsafeMutablePointer<ch_lock>.allocate(capacity: 1)
        var count = 0
        init() { lock.initialize(to: ch_lock()) }
        deinit { lock.deallocate() }
    }

    private func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<count {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        startThread {
                            body(index)
                            continuation.resume()
                        }
                    }
                }
            }
        }
    }

    /// Every increment is kept, and everybody comes to the end: a waiter that is not woken would hang the test.
    @Test(.timeLimit(.minutes(5))) func nothingIsLostAndNobodySleepsForEver() async {
        let shared = Shared()
        await inThreads(6) { _ in
            for round in 0..<20_000 {
                ch_lock_acquire(shared.lock)
                shared.count += 1
                // Long enough, now and then, for the waiters to go to sleep.
                if round % 500 == 0 { usleep(200) }
                ch_lock_release(shared.lock)
            }
        }
        #expect(shared.count == 120_000)
        #expect(shared.lock.pointee.sleepers == 0)
        #expect(shared.lock.pointee.next == shared.lock.pointee.serving)
    }

    /// One thread only gives back and takes again, the others sleep: the order of tickets lets each of them in.
    @Test(.timeLimit(.minutes(5))) func aThreadThatSpinsOnTheLockCannotStarveOthers() async {
        let shared = Shared()
        await inThreads(3) { index in
            for _ in 0..<(index == 0 ? 3000 : 1000) {
                ch_lock_acquire(shared.lock)
                shared.count += 1
                if index == 0 { usleep(20) }
                ch_lock_release(shared.lock)
            }
        }
        #expect(shared.count == 5000)
    }
}

private final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func startThread(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let raw = Unmanaged.passRetained(Box(body)).toOpaque()
    let status = pthread_create(
        &thread, nil,
        { raw in
            Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body()
            return nil
        }, raw)
    precondition(status == 0)
    pthread_detach(thread)
}
