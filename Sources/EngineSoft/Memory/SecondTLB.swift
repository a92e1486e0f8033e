// Behind the direct-mapped TLB: translations that pages with the same slot have driven out. A miss of the first one is then no walk of page tables,
// which costs ten times as much; and whether two pages of a program share a slot makes no two speeds.

final class SecondTLB {
    private struct Entry {
        /// The linear page with the privilege, and the generation in which it holds.
        var key: UInt64
        var generation: UInt64
        var hostPage: UInt64
        var physical: UInt64
    }

    private static let count = 1 << 14
    /// SAFETY: `count` entries; `slots` has room for every slot of the first TLB.
    private let entries: UnsafeMutablePointer<Entry>
    /// Of translations that are not global, and of global ones.
    private var generations: (own: UInt64, global: UInt64) = (1, 2)
    /// Slots of the first TLB that have got translations that are not global, each once.
    private let slots: UnsafeMutablePointer<Int32>
    private let isNoted: UnsafeMutablePointer<Bool>
    private var slotCount = 0
    /// Parts of 2 MiB that have got translations of large pages, by their low bits.
    private var large = [UInt64](repeating: 0, count: 64)
    private static let slotLimit = TLBEntry.count * Privilege.count

    init() {
        entries = .allocate(capacity: Self.count)
        entries.initialize(repeating: Entry(key: 0, generation: 0, hostPage: 0, physical: 0), count: Self.count)
        slots = .allocate(capacity: Self.slotLimit)
        isNoted = .allocate(capacity: Self.slotLimit)
        isNoted.initialize(repeating: false, count: Self.slotLimit)
    }

    deinit {
        entries.deallocate()
        slots.deallocate()
        isNoted.deallocate()
    }

    private func place(_ page: UInt64, _ privilege: Int) -> UnsafeMutablePointer<Entry> {
        let mixed = page >> 12 ^ page >> 26 ^ UInt64(privilege) << 13
        return entries + Int(truncatingIfNeeded: mixed & UInt64(Self.count - 1))
    }

    func find(_ page: UInt64, _ privilege: Privilege) -> TLBEntry? {
        let entry = place(page, privilege.rawValue).pointee
        guard entry.key == page | UInt64(privilege.rawValue) else { return nil }
        let generation = entry.physical & 1 != 0 ? generations.global : generations.own
        guard entry.generation == generation else { return nil }
        return TLBEntry(read: page, write: page, hostPage: entry.hostPage, physical: entry.physical)
    }

    /// A page that may be read.
    func put(_ page: UInt64, _ privilege: Privilege, _ entry: TLBEntry) {
        place(page, privilege.rawValue).pointee = Entry(
            key: page | UInt64(privilege.rawValue),
            generation: entry.physical & 1 != 0 ? generations.global : generations.own, hostPage: entry.hostPage,
            physical: entry.physical)
    }

    func drop(_ linear: UInt64) {
        for privilege in 0..<Privilege.count {
            let place = place(linear & ~0xfff, privilege)
            if place.pointee.key & ~0xfff == linear & ~0xfff { place.pointee.generation = 0 }
        }
    }

    func flush(keepsGlobal: Bool) {
        generations.own &+= 2
        if keepsGlobal { return }
        generations.global &+= 2
        large = Array(repeating: 0, count: 64)
    }

    // MARK: Large pages, which have an entry for each 4 KiB

    func noteLarge(_ linear: UInt64, shift: UInt64) {
        // Of 1 GiB and 512 parts: any may be meant.
        if shift > 22 { return large = Array(repeating: .max, count: 64) }
        for part in 0..<UInt64(1) << (shift - 21) {
            let number = ((linear >> shift) << (shift - 21)) + part
            large[Int(truncatingIfNeeded: number >> 6 & 63)] |= 1 << (number & 63)
        }
    }

    /// There may be entries of a large page around an address.
    func isLarge(_ linear: UInt64) -> Bool {
        let number = linear >> 21
        return large[Int(truncatingIfNeeded: number >> 6 & 63)] >> (number & 63) & 1 != 0
    }

    // MARK: Slots of the first TLB

    func note(_ entry: TLBEntry, _ slot: Int) {
        guard entry.physical & 1 == 0, !isNoted[slot] else { return }
        isNoted[slot] = true
        slots[slotCount] = Int32(truncatingIfNeeded: slot)
        slotCount += 1
    }

    /// All that may have a translation that is not global; they are forgotten.
    func forEachPrivate(_ body: (Int) -> Void) {
        for index in 0..<slotCount {
            let slot = Int(slots[index])
            isNoted[slot] = false
            body(slot)
        }
        slotCount = 0
    }
}
