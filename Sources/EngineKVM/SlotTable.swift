import Core

/// KVM's memory slots, and how to get from one memory map to the next without touching what stays.
struct SlotTable {
    enum Change: Equatable {
        case remove(slot: UInt32)
        case add(slot: UInt32, memory: MappedMemory)
    }

    /// By slot number; nil: free.
    private(set) var entries: [MappedMemory?] = []

    /// Removals first: KVM refuses overlapping slots.
    func changes(to memory: [MappedMemory]) -> [Change] {
        var changes: [Change] = []
        var free: [Int] = []
        for (slot, entry) in entries.enumerated() {
            if let entry, memory.contains(entry) { continue }
            free.append(slot)
            if entry != nil { changes.append(.remove(slot: UInt32(slot))) }
        }
        var next = 0
        var end = entries.count
        for piece in memory where !entries.contains(piece) {
            if next < free.count {
                changes.append(.add(slot: UInt32(free[next]), memory: piece))
                next += 1
            } else {
                changes.append(.add(slot: UInt32(end), memory: piece))
                end += 1
            }
        }
        return changes
    }

    mutating func did(_ change: Change) {
        switch change {
        case .remove(let slot): entries[Int(slot)] = nil
        case .add(let slot, let memory):
            while entries.count <= Int(slot) { entries.append(nil) }
            entries[Int(slot)] = memory
        }
    }

    /// Memory that the guest, and the processor on its behalf, cannot write.
    func isReadOnly(_ address: UInt64) -> Bool {
        entries.contains { entry in
            guard let entry, entry.isReadOnly else { return false }
            return address >= entry.address && address &- entry.address < entry.length
        }
    }

    func bytes(at address: UInt64, count: Int) -> [UInt8] {
        for case let entry? in entries where address >= entry.address && address &- entry.address < entry.length {
            let offset = address &- entry.address
            let length = min(UInt64(count), entry.length &- offset)
            // SAFETY: the core keeps `host` valid for `length` bytes until a later setMemory no longer names it.
            return Array(UnsafeRawBufferPointer(start: entry.host + Int(offset), count: Int(length)))
        }
        return []
    }
}
