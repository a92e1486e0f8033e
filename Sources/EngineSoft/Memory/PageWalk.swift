// From linear to guest-physical addresses. Source: SDM volume 3, chapter 4. PCIDs are accepted and treated as if every load of CR3
// dropped them all, which 4.10.4 allows. Not modelled: protection keys, 5-level paging.

/// A translation and the rights that all levels together give.
struct PageTranslation {
    var physical: UInt64
    var isWritable: Bool
    var isUser: Bool
    var isExecutable: Bool
    var isGlobal: Bool
    /// The entry's D bit is set.
    var isDirty: Bool
    /// The entry maps more than 4 KiB: so many bits of the address are offset.
    var shift: UInt64 = 12
    /// Where the entry that maps the page lies, and its width; nil without paging.
    var leaf: (address: UInt64, width: Int, value: UInt64)?
}

enum PageWalk {
    /// CPUID leaf 0x80000008.
    static let physicalBits: UInt64 = 40
    static let physicalMask: UInt64 = (1 << physicalBits) - 1
    private static let highReserved: UInt64 = ((1 << 52) - 1) & ~physicalMask
    static let accessed: UInt64 = 0x20, dirty: UInt64 = 0x40
    private static let present: UInt64 = 1, writable: UInt64 = 2, user: UInt64 = 4
    private static let large: UInt64 = 0x80, global: UInt64 = 0x100, noExecute: UInt64 = 1 << 63

    enum Failure: Error {
        case notPresent
        /// A reserved bit is set.
        case reserved
    }

    /// Walks the tables that CR0, CR3, CR4 and EFER name, without a look at rights. `marks`: sets the A bits of entries that lead to
    /// others; those of the one that maps the page are the caller's, who knows whether the access is allowed.
    static func walk(_ memory: SoftMemory, _ s: S, _ linear: UInt64, marks: Bool) throws(Failure) -> PageTranslation {
        let cpu = s.cpu
        if cpu.pointee.cr0 & CR0.pg == 0 {
            return PageTranslation(
                physical: linear & physicalMask, isWritable: true, isUser: true, isExecutable: true, isGlobal: false,
                isDirty: true, leaf: nil)
        }
        if cpu.pointee.cr4 & CR4.pae == 0 { return try legacy(memory, s, linear, marks) }
        let isLong = cpu.pointee.efer & EFER.lma != 0
        var rights = Rights(noExecuteEnabled: cpu.pointee.efer & EFER.nxe != 0, isLong: isLong)
        var table: UInt64
        var level: UInt64
        if isLong {
            table = cpu.pointee.cr3 & physicalMask & ~0xfff
            level = 3
        } else {
            let entry = s.pageDirectoryPointers[Int(truncatingIfNeeded: linear >> 30 & 3)]
            guard entry & present != 0 else { throw .notPresent }
            table = entry & physicalMask & ~0xfff
            level = 1
        }
        while true {
            let shift = 12 + 9 * level
            let address = table + (linear >> shift & 0x1ff) * 8
            let entry = memory.readPhysical(s, address, 8)
            guard entry & present != 0 else { throw .notPresent }
            let isLarge = entry & large != 0 && level > 0
            guard !rights.isReserved(entry, level: level, isLarge: isLarge) else { throw .reserved }
            rights.apply(entry)
            let isLeaf = level == 0 || isLarge
            if isLeaf {
                let offsetMask = (1 << shift) &- 1 as UInt64
                let base = entry & physicalMask & ~offsetMask & ~0xfff
                var page = rights.translation(
                    base | linear & offsetMask, entry, leaf: (address, 8, entry),
                    isGlobal: cpu.pointee.cr4 & CR4.pge != 0)
                page.shift = shift
                return page
            }
            if marks { mark(memory, s, address, entry, 8) }
            table = entry & physicalMask & ~0xfff
            level -= 1
        }
    }

    /// 32-bit paging: two levels, 4 MiB pages with PSE (and PSE-36).
    private static func legacy(
        _ memory: SoftMemory, _ s: S, _ linear: UInt64, _ marks: Bool
    ) throws(Failure) -> PageTranslation {
        let cpu = s.cpu
        var rights = Rights(noExecuteEnabled: true)
        let isGlobal = cpu.pointee.cr4 & CR4.pge != 0
        let directory = (cpu.pointee.cr3 & 0xffff_f000) + (linear >> 22 & 0x3ff) * 4
        let entry = memory.readPhysical(s, directory, 4)
        guard entry & present != 0 else { throw .notPresent }
        rights.apply(entry)
        if entry & large != 0, cpu.pointee.cr4 & CR4.pse != 0 {
            // Bits 20:13 are physical address bits 39:32 (PSE-36), bit 21 is reserved.
            guard entry & 1 << 21 == 0 else { throw .reserved }
            let base = (entry & 0xffc0_0000) | (entry >> 13 & 0xff) << 32
            var page = rights.translation(
                base | linear & 0x3f_ffff, entry, leaf: (directory, 4, entry), isGlobal: isGlobal)
            page.shift = 22
            return page
        }
        if marks { mark(memory, s, directory, entry, 4) }
        let address = (entry & 0xffff_f000) + (linear >> 12 & 0x3ff) * 4
        let page = memory.readPhysical(s, address, 4)
        guard page & present != 0 else { throw .notPresent }
        rights.apply(page)
        return rights.translation(
            (page & 0xffff_f000) | linear & 0xfff, page, leaf: (address, 4, page), isGlobal: isGlobal)
    }

    private static func mark(_ memory: SoftMemory, _ s: S, _ address: UInt64, _ entry: UInt64, _ width: Int) {
        if entry & accessed == 0 { memory.writePhysical(s, address, width, entry | accessed) }
    }

    /// What the entries on the way allow together.
    private struct Rights {
        let noExecuteEnabled: Bool
        var isWritable = true
        var isUser = true
        var isExecutable = true

        /// Bits 62:52 are ignored in long mode, and reserved in PAE paging (tables 4-11 and 4-19).
        let reserved: UInt64

        init(noExecuteEnabled: Bool, isLong: Bool = true) {
            self.noExecuteEnabled = noExecuteEnabled
            reserved = isLong ? highReserved : ~physicalMask & ~noExecute
        }

        mutating func apply(_ entry: UInt64) {
            if entry & writable == 0 { isWritable = false }
            if entry & user == 0 { isUser = false }
            if entry & noExecute != 0 { isExecutable = false }
        }

        /// SDM volume 3, 4.4.2 and 4.5.4.
        func isReserved(_ entry: UInt64, level: UInt64, isLarge: Bool) -> Bool {
            if entry & reserved != 0 { return true }
            if !noExecuteEnabled, entry & noExecute != 0 { return true }
            if entry & large != 0, level == 3 { return true }
            if isLarge { return entry & ((1 << (12 + 9 * level)) &- 1) & ~0x1fff != 0 }
            return false
        }

        func translation(
            _ physical: UInt64, _ entry: UInt64, leaf: (address: UInt64, width: Int, value: UInt64), isGlobal: Bool
        ) -> PageTranslation {
            PageTranslation(
                physical: physical, isWritable: isWritable, isUser: isUser, isExecutable: isExecutable,
                isGlobal: isGlobal && entry & global != 0, isDirty: entry & dirty != 0, leaf: leaf)
        }
    }

    /// Whether the rights allow an access (SDM volume 3, 4.6.1).
    static func allows(_ page: PageTranslation, _ kind: AccessKind, _ privilege: Privilege, _ s: S) -> Bool {
        let cpu = s.cpu
        guard page.leaf != nil else { return true }
        let isUserMode = privilege == .user
        if isUserMode, !page.isUser { return false }
        switch kind {
        case .read, .write:
            if !isUserMode, page.isUser, privilege != .supervisorAC, cpu.pointee.cr4 & CR4.smap != 0 { return false }
            guard kind == .write, !page.isWritable else { return true }
            return !isUserMode && cpu.pointee.cr0 & CR0.wp == 0
        case .fetch:
            if !page.isExecutable { return false }
            return isUserMode || !page.isUser || cpu.pointee.cr4 & CR4.smep == 0
        }
    }

    /// Error code of #PF (SDM volume 3, figure 4-12).
    static func errorCode(isProtection: Bool, _ kind: AccessKind, _ privilege: Privilege, isReserved: Bool, _ s: S)
        -> UInt32
    {
        var code: UInt32 = isProtection || isReserved ? 1 : 0
        if kind == .write { code |= 2 }
        if privilege == .user { code |= 4 }
        if isReserved { code |= 8 }
        let cpu = s.cpu
        let distinguishesFetch =
            cpu.pointee.cr4 & CR4.smep != 0
            || (cpu.pointee.cr4 & CR4.pae != 0 && cpu.pointee.efer & EFER.nxe != 0)
        if kind == .fetch, distinguishesFetch { code |= 16 }
        return code
    }
}
