public import Images

/// Memory as the boot information describes it.
/// Source: Multiboot Specification 0.6.96, section 3.3, mem_* and mmap_*.
///
/// 0xa0000 to 0xfffff is reserved even where it is RAM: a PC's adapters answer there, and kernels take it for granted.
/// Holes between RAM are reserved too, but for firmware's tables; above the last RAM only ROM and devices' memory are.
public struct MemoryMap: Equatable, Sendable {
    public enum Kind: UInt32, Sendable { case available = 1, reserved = 2, acpi = 3 }

    public struct Entry: Equatable, Sendable {
        public var range: Range<UInt64>
        public var kind: Kind
    }

    static let adapters: Range<UInt64> = 0xA0000..<0x100000

    /// Without 0xa0000 to 0xfffff.
    public let available: RAMMap

    public init(_ ram: RAMMap) {
        var available = ram
        available.remove(Self.adapters)
        self.available = available
    }

    /// Ascending; without gaps from 0 to the end of RAM.
    public var entries: [Entry] {
        var entries: [Entry] = []
        var end: UInt64 = 0
        let pieces =
            available.ranges.map { Entry(range: $0, kind: .available) }
            + available.tables.map { Entry(range: $0, kind: .acpi) }
        for piece in pieces.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            if piece.range.lowerBound > end {
                entries.append(Entry(range: end..<piece.range.lowerBound, kind: .reserved))
            }
            entries.append(piece)
            end = piece.range.upperBound
        }
        for range in available.reserved where range.upperBound > end {
            entries.append(Entry(range: max(end, range.lowerBound)..<range.upperBound, kind: .reserved))
        }
        return entries
    }

    /// KiB from 0 to the first hole; at most 640.
    public var lowerKiB: UInt32 { kibibytes(from: 0) }
    /// KiB from 1 MiB to the first hole after it.
    public var upperKiB: UInt32 { kibibytes(from: 0x100000) }

    private func kibibytes(from start: UInt64) -> UInt32 {
        let range = available.ranges.first { $0.contains(start) }
        return UInt32(clamping: ((range?.upperBound ?? start) - start) / 1024)
    }
}
