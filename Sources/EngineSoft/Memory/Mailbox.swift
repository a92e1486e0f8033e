import CHost
import Core

/// What other threads want changed in a CPU's memory, until its own thread takes it over.
final class Mailbox: @unchecked Sendable {
    struct Mail {
        /// Ranges of whole pages and what of them is memory now, in order.
        var memory: [(range: ClosedRange<UInt64>, pieces: [MappedMemory])] = []
        /// Pages with decoded code that somebody else wrote to, by their numbers in PageFlags.
        var written: [UInt64] = []
    }

    /// A CPU that stands still takes over nothing: beyond so many changes it gets the whole map instead.
    private static let changeLimit = 256

    // SAFETY: allocated here, freed in deinit; `mail` is touched with the lock held.
    private let lock = UnsafeMutablePointer<ch_lock>.allocate(capacity: 1)
    private var mail = Mail()
    /// Of the next mail: a guest may give back a gigabyte of them at once.
    private var written: Set<UInt64> = []

    init() { lock.initialize(to: ch_lock()) }
    deinit { lock.deallocate() }

    /// `whole`: the map after this change.
    func put(_ range: ClosedRange<UInt64>, _ pieces: [MappedMemory], whole: [MappedMemory]) {
        ch_lock_acquire(lock)
        if mail.memory.count >= Self.changeLimit {
            mail.memory = [(0...UInt64.max, whole)]
        } else {
            mail.memory.append((range, pieces))
        }
        ch_lock_release(lock)
    }

    func put(written page: UInt64) {
        ch_lock_acquire(lock)
        written.insert(page)
        ch_lock_release(lock)
    }

    func take() -> Mail {
        ch_lock_acquire(lock)
        defer { ch_lock_release(lock) }
        var taken = mail
        if !written.isEmpty { taken.written = written.sorted() }
        (mail, written) = (Mail(), [])
        return taken
    }
}
