import Core

/// A piece of guest-physical memory as KVM has it: reads find `host`; writes too, or they come out as MMIO.
struct MemorySlot: Equatable {
    var address: UInt64
    var length: UInt64
    /// SAFETY: the core keeps it valid for `length` bytes until a later change of the map no longer names it.
    var host: UnsafeMutableRawPointer
    /// Writes to a slot go where its reads come from, or to the core, which knows where they belong.
    var isReadOnly: Bool

    var last: UInt64 { address &+ (length &- 1) }

    /// nil: memory that is not read. All accesses come to the core.
    init?(_ memory: MappedMemory) {
        guard let read = memory.read else { return nil }
        address = memory.address
        length = memory.length
        host = read.host
        isReadOnly = memory.write != read
    }

    func continues(into next: MemorySlot) -> Bool {
        address &+ length == next.address && host + Int(truncatingIfNeeded: length) == next.host
    }

    /// The part from `first` to `last`, which lie inside.
    func part(_ first: UInt64, _ last: UInt64) -> MemorySlot {
        var part = self
        part.address = first
        part.length = last &- first &+ 1
        part.host = host + Int(truncatingIfNeeded: first &- address)
        return part
    }
}

/// KVM's memory slots, and how to change a range of them without touching what stays. A slot that is cut once stays cut: KVM forgets all
/// that it knows of a slot when it goes, so that a window which moves over RAM again and again must not cost the RAM each time.
struct SlotTable {
    enum Change: Equatable {
        case remove(slot: UInt32)
        case add(slot: UInt32, memory: MemorySlot)
    }

    /// By slot number; nil: free.
    private(set) var entries: [MemorySlot?] = []

    /// KVM refuses slots beyond the host's physical addresses; of the guest's space only what lies below is memory.
    var limit = UInt64(1) << 52
    /// From so many slots on, what a change adds is joined with what it continues.
    private static let crowd = 512

    /// What makes `range`, of whole pages, hold `memory` and nothing else. Removals first: KVM refuses overlapping slots.
    func changes(_ range: ClosedRange<UInt64>, _ memory: [MappedMemory]) -> [Change] {
        var wanted = memory.compactMap { $0.clipped(to: 0...(limit - 1)).flatMap { MemorySlot($0) } }
        var removed: [UInt32] = []
        var free: [UInt32] = []
        for (number, entry) in entries.enumerated() {
            let slot = UInt32(number)
            guard let entry else {
                free.append(slot)
                continue
            }
            guard entry.address <= range.upperBound, range.lowerBound <= entry.last else { continue }
            if keeps(entry, range, &wanted) { continue }
            removed.append(slot)
            if entry.address < range.lowerBound { wanted.append(entry.part(entry.address, range.lowerBound - 1)) }
            if entry.last > range.upperBound { wanted.append(entry.part(range.upperBound + 1, entry.last)) }
        }
        if entries.count - free.count > Self.crowd { join(&wanted, &removed) }
        free = removed + free
        var end = UInt32(entries.count)
        var changes = removed.map { Change.remove(slot: $0) }
        for (index, slot) in wanted.enumerated() {
            if index < free.count {
                changes.append(.add(slot: free[index], memory: slot))
            } else {
                changes.append(.add(slot: end, memory: slot))
                end += 1
            }
        }
        return changes
    }

    /// Neighbours that a wanted piece continues, or that continue it, are taken into it.
    private func join(_ wanted: inout [MemorySlot], _ removed: inout [UInt32]) {
        for place in wanted.indices {
            for (number, entry) in entries.enumerated() {
                guard let entry, !removed.contains(UInt32(number)), entry.isReadOnly == wanted[place].isReadOnly else {
                    continue
                }
                let piece = wanted[place]
                if entry.continues(into: piece) {
                    wanted[place] = entry
                } else if piece.continues(into: entry) {
                    wanted[place] = piece
                } else {
                    continue
                }
                wanted[place].length = piece.length + entry.length
                removed.append(UInt32(number))
            }
        }
    }

    /// Whether what a slot says of `range` is wanted just so: then it is taken out of `wanted`.
    private func keeps(_ entry: MemorySlot, _ range: ClosedRange<UInt64>, _ wanted: inout [MemorySlot]) -> Bool {
        let inside = entry.part(max(entry.address, range.lowerBound), min(entry.last, range.upperBound))
        guard let place = wanted.firstIndex(where: { $0.address <= inside.address && inside.last <= $0.last }),
            wanted[place].part(inside.address, inside.last) == inside
        else { return false }
        let whole = wanted.remove(at: place)
        if whole.address < inside.address { wanted.append(whole.part(whole.address, inside.address - 1)) }
        if whole.last > inside.last { wanted.append(whole.part(inside.last + 1, whole.last)) }
        return true
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
            // SAFETY: see `MemorySlot.host`.
            return Array(UnsafeRawBufferPointer(start: entry.host + Int(offset), count: Int(length)))
        }
        return []
    }
}
