// Where code was fetched from. A page that is run from is walked once between two flushes, however often blocks are looked up, so that accessed
// bits do not depend on what is decoded: entries that others drive out are kept aside.

final class FetchTLB {
    private struct Entry {
        var page: UInt64
        var physical: UInt64
        var privilege: UInt64
        var isGlobal: Bool
        static let empty = Entry(page: 1, physical: 0, privilege: 0, isGlobal: false)
    }

    private static let count = 256
    /// SAFETY: `count` entries.
    private let entries: UnsafeMutablePointer<Entry>
    /// By page and privilege.
    private var aside: [UInt64: Entry] = [:]
    private static let asideLimit = 1 << 16
    /// Parts of 2 MiB of large pages that were fetched from.
    private var large: Set<UInt64> = []
    /// A page larger than 4 MiB was fetched from.
    private var hasHuge = false
    /// Supervisor code was fetched that is not global: since the last flush of both kinds.
    private(set) var hasPrivateSupervisor = false
    /// What the last walk has found.
    var last: PageTranslation?

    init() {
        entries = .allocate(capacity: Self.count)
        entries.initialize(repeating: .empty, count: Self.count)
    }

    deinit { entries.deallocate() }

    private func place(_ linear: UInt64) -> UnsafeMutablePointer<Entry> {
        entries + Int(truncatingIfNeeded: linear >> 12 & UInt64(Self.count - 1))
    }

    func find(_ linear: UInt64, _ privilege: Privilege) -> UInt64? {
        let entry = place(linear)
        if entry.pointee.page == linear & ~0xfff, entry.pointee.privilege == UInt64(privilege.rawValue) {
            return entry.pointee.physical | linear & 0xfff
        }
        if aside.isEmpty { return nil }
        guard let found = aside.removeValue(forKey: linear & ~0xfff | UInt64(privilege.rawValue)) else { return nil }
        replace(entry, found)
        return found.physical | linear & 0xfff
    }

    /// After a walk, which is `last`.
    func put(_ linear: UInt64, _ physical: UInt64, _ privilege: Privilege) {
        let page = last
        last = nil
        let isGlobal = page?.isGlobal ?? false
        if privilege != .user, !isGlobal { hasPrivateSupervisor = true }
        if let shift = page?.shift, shift > 12 {
            if shift > 22 {
                hasHuge = true
            } else {
                let first = (linear >> shift) << (shift - 21)
                for part in 0..<UInt64(1) << (shift - 21) { large.insert(first + part) }
            }
        }
        let entry = Entry(
            page: linear & ~0xfff, physical: physical & ~0xfff, privilege: UInt64(privilege.rawValue),
            isGlobal: isGlobal)
        replace(place(linear), entry)
    }

    private func replace(_ place: UnsafeMutablePointer<Entry>, _ entry: Entry) {
        if place.pointee.page & 1 == 0, aside.count < Self.asideLimit {
            aside[place.pointee.page | place.pointee.privilege] = place.pointee
        }
        place.pointee = entry
    }

    func flush(keepsGlobal: Bool) {
        for index in 0..<Self.count where !(keepsGlobal && entries[index].isGlobal) { entries[index] = .empty }
        if !aside.isEmpty {
            if keepsGlobal {
                aside = aside.filter { $0.value.isGlobal }
            } else {
                aside.removeAll(keepingCapacity: true)
            }
        }
        hasPrivateSupervisor = false
        if keepsGlobal { return }
        large.removeAll(keepingCapacity: true)
        hasHuge = false
    }

    /// INVLPG. true: code was fetched from the page, or may have been.
    func drop(_ linear: UInt64) -> Bool {
        let page = linear & ~0xfff
        if hasHuge || large.contains(linear >> 21) {
            flush(keepsGlobal: false)
            return true
        }
        var isKnown = false
        if place(linear).pointee.page == page {
            place(linear).pointee = .empty
            isKnown = true
        }
        if !aside.isEmpty {
            for privilege in 0..<Privilege.count where aside.removeValue(forKey: page | UInt64(privilege)) != nil {
                isKnown = true
            }
        }
        return isKnown
    }

    /// The memory behind guest-physical addresses has changed.
    func update(_ range: ClosedRange<UInt64>) {
        for index in 0..<Self.count where range.contains(entries[index].physical) { entries[index] = .empty }
        if !aside.isEmpty { aside = aside.filter { !range.contains($0.value.physical) } }
    }
}
