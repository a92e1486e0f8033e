// The machine's lock, and the value that says that it is held.
// SAFETY for this file: `host` is the machine's own, and outlives whoever has the lock.

import CHost

/// The one lock of a machine, under which all callbacks run. Fair, and not to be taken twice by one thread. Nobody else touches
/// `ch_machine.lock` and `ch_machine.holder`: who has it is on record for just as long, and wires, services and crash reports decide by that.
struct MachineLock {
    private let host: UnsafeMutablePointer<ch_machine>

    init(of host: UnsafeMutablePointer<ch_machine>) { self.host = host }

    /// `thread`: the calling one, where the caller has its number at hand.
    @inline(__always)
    func held<R, E: Error>(
        by thread: Int32 = ch_thread_id(), _ body: (borrowing HeldLock) throws(E) -> R
    ) throws(E) -> R {
        let lock = HeldLock(host: host, thread: thread)
        lock.acquire()
        defer { lock.release() }
        return try body(lock)
    }

    /// Who has it, as `ch_thread_id` numbers threads; 0: nobody. What another thread is told is old already.
    var holder: Int32 { host.pointee.holder }

    /// Whether the calling thread has it.
    var isMine: Bool { holder == ch_thread_id() }
}

/// The lock, held by the calling thread. A function that takes one may give the lock up for a while: whoever calls none that does has it throughout,
/// and plugins' callbacks, which are given none, are never left without it.
struct HeldLock: ~Copyable {
    fileprivate let host: UnsafeMutablePointer<ch_machine>
    fileprivate let thread: Int32

    /// Runs `body` without the lock, and takes it again: all that it guards may have changed.
    func dropped<R>(_ body: () -> R) -> R {
        release()
        defer { acquire() }
        return body()
    }

    @inline(__always)
    fileprivate func acquire() {
        ch_lock_acquire(&host.pointee.lock)
        host.pointee.holder = thread
    }

    @inline(__always)
    fileprivate func release() {
        host.pointee.holder = 0
        ch_lock_release(&host.pointee.lock)
    }
}
