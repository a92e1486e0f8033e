/// What came from the host and the guest has no room for yet, and how much room there is.
public struct InputQueue: Sendable {
    /// In bytes. Where it is full, the host's end waits.
    public static let limit = 64 << 10

    private var ring = ByteRing(limit: InputQueue.limit)
    private var room: UInt64 = 0
    /// Breaks among the bytes: how many bytes come before each, ascending.
    private var breaks: [Int] = []
    static let breakLimit = 16

    public init() {}

    public var count: Int { ring.count }
    public var space: Int { ring.space }
    /// Bytes wait and the guest can take some.
    public var canSend: Bool { room > 0 && !ring.isEmpty && !isAtBreak }
    /// A break is next. It needs no room.
    public var isAtBreak: Bool { breaks.first == 0 }

    /// The client can now take `room` bytes in all.
    public mutating func ready(_ room: UInt64) { self.room = room }

    /// Answers how many were taken.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int { ring.append(bytes) }

    /// After the bytes that wait. Beyond the limit it is lost: nobody means so many.
    public mutating func appendBreak() {
        if breaks.count < InputQueue.breakLimit { breaks.append(ring.count) }
    }

    public mutating func takeBreak() -> Bool {
        guard isAtBreak else { return false }
        breaks.removeFirst()
        return true
    }

    /// The next bytes to send, up to a break, never more than the client has room for; they count against it.
    public mutating func next() -> [UInt8] {
        let bytes = ring.take(min(Int(clamping: room), breaks.first ?? .max))
        room -= UInt64(bytes.count)
        for index in breaks.indices { breaks[index] -= bytes.count }
        return bytes
    }
}
