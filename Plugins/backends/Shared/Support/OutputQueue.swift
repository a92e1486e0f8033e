/// What a guest wrote and the host has not taken yet: with marks at which the guest is told to wait and to go on, and a
/// limit for one that does not listen.
public struct OutputQueue: Sendable {
    /// In bytes: the guest is throttled above `high`, released below `low`, and loses bytes beyond `limit`.
    public static let (high, low, limit) = (64 << 10, 16 << 10, 1 << 20)

    /// What a change of the queue asks for.
    public struct Effect: Equatable, Sendable {
        /// What the client must now be told: true, write no more; false, go on; nil, nothing.
        public var throttle: Bool?
        /// Bytes were lost, for the first time.
        public var isFirstLoss = false
    }

    public private(set) var isThrottled = false
    /// Bytes lost in all.
    public private(set) var dropped: UInt64 = 0
    private var ring = ByteRing(limit: OutputQueue.limit)

    public init() {}

    public var count: Int { ring.count }
    public var isEmpty: Bool { ring.isEmpty }

    public mutating func append(_ bytes: UnsafeRawBufferPointer) -> Effect {
        var effect = Effect()
        let lost = bytes.count - ring.append(bytes)
        if lost > 0 {
            effect.isFirstLoss = dropped == 0
            dropped &+= UInt64(lost)
        }
        if !isThrottled, ring.count > OutputQueue.high {
            isThrottled = true
            effect.throttle = true
        }
        return effect
    }

    /// The host has taken `length` bytes.
    public mutating func consume(_ length: Int) -> Effect {
        ring.consume(length)
        guard isThrottled, ring.count < OutputQueue.low else { return Effect() }
        isThrottled = false
        return Effect(throttle: false)
    }

    /// There is nobody to take them any more.
    public mutating func removeAll() -> Effect { consume(ring.count) }

    /// The bytes at the front that lie in one piece.
    public func withFront<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { ring.withFront(body) }

    /// Up to `length` bytes of the front, copied; they stay in the queue.
    public func front(_ length: Int) -> [UInt8] { ring.withFront { [UInt8]($0.prefix(max(0, length))) } }
}
