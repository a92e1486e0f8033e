// A run that is done to see what it does, and undone: what it changes in memory is kept, a page at a time, from before its first write. What cannot be
// undone - devices, code that would be dropped - is not done, and said.
// SAFETY: pages are those of the memory map, which does not change during a trial.

/// Set as `SoftMemory.trial` for the time of a trial.
final class Trial {
    /// Contents from before the trial, by the host's address of the page.
    private(set) var pages: [UInt: [UInt8]] = [:]
    /// It came to something that cannot be undone: what it has done since counts for nothing.
    var isRefused = false

    /// Something in the page of the host's address may be written.
    func keep(_ host: UnsafeMutableRawPointer) {
        let page = UInt(bitPattern: host) & ~0xfff
        if pages[page] == nil { pages[page] = Self.contents(page) }
    }

    static func contents(_ page: UInt) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: page), count: 4096))
    }

    /// Puts memory back; the result is what the trial had made of it.
    func undo() -> [UInt: [UInt8]] {
        var made: [UInt: [UInt8]] = [:]
        for (page, before) in pages {
            made[page] = Self.contents(page)
            UnsafeMutableRawPointer(bitPattern: page)?.copyMemory(from: before, byteCount: before.count)
        }
        return made
    }
}

extension SoftMemory {
    /// No write goes by the TLB before its page has been kept.
    func begin(_ trial: Trial) {
        self.trial = trial
        let entries = tables.assumingMemoryBound(to: TLBEntry.self)
        for index in 0..<TLBEntry.count * Privilege.count { entries[index].write = TLBEntry.absent(index) }
    }

    /// What the trial has found out of the page tables may not be so.
    func endTrial() {
        trial = nil
        forgetWalks()
    }
}
