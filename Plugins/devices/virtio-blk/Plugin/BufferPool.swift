/// Buffers for requests, used again: a new one of 128 KiB costs its pages' faults, which take longer than a read from the host's page cache.
final class BufferPool {
    /// Kept at most, in bytes.
    private static let most = 4 << 20
    /// The smallest, of 4 KiB, by its logarithm.
    private static let smallest = 12

    /// By the logarithm of their size. SAFETY: each is nobody's else.
    private var spare: [Int: [UnsafeMutableRawPointer]] = [:]
    private var kept = 0

    private static func logarithm(_ count: Int) -> Int {
        max(smallest, Int.bitWidth - (count - 1).leadingZeroBitCount)
    }

    /// At the start of a page; its contents are whatever they were. `count` may be 0.
    func take(_ count: Int) -> UnsafeMutableRawBufferPointer {
        guard count > 0 else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        let logarithm = BufferPool.logarithm(count)
        guard let base = spare[logarithm]?.popLast() else {
            let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << logarithm, alignment: 4096)
            return UnsafeMutableRawBufferPointer(rebasing: whole[..<count])
        }
        kept -= 1 << logarithm
        return UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    /// One that was taken, and that nobody touches any more.
    func give(_ buffer: UnsafeMutableRawBufferPointer) {
        guard let base = buffer.baseAddress else { return }
        let logarithm = BufferPool.logarithm(buffer.count)
        guard kept + (1 << logarithm) <= BufferPool.most else { return base.deallocate() }
        kept += 1 << logarithm
        spare[logarithm, default: []].append(base)
    }

    deinit {
        for base in spare.values.joined() { base.deallocate() }
    }
}
