// What is known of each page of the memory behind a machine, in one table that the core and its engines share.
// SAFETY for this file: one mapping of address space, made in init and unmapped in deinit; bytes are read and changed atomically, and
// every index is checked against `pageCount`.

import CHost
import Glibc

/// A byte for each page of 4096 bytes of *backing memory*: the machine's RAM first, from page 0, then the regions of plugins, wherever the
/// guest sees them. Memory that is mapped twice has its flags once.
///
/// The table covers up to 2^28 pages (1 TiB); the host gives memory only to the parts that are touched. Any thread may read and
/// set flags.
public final class PageFlags: @unchecked Sendable {
    /// Decoded code came from the page: whoever else writes to it tells the engine (`Engine.didWriteCode`).
    public static let code: UInt8 = 1

    public static let pageCount: UInt64 = 1 << 28
    /// Pages of this table, at most `pageCount`.
    private let count: UInt64
    private let bytes: UnsafeMutablePointer<UInt8>

    /// Pages in use end here; `released` ones below it are given out again first.
    private var end: UInt64 = 0
    private var released: [(first: UInt64, count: UInt64)] = []

    /// nil: the host has no such address space left.
    public init?(pages: UInt64 = PageFlags.pageCount) {
        count = min(pages, Self.pageCount)
        let length = Int(count)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let memory = mmap(nil, length, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let memory, memory != MAP_FAILED else { return nil }
        bytes = memory.bindMemory(to: UInt8.self, capacity: length)
    }

    deinit { munmap(bytes, Int(count)) }

    // MARK: Flags; pages beyond the table have none

    @inline(__always)
    public func has(_ flag: UInt8, _ page: UInt64) -> Bool {
        page < count && ch_flags_load(bytes + Int(truncatingIfNeeded: page)) & flag != 0
    }

    /// False: it was set already, or there is no such page.
    @inline(__always)
    public func set(_ flag: UInt8, _ page: UInt64) -> Bool {
        page < count && ch_flags_set(bytes + Int(truncatingIfNeeded: page), flag) & flag == 0
    }

    @inline(__always)
    public func clear(_ flag: UInt8, _ page: UInt64) {
        guard page < count else { return }
        _ = ch_flags_clear(bytes + Int(truncatingIfNeeded: page), flag)
    }

    /// Calls `body` with the pages of `length` bytes from a backing address that have `flag`. What the caller has stored there is visible
    /// before the flags are looked at: who sets a flag and then reads the bytes misses nothing.
    public func forEach(_ flag: UInt8, from address: UInt64, length: UInt64, _ body: (UInt64) -> Void) {
        guard length > 0 else { return }
        ch_fence()
        var page = address >> 12
        let last = min((address &+ (length &- 1)) >> 12, count - 1)
        while page <= last {
            if has(flag, page) { body(page) }
            page += 1
        }
    }

    // MARK: Who has which pages; with the machine's lock held

    /// The first of `wanted` pages that nobody has; nil: the table is full.
    func reserve(_ wanted: UInt64) -> UInt64? {
        if let place = released.firstIndex(where: { $0.count >= wanted }) {
            let first = released[place].first
            released[place] = (first + wanted, released[place].count - wanted)
            if released[place].count == 0 { released.remove(at: place) }
            return first
        }
        guard wanted <= count - end else { return nil }
        defer { end += wanted }
        return end
    }

    /// The pages are nobody's any more; the caller has seen to it that no decoded code of theirs is left.
    func release(_ first: UInt64, _ count: UInt64) {
        guard count > 0 else { return }
        for page in first..<first + count where has(.max, page) { clear(.max, page) }
        released.append((first, count))
        released.sort { $0.first < $1.first }
        var joined: [(first: UInt64, count: UInt64)] = []
        for run in released {
            if let last = joined.last, last.first + last.count == run.first {
                joined[joined.count - 1].count += run.count
            } else {
                joined.append(run)
            }
        }
        if let last = joined.last, last.first + last.count == end {
            end = last.first
            joined.removeLast()
        }
        released = joined
    }
}
