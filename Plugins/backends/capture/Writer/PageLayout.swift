/// How blocks are laid out so that a file ends within none, not even while it is written: the kernel makes a file longer page by page, so that a write
/// within one is seen by readers whole or not at all. Where a block would reach into the next page, one that readers skip fills this one up. A block that
/// no page has room for is written at once, and is the only kind that a reader can meet half.
public enum PageLayout {
    public static let pageSize = 4096
    /// A block has at least its type and twice its length.
    private static let least = 12

    /// What one write takes.
    /// - Parameters:
    ///   - blocks: of multiples of four bytes, at least one.
    ///   - length: of the file until now, which these functions have made.
    /// - Returns: the bytes, and how many blocks are in them; none: only what fills the page.
    public static func next(_ blocks: ArraySlice<[UInt8]>, at length: Int64) -> (bytes: [UInt8], count: Int) {
        var space = pageSize - Int(length % Int64(pageSize))
        guard let first = blocks.first else { return ([], 0) }
        if !fits(first.count, in: pageSize) { return (long(first, space), 1) }
        var (bytes, count): ([UInt8], Int) = ([], 0)
        for block in blocks {
            guard fits(block.count, in: space) else { break }
            bytes += block
            space -= block.count
            count += 1
        }
        return count > 0 ? (bytes, count) : (PcapNG.filler(space), 0)
    }

    /// What is left must be nothing, or have room for a block.
    private static func fits(_ count: Int, in space: Int) -> Bool { count == space || count + least <= space }

    private static func long(_ block: [UInt8], _ space: Int) -> [UInt8] {
        let left = (pageSize - (block.count - space) % pageSize) % pageSize
        return left == 0 || left >= least ? block : PcapNG.filler(least) + block
    }
}
