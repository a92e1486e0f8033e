/// Which 4 KiB pages of some ranges have changed since a moment, told exactly: what they held is kept.
public struct PageWatch: Sendable {
    public static let pageSize: UInt64 = 4096
    /// Bytes that are kept at most.
    public static let limit: UInt64 = 64 << 20

    /// First addresses, ascending.
    public let pages: [UInt64]
    /// What each held, one after the other; empty: no moment yet. A page that could not be read is all zeros.
    private var kept: [UInt8] = []

    /// nil: more than the limit.
    public init?(_ ranges: [ClosedRange<UInt64>]) {
        var numbers: Set<UInt64> = []
        for range in ranges {
            let (first, last) = (range.lowerBound / PageWatch.pageSize, range.upperBound / PageWatch.pageSize)
            guard last - first < PageWatch.limit / PageWatch.pageSize else { return nil }
            numbers.formUnion(first...last)
            guard UInt64(numbers.count) <= PageWatch.limit / PageWatch.pageSize else { return nil }
        }
        pages = numbers.sorted().map { $0 * PageWatch.pageSize }
    }

    public var hasBegun: Bool { !kept.isEmpty || pages.isEmpty }

    /// Keeps what the pages hold now. `read` gives a page's bytes, nil where it is not RAM.
    public mutating func begin(_ read: (UInt64) -> [UInt8]?) {
        let size = Int(PageWatch.pageSize)
        kept = []
        kept.reserveCapacity(pages.count * size)
        for page in pages {
            let bytes = read(page) ?? []
            kept += bytes.prefix(size)
            kept += [UInt8](repeating: 0, count: size - min(size, bytes.count))
        }
    }

    /// Pages that hold something else now.
    public func changed(_ read: (UInt64) -> [UInt8]?) -> [UInt64] {
        guard !kept.isEmpty else { return [] }
        let size = Int(PageWatch.pageSize)
        return pages.enumerated().compactMap { index, page in
            let bytes = read(page) ?? [UInt8](repeating: 0, count: size)
            return kept[(index * size)..<((index + 1) * size)].elementsEqual(bytes) ? nil : page
        }
    }

    /// Adjacent pages as one range, inclusive.
    public static func ranges(of pages: [UInt64]) -> [ClosedRange<UInt64>] {
        var ranges: [ClosedRange<UInt64>] = []
        for page in pages {
            if let last = ranges.last, last.upperBound &+ 1 == page {
                ranges[ranges.count - 1] = last.lowerBound...(page &+ (pageSize &- 1))
            } else {
                ranges.append(page...(page &+ (pageSize &- 1)))
            }
        }
        return ranges
    }
}
