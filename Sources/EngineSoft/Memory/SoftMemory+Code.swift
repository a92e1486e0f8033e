// Guest memory as code: where instructions lie, and what makes their blocks go.
// SAFETY: as SoftMemory.

extension SoftMemory {
    /// Where the instruction at a linear address lies; nil: the fault is left.
    func translateFetch(_ s: S, _ linear: UInt64) -> UInt64? {
        let privilege: Privilege = s.cpu.pointee.cpl == 3 ? .user : .supervisor
        if let known = fetches.find(linear, privilege) { return known }
        guard let physical = translate(s, linear, .fetch, privilege) else { return nil }
        fetches.put(linear, physical, privilege)
        return physical
    }

    /// Code at a guest-physical address is about to be read: from now on writes to its page come here, and others' are told.
    func watchCode(_ physical: UInt64) {
        guard let backing = readable(physical), blocks.mark(backing.address) else { return }
        let host = UInt64(UInt(bitPattern: backing.host)) & ~0xfff
        let entries = tables.assumingMemoryBound(to: TLBEntry.self)
        for index in 0..<TLBEntry.count * Privilege.count
        where entries[index].hostPage == host && entries[index].write != TLBEntry.absent(index) {
            entries[index].write = TLBEntry.absent(index)
        }
    }

    /// The bytes of a block's source; empty: not all of them lie in memory.
    func bytes(at physical: UInt64, _ source: BlockSource) -> [UInt8] {
        guard let backing = readable(physical) else { return [] }
        let first = min(source.length, 4096 - Int(source.pageOffset))
        let bytes = Array(UnsafeRawBufferPointer(start: backing.host, count: first))
        guard let second = source.secondPage else { return bytes }
        guard let behind = readable(second) else { return [] }
        return bytes + UnsafeRawBufferPointer(start: behind.host, count: source.length - first)
    }

    /// Whether blocks decoded at an address may be found again: writes to RAM and ROM are noticed.
    func canKeep(_ physical: UInt64) -> Bool { readable(physical) != nil }

    /// Where code at a guest-physical address lies in the memory behind the machine; what is no memory lies beyond all of it.
    func codePlace(_ physical: UInt64) -> UInt64 { readable(physical)?.address ?? physical | 1 << 63 }
}
