// Guest memory as the CPU reaches it when the TLB does not answer: page walks, RAM, ROM, MMIO and the edges between them.
// SAFETY for this file: `pieces` are those of the engine's map, whose changes the vCPU's own thread takes over between operations; host
// pointers are used within their piece's length.

import CHost
import Core
import Glibc

final class SoftMemory {
    /// Ascending and disjoint.
    private(set) var pieces: [MappedMemory] = []
    private var lastPiece: MappedMemory?
    /// Where there is no piece, as the last search has found it; what a device answers lies there.
    private var lastHole: Range<UInt64> = 0..<0
    /// One TLB after the other, by Privilege.
    /// SAFETY: in the state of the CPU that owns this.
    let tables: UnsafeMutableRawPointer
    /// Behind the TLB: what it had no room for.
    let second: SecondTLB
    let fetches = FetchTLB()
    private var devices = DevicePages()
    /// What `fill` has found, for the access right behind it.
    private var walked: (linear: UInt64, kind: AccessKind, privilege: Privilege, physical: UInt64)?
    let blocks: BlockCache
    let exits: Unmanaged<ExitHandler>
    let vcpu: UInt32
    /// What is done now will be undone, or compared with what was.
    var trial: Trial?

    init(vcpu: VCPU, tables: UnsafeMutableRawPointer) {
        self.tables = tables
        second = SecondTLB()
        blocks = BlockCache(flags: vcpu.exits.pageFlags)
        exits = Unmanaged.passUnretained(vcpu.exits)
        self.vcpu = vcpu.index
        let entries = tables.bindMemory(to: TLBEntry.self, capacity: TLBEntry.count * Privilege.count)
        for index in 0..<TLBEntry.count * Privilege.count { entries[index] = .empty(index) }
    }

    /// What was found out of page tables, and is not in a TLB.
    func forgetWalks() {
        walked = nil
        devices.forget()
    }

    // MARK: TLB

    func table(_ privilege: Privilege) -> UnsafeMutableRawPointer {
        tables + privilege.rawValue * TLBEntry.count * TLBEntry.stride
    }

    private func privilege(_ s: S) -> Privilege {
        let index = (s.run.pointee.tlb - tables) / (TLBEntry.count * TLBEntry.stride)
        return Privilege(rawValue: index) ?? .user
    }

    /// `keepsGlobal`: a load of CR3.
    func flush(keepsGlobal: Bool) {
        forgetWalks()
        let entries = tables.assumingMemoryBound(to: TLBEntry.self)
        second.flush(keepsGlobal: keepsGlobal)
        fetches.flush(keepsGlobal: keepsGlobal)
        if keepsGlobal {
            return second.forEachPrivate { if entries[$0].physical & 1 == 0 { entries[$0] = .empty($0) } }
        }
        for index in 0..<TLBEntry.count * Privilege.count { entries[index] = .empty(index) }
    }

    /// INVLPG: large pages have an entry for each 4 KiB, and all of them go. true: code may have been fetched from there.
    func flush(page linear: UInt64) -> Bool {
        forgetWalks()
        if second.isLarge(linear) {
            flush(keepsGlobal: false)
            return true
        }
        let index = Int(truncatingIfNeeded: linear >> 12) & (TLBEntry.count - 1)
        for privilege in 0..<Privilege.count {
            tables.assumingMemoryBound(to: TLBEntry.self)[privilege * TLBEntry.count + index] = .empty(index)
        }
        second.drop(linear)
        return fetches.drop(linear)
    }

    private func fill(_ linear: UInt64, _ page: PageTranslation, _ privilege: Privilege, _ s: S) {
        let physical = page.physical & ~0xfff
        guard let backing = readable(physical) else { return }
        let linearPage = linear & ~0xfff
        let isCode = blocks.holdsCode(backing.address)
        let canWrite = page.isDirty && writable(physical) == backing && PageWalk.allows(page, .write, privilege, s)
        let canRead = PageWalk.allows(page, .read, privilege, s)
        let index = Int(truncatingIfNeeded: linear >> 12) & (TLBEntry.count - 1)
        let entries = table(privilege).assumingMemoryBound(to: TLBEntry.self)
        entries[index] = TLBEntry(
            read: canRead ? linearPage : TLBEntry.absent(index),
            write: canWrite && !isCode ? linearPage : TLBEntry.absent(index),
            hostPage: UInt64(UInt(bitPattern: backing.host)),
            physical: physical | (page.isGlobal ? 1 : 0) | (canWrite ? TLBEntry.writable : 0))
        second.note(entries[index], privilege.rawValue * TLBEntry.count + index)
        if canRead, trial == nil { second.put(linearPage, privilege, entries[index]) }
        if page.shift > 12 { second.noteLarge(linear, shift: page.shift) }
    }

    // MARK: Translation

    static func isCanonical(_ linear: UInt64) -> Bool {
        UInt64(bitPattern: Int64(bitPattern: linear << 16) >> 16) == linear
    }

    /// Translates for an access; nil: the fault is left (for an address that is not canonical #GP(0); `abort` knows of #SS).
    func translate(_ s: S, _ linear: UInt64, _ kind: AccessKind, _ privilege: Privilege) -> UInt64? {
        if s.run.pointee.linearMask == .max, !SoftMemory.isCanonical(linear) {
            s.setFault(Vector.gp, code: 0)
            s.run.pointee.fault.isAddress = true
            return nil
        }
        if let found = walked {
            walked = nil
            if found.linear == linear, found.kind == kind, found.privilege == privilege { return found.physical }
        }
        if kind != .fetch {
            if let physical = devices.find(linear, kind, privilege) ?? known(linear, kind, privilege) {
                return physical
            }
        }
        var page: PageTranslation
        do throws(PageWalk.Failure) {
            page = try PageWalk.walk(self, s, linear, marks: true)
        } catch {
            return pageFault(s, linear, kind, privilege, isProtection: false, isReserved: error == .reserved)
        }
        guard PageWalk.allows(page, kind, privilege, s) else {
            return pageFault(s, linear, kind, privilege, isProtection: true, isReserved: false)
        }
        if let leaf = page.leaf {
            let marked = leaf.value | PageWalk.accessed | (kind == .write ? PageWalk.dirty : 0)
            if marked != leaf.value { writePhysical(s, leaf.address, leaf.width, marked) }
            page.isDirty = marked & PageWalk.dirty != 0
        }
        if kind == .fetch {
            fetches.last = page
        } else {
            fill(linear, page, privilege, s)
            devices.forgetOlder(than: page.physical, linear)
            let isMemory = kind == .write ? writable(page.physical) != nil : readable(page.physical) != nil
            if !isMemory { devices.note(linear, page.physical, kind, privilege) }
        }
        return page.physical
    }

    /// For an access that is tried again: what the walk has found counts for the interpreter's next one, if the TLB has not got it. false: the
    /// fault is left.
    func fill(_ s: S, _ linear: UInt64, _ kind: AccessKind) -> Bool {
        let privilege = privilege(s)
        guard let physical = translate(s, linear, kind, privilege) else { return false }
        let entry = s.tlbEntry(linear).pointee
        if (kind == .write ? entry.write : entry.read) != linear & ~0xfff {
            walked = (linear, kind, privilege, physical)
        }
        return true
    }

    /// From the TLB: a page is walked when its entry is missing, and never because code in it was decoded or an access crosses its edge.
    private func known(_ linear: UInt64, _ kind: AccessKind, _ privilege: Privilege) -> UInt64? {
        let index = Int(truncatingIfNeeded: linear >> 12) & (TLBEntry.count - 1)
        let entry = table(privilege).assumingMemoryBound(to: TLBEntry.self) + index
        if entry.pointee.read != linear & ~0xfff {
            guard trial == nil, var found = second.find(linear & ~0xfff, privilege) else { return nil }
            // Decoded code may have come to the page meanwhile, or gone.
            found.write = TLBEntry.absent(index)
            if found.physical & TLBEntry.writable != 0, let backing = writable(found.physical & ~0xfff),
                !blocks.holdsCode(backing.address)
            {
                found.write = found.read
            }
            entry.pointee = found
            second.note(found, privilege.rawValue * TLBEntry.count + index)
        }
        let physical = entry.pointee.physical & ~0xfff | linear & 0xfff
        if kind == .write {
            guard entry.pointee.physical & TLBEntry.writable != 0 else { return nil }
            if let backing = writable(physical), !blocks.holdsCode(backing.address) {
                entry.pointee.write = entry.pointee.read
            }
        }
        return physical
    }

    /// Decoded code of a page that the TLB knows as writable is about to be overwritten.
    func dropCode(_ entry: TLBEntry, _ linear: UInt64, _ bytes: Int) {
        guard let backing = writable(entry.physical & ~0xfff | linear & 0xfff) else { return }
        if refusedOnTrial() { return }
        blocks.drop(backing.address, UInt64(bytes))
    }

    private func pageFault(
        _ s: S, _ linear: UInt64, _ kind: AccessKind, _ privilege: Privilege, isProtection: Bool, isReserved: Bool
    ) -> UInt64? {
        // As its entries in a TLB go (SDM volume 3, 4.10.4.1): who makes the page good need not say so.
        devices.forget()
        let code = PageWalk.errorCode(isProtection: isProtection, kind, privilege, isReserved: isReserved, s)
        s.setFault(Vector.pf, code: code)
        s.cpu.pointee.cr2 = linear
        return nil
    }

    // MARK: Slow accesses: exits are of the instruction at `exitRIP`

    func read(_ s: S, _ linear: UInt64, _ size: Int) -> Bool {
        guard let (first, second) = translateBoth(s, linear, size, .read) else { return false }
        return readPieces(s, linear, size, first, second)
    }

    func readToModify(_ s: S, _ linear: UInt64, _ size: Int) -> Bool {
        guard let (first, second) = translateBoth(s, linear, size, .write) else { return false }
        return readPieces(s, linear, size, first, second)
    }

    func write(_ s: S, _ linear: UInt64, _ size: Int, _ value: UInt64) -> Bool {
        guard let (first, second) = translateBoth(s, linear, size, .write) else { return false }
        let room = 4096 - Int(linear & 0xfff)
        if size <= room { return writePiece(s, first, size, value) }
        guard writePiece(s, first, room, value) else { return false }
        return writePiece(s, second, size - room, value >> UInt64(room * 8))
    }

    private func readPieces(
        _ s: S, _ linear: UInt64, _ size: Int, _ first: UInt64, _ second: UInt64
    ) -> Bool {
        let room = 4096 - Int(linear & 0xfff)
        guard size > room else {
            guard let value = readPiece(s, first, size) else { return false }
            s.run.pointee.loaded = value
            return true
        }
        guard let low = readPiece(s, first, room), let high = readPiece(s, second, size - room) else {
            return false
        }
        s.run.pointee.loaded = low | high << UInt64(room * 8)
        return true
    }

    /// Both ends of an access, before any of it is done. `second` counts where it crosses a page.
    func translateBoth(_ s: S, _ linear: UInt64, _ size: Int, _ kind: AccessKind) -> (first: UInt64, second: UInt64)? {
        let privilege = privilege(s)
        let crosses = Int(linear & 0xfff) + size > 4096
        if crosses, linear | 0xfff == 0xffff_ffff, s.run.pointee.mode.contains(.flat) {
            // Beyond a flat segment's limit, which no operation before has checked.
            s.setFault(Vector.gp, code: 0)
            s.run.pointee.fault.isAddress = true
            return nil
        }
        guard let first = translate(s, linear, kind, privilege) else { return nil }
        if !crosses { return (first, 0) }
        let nextPage = ((linear | 0xfff) &+ 1) & s.run.pointee.linearMask
        guard let second = translate(s, nextPage, kind, privilege) else { return nil }
        return (first, second)
    }

    /// 1 to 8 bytes within a page; nil: a policy injects an exception.
    private func readPiece(_ s: S, _ physical: UInt64, _ size: Int) -> UInt64? {
        if let backing = readable(physical) { return load(backing.host, size) }
        if refusedOnTrial() { return 0 }
        let result = exits._withUnsafeGuaranteedRef {
            $0.memoryRead(vcpu, address: physical, width: UInt8(size), rip: s.run.pointee.exitRIP)
        }
        didExit(s)
        return accept(s, result) ? result.value : nil
    }

    private func writePiece(_ s: S, _ physical: UInt64, _ size: Int, _ value: UInt64) -> Bool {
        if let backing = writable(physical) {
            write(backing, size, value)
            return true
        }
        if refusedOnTrial() { return true }
        let result = exits._withUnsafeGuaranteedRef {
            $0.memoryWrite(vcpu, address: physical, width: UInt8(size), value: value, rip: s.run.pointee.exitRIP)
        }
        didExit(s)
        return accept(s, result)
    }

    /// 1 to 8 bytes within a page; code that was decoded from them goes.
    private func write(_ backing: Backing, _ size: Int, _ value: UInt64) {
        if blocks.holdsCode(backing.address) {
            if refusedOnTrial() { return }
            blocks.drop(backing.address, UInt64(size))
        }
        store(backing.host, size, value)
    }

    /// An exit may have changed the memory map or stopped the machine: the running block ends after this instruction.
    func didExit(_ s: S) {
        if ch_load(s.run.pointee.attention) & s.run.pointee.attentionMask != 0, let block = s.run.pointee.block {
            blocks.drop(block)
        }
    }

    /// What an exit handler says about an access; false: it injects an exception, which is left.
    func accept(_ s: S, _ result: AccessResult) -> Bool {
        guard result.control == .inject else { return true }
        if result.hasErrorCode { s.setFault(result.vector, code: result.errorCode) } else { s.setFault(result.vector) }
        return false
    }

    // MARK: Physical accesses: page tables

    /// 4 or 8 bytes, aligned. All ones where nothing answers; an exit is of the instruction at `exitRIP`.
    func readPhysical(_ s: S, _ address: UInt64, _ size: Int) -> UInt64 {
        if let backing = readable(address) { return load(backing.host, size) }
        if refusedOnTrial() { return 0 }
        let result = exits._withUnsafeGuaranteedRef {
            $0.memoryRead(vcpu, address: address, width: UInt8(size), rip: s.run.pointee.exitRIP)
        }
        didExit(s)
        return result.value
    }

    /// What is not RAM decides itself what a write is; so do pages that are watched.
    func writePhysical(_ s: S, _ address: UInt64, _ size: Int, _ value: UInt64) {
        guard let backing = writable(address) else {
            if refusedOnTrial() { return }
            _ = exits._withUnsafeGuaranteedRef {
                $0.memoryWrite(
                    vcpu, address: address, width: UInt8(size), value: value, rip: s.run.pointee.exitRIP)
            }
            didExit(s)
            return
        }
        write(backing, size, value)
    }

    // MARK: The memory map. Pieces are of whole pages: what does not cross a page lies in one

    /// The piece that holds an address.
    private func piece(at physical: UInt64) -> MappedMemory? {
        if let piece = lastPiece, piece.contains(physical) { return piece }
        if lastHole.contains(physical) { return nil }
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].address <= physical { low = middle + 1 } else { high = middle }
        }
        guard low > 0, pieces[low - 1].contains(physical) else {
            let before = low > 0 ? pieces[low - 1].address &+ pieces[low - 1].length : 0
            let next = low < pieces.count ? pieces[low].address : .max
            lastHole = min(before, physical)..<max(next, physical)
            return nil
        }
        lastPiece = pieces[low - 1]
        return lastPiece
    }

    /// What a read or fetch of an address finds; nil: no plain memory.
    func readable(_ physical: UInt64) -> Backing? {
        guard let piece = piece(at: physical) else { return nil }
        return piece.read?.advanced(by: physical - piece.address)
    }

    /// What a write to an address reaches; nil: no plain memory.
    private func writable(_ physical: UInt64) -> Backing? {
        guard let piece = piece(at: physical) else { return nil }
        let backing = piece.write?.advanced(by: physical - piece.address)
        if let trial, let backing { trial.keep(backing.host) }
        return backing
    }

    /// What follows cannot be undone, and has to be: it is not done.
    private func refusedOnTrial() -> Bool {
        guard let trial else { return false }
        trial.isRefused = true
        return true
    }

    /// A range of whole pages has changed; translations that lead there go.
    func update(_ range: ClosedRange<UInt64>, _ new: [MappedMemory]) {
        MappedMemory.replace(range, in: &pieces, by: new)
        (lastPiece, lastHole) = (nil, 0..<0)
        devices.forget()
        let entries = tables.assumingMemoryBound(to: TLBEntry.self)
        for index in 0..<TLBEntry.count * Privilege.count where range.contains(entries[index].physical & ~0xfff) {
            entries[index] = .empty(index)
        }
        second.flush(keepsGlobal: false)
        fetches.update(range)
    }

    private func load(_ host: UnsafeMutableRawPointer, _ size: Int) -> UInt64 {
        switch size {
        case 1: return UInt64(host.load(as: UInt8.self))
        case 2: return UInt64(host.loadUnaligned(as: UInt16.self))
        case 4: return UInt64(host.loadUnaligned(as: UInt32.self))
        case 8: return host.loadUnaligned(as: UInt64.self)
        default:
            var value: UInt64 = 0
            memcpy(&value, host, size)
            return value
        }
    }

    private func store(_ host: UnsafeMutableRawPointer, _ size: Int, _ value: UInt64) {
        switch size {
        case 1: host.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2: host.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
        case 4: host.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        case 8: host.storeBytes(of: value, as: UInt64.self)
        default:
            var value = value
            memcpy(host, &value, size)
        }
    }
}
