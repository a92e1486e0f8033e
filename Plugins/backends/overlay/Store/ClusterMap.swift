/// Which clusters of a disk are the overlay's own: one bit each, in pages as the file has them. Pages without a bit take no room.
struct ClusterMap {
    static let pageLength = 4096
    private static let bitsOfPage = UInt64(pageLength * 8)

    private(set) var count = 0
    private var pages: [UInt64: [UInt8]] = [:]
    /// Pages that differ from the file's.
    private(set) var dirty: Set<UInt64> = []

    func contains(_ cluster: UInt64) -> Bool {
        guard let page = pages[cluster / ClusterMap.bitsOfPage] else { return false }
        let bit = cluster % ClusterMap.bitsOfPage
        return page[Int(bit / 8)] >> UInt8(bit % 8) & 1 != 0
    }

    mutating func insert(_ cluster: UInt64) {
        guard !contains(cluster) else { return }
        let (page, bit) = cluster.quotientAndRemainder(dividingBy: ClusterMap.bitsOfPage)
        pages[page, default: [UInt8](repeating: 0, count: ClusterMap.pageLength)][Int(bit / 8)] |= 1 << UInt8(bit % 8)
        dirty.insert(page)
        count += 1
    }

    /// Takes all out but `kept`.
    mutating func removeAll(but kept: ClusterMap = ClusterMap()) {
        dirty.formUnion(pages.keys)
        dirty.formUnion(kept.pages.keys)
        pages = kept.pages
        count = kept.count
    }

    /// How many clusters from `first` on, at most `limit`, are alike; and whether they are the overlay's.
    func run(from first: UInt64, limit: UInt64) -> (isOwn: Bool, count: UInt64) {
        let isOwn = contains(first)
        var count: UInt64 = 1
        while count < limit, contains(first + count) == isOwn { count += 1 }
        return (isOwn, count)
    }

    /// The first one from `cluster` on.
    func next(from cluster: UInt64) -> UInt64? {
        let first = cluster / ClusterMap.bitsOfPage
        for page in pages.keys.filter({ $0 >= first }).sorted() {
            let start = page * ClusterMap.bitsOfPage
            for candidate in max(start, cluster)..<(start + ClusterMap.bitsOfPage) where contains(candidate) {
                return candidate
            }
        }
        return nil
    }

    // MARK: The file's pages

    /// A page of the file. The bits from `end` on must be 0: false where one is not.
    mutating func load(_ page: UInt64, _ bytes: some Collection<UInt8>, end: UInt64) -> Bool {
        guard bytes.contains(where: { $0 != 0 }) else { return true }
        pages[page] = Array(bytes)
        count += bytes.reduce(0) { $0 + $1.nonzeroBitCount }
        let start = page * ClusterMap.bitsOfPage
        guard start + ClusterMap.bitsOfPage > end else { return true }
        return !(max(start, end)..<(start + ClusterMap.bitsOfPage)).contains { contains($0) }
    }

    typealias Page = (number: UInt64, bytes: [UInt8])

    /// The pages that differ from the file's; they count as written then.
    mutating func takeDirty() -> [Page] {
        defer { dirty = [] }
        return dirty.sorted().map { ($0, pages[$0] ?? [UInt8](repeating: 0, count: ClusterMap.pageLength)) }
    }

    /// They were not.
    mutating func giveBack(_ pages: [Page]) { dirty.formUnion(pages.map(\.number)) }
}
