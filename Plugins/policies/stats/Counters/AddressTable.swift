/// Counters by port or by 4 KiB page: open addressing with linear probing in a table that never grows. What does not
/// fit is counted in `other`. Nothing is allocated but at the first sight of an address.
struct AddressTable: Sendable {
    /// A port (0...0xffff) or a page, as one number; zero is no key.
    struct Key: Equatable, Sendable {
        let rawValue: UInt64
        private static let memory: UInt64 = 1 << 63

        init(port: UInt64) { rawValue = (port & 0xffff) &+ 1 }
        init(memory address: UInt64) { rawValue = Key.memory | address >> 12 }
        fileprivate init(rawValue: UInt64) { self.rawValue = rawValue }

        var isPort: Bool { rawValue & Key.memory == 0 }
        /// The port, or the page's first address.
        var address: UInt64 { isPort ? rawValue &- 1 : rawValue &<< 12 }

        /// Fibonacci hashing: the high bits of a product with 2^64 / golden ratio.
        var hash: UInt64 { (rawValue &* 0x9e37_79b9_7f4a_7c15) >> 32 }
    }

    struct Row: Sendable {
        fileprivate var key: UInt64 = 0
        var counter = Counter()
        /// Hash of the owner's name at first sight; 0: none.
        fileprivate var ownerHash: UInt64 = 0
        /// Position in `owners`, -1: none.
        fileprivate var owner: Int32 = -1
        /// Another owner answered here too.
        var hasMoreOwners = false

        var address: Key { Key(rawValue: key) }
    }

    private var slots: [Row]
    private var owners: [(hash: UInt64, name: String)] = []
    /// A quarter stays empty, so that a search ends soon.
    private let limit: Int
    private(set) var count = 0
    private(set) var other = Counter()

    /// `capacity`: slots, a power of two.
    init(capacity: Int) {
        slots = Array(repeating: Row(), count: capacity)
        limit = capacity / 4 * 3
    }

    /// `ownerHash` stands for the owner's name, 0: none; `owner` is asked for only at first sight.
    @inline(__always)
    mutating func note(_ key: Key, _ nanoseconds: UInt64, ownerHash: UInt64, owner: () -> String) {
        let mask = slots.count &- 1
        var index = Int(truncatingIfNeeded: key.hash) & mask
        while slots[index].key != key.rawValue {
            if slots[index].key == 0 {
                guard count < limit else { return other.note(nanoseconds) }
                insert(key, at: index, ownerHash, owner())
                break
            }
            index = (index &+ 1) & mask
        }
        slots[index].counter.note(nanoseconds)
        if slots[index].ownerHash != ownerHash { slots[index].hasMoreOwners = true }
    }

    @inline(never)
    private mutating func insert(_ key: Key, at index: Int, _ ownerHash: UInt64, _ name: String) {
        slots[index].key = key.rawValue
        slots[index].ownerHash = ownerHash
        count += 1
        guard ownerHash != 0 else { return }
        if let known = owners.firstIndex(where: { $0.hash == ownerHash }) {
            slots[index].owner = Int32(truncatingIfNeeded: known)
        } else {
            slots[index].owner = Int32(truncatingIfNeeded: owners.count)
            owners.append((ownerHash, name))
        }
    }

    /// nil: nothing answered at first sight.
    func owner(of row: Row) -> String? { row.owner < 0 ? nil : owners[Int(row.owner)].name }

    /// Those with the most time first; where it is the same, by count, then ports before memory, ascending.
    var rows: [Row] {
        slots.filter { $0.key != 0 }.sorted {
            if $0.counter.total != $1.counter.total { return $0.counter.total > $1.counter.total }
            if $0.counter.count != $1.counter.count { return $0.counter.count > $1.counter.count }
            return $0.key < $1.key
        }
    }

    mutating func clear() {
        for index in slots.indices { slots[index] = Row() }
        owners.removeAll()
        count = 0
        other = Counter()
    }
}
