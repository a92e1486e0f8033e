/// How many frames a network card takes. What it says of that while frames are being handed to it reaches the network only when all of them are: it may not know of
/// those that came later, and they are taken off.
public struct FrameRoom: Sendable {
    /// Frames of one callback. A card that speaks again at half of 64 has been granted at most 31 more than is known here, and speaks: of more at once, both
    /// ends might wait for each other.
    public static let mostAtOnce = 32

    public private(set) var frames = 0
    private var unknown = 0

    public init() {}

    /// The card has room for `frames` in all, or had when it said so.
    public mutating func ready(_ frames: UInt64) { self.frames = max(Int(clamping: frames) - unknown, 0) }

    /// So many were handed to it in one callback. True: `settled` is to be called once that has returned and all that waited for it was heard.
    public mutating func sent(_ count: Int) -> Bool {
        frames = max(frames - count, 0)
        unknown = max(count - 1, 0)
        return unknown > 0
    }

    public mutating func settled() { unknown = 0 }
}
