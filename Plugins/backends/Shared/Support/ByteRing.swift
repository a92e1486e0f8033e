/// A queue of bytes with an upper bound. Its memory grows with what it holds.
public struct ByteRing: Sendable {
    /// The most that it holds.
    public let limit: Int
    public private(set) var count = 0
    private var storage: [UInt8] = []
    private var head = 0

    private static let smallest = 4096
    /// More than this is given back when the queue becomes empty.
    private static let kept = 64 << 10

    public init(limit: Int) { self.limit = max(0, limit) }

    public var isEmpty: Bool { count == 0 }
    public var space: Int { limit - count }

    /// Takes as many of `bytes` as there is space for, from the front; answers how many.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int {
        let accepted = min(bytes.count, space)
        guard accepted > 0 else { return 0 }
        reserve(count + accepted)
        let tail = (head + count) % storage.count
        let first = min(accepted, storage.count - tail)
        storage.withUnsafeMutableBytes { all in
            all[tail..<(tail + first)].copyBytes(from: bytes[..<first])
            all[..<(accepted - first)].copyBytes(from: bytes[first..<accepted])
        }
        count += accepted
        return accepted
    }

    /// Drops `length` bytes from the front, or all there are.
    public mutating func consume(_ length: Int) {
        let length = min(max(0, length), count)
        count -= length
        guard count == 0 else {
            head = (head + length) % storage.count
            return
        }
        head = 0
        if storage.count > ByteRing.kept { storage = [] }
    }

    public mutating func removeAll() { consume(count) }

    /// Takes out up to `length` bytes: those that lie in one piece, at least one if there is any.
    public mutating func take(_ length: Int) -> [UInt8] {
        let bytes = withFront { [UInt8]($0.prefix(max(0, length))) }
        consume(bytes.count)
        return bytes
    }

    /// The bytes at the front that lie in one piece.
    public func withFront<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        let end = min(head + count, storage.count)
        return storage.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[head..<end])) }
    }

    private mutating func reserve(_ length: Int) {
        guard length > storage.count else { return }
        var capacity = max(ByteRing.smallest, storage.count)
        while capacity < length { capacity *= 2 }
        var larger: [UInt8] = []
        larger.reserveCapacity(capacity)
        let end = min(head + count, storage.count)
        larger += storage[head..<end]
        larger += storage[..<(count - (end - head))]
        larger += repeatElement(0, count: capacity - larger.count)
        storage = larger
        head = 0
    }
}
