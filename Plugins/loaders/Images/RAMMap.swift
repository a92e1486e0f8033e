/// Which guest-physical addresses are RAM, as a loader sees it before the guest runs.
public struct RAMMap: Equatable, Sendable {
    /// Ascending, disjoint, not touching, none empty. The address 2^64 - 1 is never RAM.
    public private(set) var ranges: [Range<UInt64>]
    /// Memory that is not RAM: ROM, and what devices have. In the same order.
    public let reserved: [Range<UInt64>]
    /// RAM that firmware's tables have: a kernel may use it once it has read them.
    public private(set) var tables: [Range<UInt64>] = []

    /// From pieces in any order. Where they overlap, what is reserved wins: nothing can be loaded there.
    public init(ram: [Range<UInt64>], reserved: [Range<UInt64>] = []) {
        ranges = Self.merged(ram)
        self.reserved = Self.merged(reserved)
        for piece in self.reserved { remove(piece) }
    }

    /// Takes addresses out.
    public mutating func remove(_ hole: Range<UInt64>) {
        guard !hole.isEmpty else { return }
        ranges = ranges.flatMap { range -> [Range<UInt64>] in
            guard range.overlaps(hole) else { return [range] }
            let below = range.lowerBound..<max(range.lowerBound, hole.lowerBound)
            let above = min(range.upperBound, hole.upperBound)..<range.upperBound
            return [below, above].filter { !$0.isEmpty }
        }
    }

    /// Takes addresses out, for firmware's tables.
    public mutating func giveToTables(_ range: Range<UInt64>) {
        remove(range)
        tables = Self.merged(tables + [range])
    }

    /// All of `length` bytes at `address` are RAM. Nothing at all fits anywhere.
    public func contains(_ address: UInt64, _ length: UInt64) -> Bool {
        length == 0 || ranges.contains { $0.contains(address) && length <= $0.upperBound - address }
    }

    public var total: UInt64 { ranges.reduce(0) { $0 &+ ($1.upperBound - $1.lowerBound) } }

    /// "0x0-0x9ffff and 0x100000-0x3ffffff", for messages.
    public var text: String {
        guard !ranges.isEmpty else { return "none" }
        let pieces = ranges.prefix(8).map { hex($0.lowerBound) + "-" + hex($0.upperBound - 1) }
        let list = pieces.count == 1 ? pieces[0] : pieces.dropLast().joined(separator: ", ") + " and " + pieces.last!
        return ranges.count > 8 ? list + " and more" : list
    }

    private static func merged(_ pieces: [Range<UInt64>]) -> [Range<UInt64>] {
        var merged: [Range<UInt64>] = []
        for piece in pieces.filter({ !$0.isEmpty }).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, piece.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, piece.upperBound)
            } else {
                merged.append(piece)
            }
        }
        return merged
    }
}
