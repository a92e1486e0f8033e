import CHost
import Core

/// What other threads want changed in a CPU's memory, until its own thread takes it over.
final class Mailbox: @unchecked Sendable {
    struct Mail {
        var memory: [MappedMemory]?
        /// Pages of decoded code that somebody else wrote to.
        var written: [UInt64] = []
    }

    // SAFETY: allocated here, freed in deinit; `mail` is touched with the lock held.
    private let lock = UnsafeMutablePointer<ch_lock>.allocate(capacity: 1)
    private var mail = Mail()

    init() { lock.initialize(to: ch_lock()) }
    deinit { lock.deallocate() }

    func put(memory: [MappedMemory]) {
        ch_lock_acquire(lock)
        mail.memory = memory
        ch_lock_release(lock)
    }

    func put(written page: UInt64) {
        ch_lock_acquire(lock)
        if !mail.written.contains(page) { mail.written.append(page) }
        ch_lock_release(lock)
    }

    func take() -> Mail {
        ch_lock_acquire(lock)
        defer { ch_lock_release(lock) }
        let taken = mail
        mail = Mail()
        return taken
    }
}
