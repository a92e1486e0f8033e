/// What came from the host and the guest has no room for yet, and how much room there is.
public struct InputQueue: Sendable {
    /// In bytes. Where it is full, the host's end waits.
    public static let limit = 64 << 10

    private var ring = ByteRing(limit: InputQueue.limit)
    private var room: UInt64 = 0

    public init() {}

    public var count: Int { ring.count }
    public var space: Int { ring.space }
    /// Bytes wait and the guest can take some.
    public var canSend: Bool { room > 0 && !ring.isEmpty }

    /// The client can now take `room` bytes in all.
    public mutating func ready(_ room: UInt64) { self.room = room }

    /// Answers how many were taken.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int { ring.append(bytes) }

    /// The next bytes to send, never more than the client has room for; they count against it.
    public mutating func next() -> [UInt8] {
        let bytes = ring.take(Int(clamping: room))
        room -= UInt64(bytes.count)
        return bytes
    }
}
