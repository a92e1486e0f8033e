/// Bytes in order, taken from the front in amortized constant time.
struct ByteQueue {
    private var bytes: [UInt8] = []
    private var head = 0

    var count: Int { bytes.count - head }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ new: some Collection<UInt8>) { bytes.append(contentsOf: new) }

    /// A copy of the first bytes, at most `limit`.
    func front(_ limit: Int) -> [UInt8] { Array(bytes[head..<(head + min(max(0, limit), count))]) }

    mutating func removeFirst(_ wanted: Int) {
        head += min(max(0, wanted), count)
        if head == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 16)
            head = 0
        } else if head > bytes.count / 2 {
            bytes.removeFirst(head)
            head = 0
        }
    }

    mutating func take(_ limit: Int) -> [UInt8] {
        let taken = front(limit)
        removeFirst(taken.count)
        return taken
    }
}
