// Accesses of more than 8 bytes: vectors, and images that an instruction saves or restores.

import CHost

extension UnsafeMutableRawPointer {
    /// Reads 16 bytes to `place`, all or nothing; false: a fault is left.
    @inline(__always)
    func read16(_ p: P, _ linear: UInt64, to place: UnsafeMutableRawPointer) -> Bool {
        let entry = tlbEntry(linear)
        if entry.pointee.read == (linear &+ 15) & ~0xfff {
            let host = UnsafeRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
                .unsafelyUnwrapped
            place.storeBytes(of: host.loadUnaligned(as: SIMD2<UInt64>.self), as: SIMD2<UInt64>.self)
            return true
        }
        return slowRead16(self, p, linear, place)
    }

    @inline(__always)
    func write16(_ p: P, _ linear: UInt64, from place: UnsafeMutableRawPointer) -> Bool {
        let entry = tlbEntry(linear)
        if entry.pointee.write == (linear &+ 15) & ~0xfff {
            let host = UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
            host.unsafelyUnwrapped.storeBytes(of: place.load(as: SIMD2<UInt64>.self), as: SIMD2<UInt64>.self)
            return true
        }
        return slowWrite16(self, p, linear, place)
    }
}

@inline(never)
func slowRead16(_ s: S, _ p: P, _ linear: UInt64, _ place: UnsafeMutableRawPointer) -> Bool {
    let second = (linear &+ 8) & s.run.pointee.linearMask
    guard canAccess(s, p, linear, 16, .read), let low = s.read(p, linear, as: UInt64.self),
        let high = s.read(p, second, as: UInt64.self)
    else { return false }
    place.storeBytes(of: low, as: UInt64.self)
    place.storeBytes(of: high, toByteOffset: 8, as: UInt64.self)
    return true
}

@inline(never)
func slowWrite16(_ s: S, _ p: P, _ linear: UInt64, _ place: UnsafeMutableRawPointer) -> Bool {
    let second = (linear &+ 8) & s.run.pointee.linearMask
    return canAccess(s, p, linear, 16, .write) && s.write(p, linear, place.load(as: UInt64.self))
        && s.write(p, second, place.load(fromByteOffset: 8, as: UInt64.self))
}

/// Whether up to 4096 bytes can be accessed as a whole; false: a fault is left.
func canAccess(_ s: S, _ p: P, _ linear: UInt64, _ size: Int, _ kind: AccessKind) -> Bool {
    s.mayExit(p)
    return s.run.pointee.owner._withUnsafeGuaranteedRef { $0.memory.translateBoth(s, linear, size, kind) != nil }
}

/// Reads `count` bytes to `place`; what was read before a fault stays there.
func readBlock(_ s: S, _ p: P, _ linear: UInt64, _ count: Int, to place: UnsafeMutableRawPointer) -> Bool {
    guard canAccess(s, p, linear, count, .read) else { return false }
    let mask = s.run.pointee.linearMask
    var done = 0
    while done < count {
        let address = (linear &+ UInt64(done)) & mask
        let isRead: Bool
        switch count - done {
        case 8...: isRead = readPiece(s, p, address, place + done, UInt64.self)
        case 4...: isRead = readPiece(s, p, address, place + done, UInt32.self)
        case 2...: isRead = readPiece(s, p, address, place + done, UInt16.self)
        default: isRead = readPiece(s, p, address, place + done, UInt8.self)
        }
        guard isRead else { return false }
        done += pieceSize(count - done)
    }
    return true
}

/// Writes `count` bytes of `place`, after all of them are known to be writable.
func writeBlock(_ s: S, _ p: P, _ linear: UInt64, _ count: Int, from place: UnsafeMutableRawPointer) -> Bool {
    guard canAccess(s, p, linear, count, .write) else { return false }
    let mask = s.run.pointee.linearMask
    var done = 0
    while done < count {
        let address = (linear &+ UInt64(done)) & mask
        let isWritten: Bool
        switch count - done {
        case 8...: isWritten = s.write(p, address, (place + done).loadUnaligned(as: UInt64.self))
        case 4...: isWritten = s.write(p, address, (place + done).loadUnaligned(as: UInt32.self))
        case 2...: isWritten = s.write(p, address, (place + done).loadUnaligned(as: UInt16.self))
        default: isWritten = s.write(p, address, (place + done).load(as: UInt8.self))
        }
        guard isWritten else { return false }
        done += pieceSize(count - done)
    }
    return true
}

private func pieceSize(_ left: Int) -> Int { left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1 }

private func readPiece<T: FixedWidthInteger & UnsignedInteger>(
    _ s: S, _ p: P, _ address: UInt64, _ place: UnsafeMutableRawPointer, _: T.Type
) -> Bool {
    guard let value = s.read(p, address, as: T.self) else { return false }
    place.storeBytes(of: value, as: T.self)
    return true
}
