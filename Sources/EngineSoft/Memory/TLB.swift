// The TLB and the accesses that go through it. Direct mapped, by linear page; one table for each privilege, so that an entry's tags
// say all that there is to check: a hit is a compare and an add.
// SAFETY for this file: an entry's host page lies in memory of the last `setMemory`; entries are dropped before it changes.

import CHost

struct TLBEntry {
    /// Linear page address of pages that may be read, or `absent`.
    var read: UInt64
    /// The same for pages that may be written, are dirty already, and hold no decoded code.
    var write: UInt64
    /// The host's address of the page.
    var hostPage: UInt64
    /// Guest-physical page, with bit 0 for global pages, and `writable` where only decoded code keeps writes from `write`.
    var physical: UInt64

    static let count = 1024
    static let stride = 32
    static let writable: UInt64 = 2

    /// A tag of the slot `index` that no access has: a page two slots further, since one that crosses a page compares the next one's. The
    /// exclusive or with an address is never below 4096, which is all that generated code looks at.
    @inline(__always)
    static func absent(_ index: Int) -> UInt64 { UInt64(truncatingIfNeeded: (index & (count - 1)) ^ 2) << 12 }

    static func empty(_ index: Int) -> TLBEntry {
        TLBEntry(read: absent(index), write: absent(index), hostPage: 0, physical: 0)
    }

    @inline(__always)
    func host(_ linear: UInt64) -> UInt64 { hostPage &+ (linear & 0xfff) }
}

/// Whose rights an access has: the table of the TLB that it goes through.
enum Privilege: Int {
    case supervisor = 0
    case user = 1
    /// Supervisor with RFLAGS.AC, where CR4.SMAP distinguishes.
    case supervisorAC = 2
    static let count = 3
}

enum AccessKind: UInt8 {
    case read, write, fetch
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func tlbEntry(_ linear: UInt64) -> UnsafeMutablePointer<TLBEntry> {
        let offset = Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.count &- 1)) &* TLBEntry.stride
        return (run.pointee.tlb + offset).assumingMemoryBound(to: TLBEntry.self)
    }

    /// Reads at a linear address with the rights of the moment; nil: a fault is left. `p` is the operation that does.
    @inline(__always)
    func read<T: FixedWidthInteger & UnsignedInteger>(_ p: P, _ linear: UInt64, as type: T.Type = T.self) -> T? {
        let entry = tlbEntry(linear)
        let last = linear &+ UInt64(T.bitWidth / 8 &- 1)
        if entry.pointee.read == last & ~0xfff {
            let host = UnsafeRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
            return host.unsafelyUnwrapped.loadUnaligned(as: T.self)
        }
        return slowRead(self, p, linear, T.bitWidth / 8) ? T(truncatingIfNeeded: run.pointee.loaded) : nil
    }

    /// false: a fault is left and nothing is written.
    @inline(__always)
    func write<T: FixedWidthInteger & UnsignedInteger>(_ p: P, _ linear: UInt64, _ value: T) -> Bool {
        let entry = tlbEntry(linear)
        let last = linear &+ UInt64(T.bitWidth / 8 &- 1)
        if entry.pointee.write == last & ~0xfff {
            let host = UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
            host.unsafelyUnwrapped.storeBytes(of: value, as: T.self)
            return true
        }
        return slowWrite(self, p, linear, T.bitWidth / 8, UInt64(truncatingIfNeeded: value))
    }

    /// The host's address of an operand to be read and then written; nil: not plain memory, or a fault (see `slowModify`).
    @inline(__always)
    func writable<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, as type: T.Type) -> UnsafeMutableRawPointer?
    {
        let entry = tlbEntry(linear)
        let last = linear &+ UInt64(T.bitWidth / 8 &- 1)
        guard entry.pointee.write == last & ~0xfff else { return nil }
        return UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
    }

    /// Replaces an operand in memory by what `change` makes of it; false: a fault is left and nothing is written.
    @inline(__always)
    func modify<T: FixedWidthInteger & UnsignedInteger>(
        _ p: P, _ linear: UInt64, as type: T.Type = T.self, _ change: (T) -> T
    ) -> Bool {
        if let host = writable(linear, as: T.self) {
            host.storeBytes(of: change(host.loadUnaligned(as: T.self)), as: T.self)
            return true
        }
        guard slowModify(self, p, linear, T.bitWidth / 8) else { return false }
        let value = change(T(truncatingIfNeeded: run.pointee.loaded))
        return slowWrite(self, p, linear, T.bitWidth / 8, UInt64(truncatingIfNeeded: value))
    }
}

/// An access of 1, 2, 4 or 8 bytes that the TLB did not answer; the value in `loaded`.
@inline(never)
func slowRead(_ s: S, _ p: P, _ linear: UInt64, _ size: Int) -> Bool {
    s.mayExit(p)
    return s.run.pointee.owner._withUnsafeGuaranteedRef { $0.memory.read(s, linear, size) }
}

@inline(never)
func slowWrite(_ s: S, _ p: P, _ linear: UInt64, _ size: Int, _ value: UInt64) -> Bool {
    s.mayExit(p)
    return s.run.pointee.owner._withUnsafeGuaranteedRef { $0.memory.write(s, linear, size, value) }
}

/// Reads, after having made sure that the write that follows will not fault.
@inline(never)
func slowModify(_ s: S, _ p: P, _ linear: UInt64, _ size: Int) -> Bool {
    s.mayExit(p)
    return s.run.pointee.owner._withUnsafeGuaranteedRef { $0.memory.readToModify(s, linear, size) }
}
