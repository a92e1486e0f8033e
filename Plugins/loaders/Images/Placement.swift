/// Room that is not taken yet, below 4 GiB.
public struct Placement: Sendable {
    private var free: RAMMap

    /// The first page is never given away: a PC's interrupt table and BIOS data lie there.
    public init(_ available: RAMMap, taken: [Range<UInt64>]) {
        free = available
        free.remove(0..<0x1000)
        free.remove((1 << 32)..<UInt64.max)
        for range in taken { free.remove(range) }
    }

    /// Takes the lowest `size` bytes at a multiple of `alignment` (a power of two) within `bounds`. nil: there is no
    /// room.
    public mutating func take(_ size: UInt64, alignment: UInt64, in bounds: Range<UInt64>) -> UInt64? {
        for range in free.ranges {
            let start = (max(range.lowerBound, bounds.lowerBound) + (alignment - 1)) & ~(alignment - 1)
            let end = min(range.upperBound, bounds.upperBound)
            guard start < end, size <= end - start else { continue }
            free.remove(start..<start + size)
            return start
        }
        return nil
    }

    /// The same, but the highest.
    public mutating func takeHighest(_ size: UInt64, alignment: UInt64, in bounds: Range<UInt64>) -> UInt64? {
        for range in free.ranges.reversed() {
            let end = min(range.upperBound, bounds.upperBound)
            guard size <= end else { continue }
            let start = (end - size) & ~(alignment - 1)
            guard start >= max(range.lowerBound, bounds.lowerBound) else { continue }
            free.remove(start..<start + size)
            return start
        }
        return nil
    }
}
