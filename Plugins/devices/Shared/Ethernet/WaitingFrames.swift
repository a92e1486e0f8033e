/// Frames of the network that wait for the guest's buffers, and how many more the network may send.
public struct WaitingFrames: Sendable {
    /// What waits and what may still come are together not more.
    public static let limit = 64

    public private(set) var frames: [[UInt8]] = []
    private var granted = 0

    public init() {}

    /// The network has sent one.
    /// - Parameter isWanted: false: it is dropped, as it is where no room is left.
    public mutating func take(_ frame: @autoclosure () -> [UInt8], isWanted: Bool) {
        granted = max(granted - 1, 0)
        if isWanted, frames.count < Self.limit { frames.append(frame()) }
    }

    public mutating func removeFirst(_ count: Int) { frames.removeFirst(count) }
    public mutating func removeAll() { frames = [] }

    /// The network has forgotten what it was granted.
    public mutating func forgetGrants() { granted = 0 }

    /// How many frames the network may send from now on; nil: it has been told. Room is given in halves, not frame by frame.
    public mutating func grant() -> Int? {
        let room = Self.limit - frames.count
        guard granted <= Self.limit / 2, room > granted else { return nil }
        granted = room
        return room
    }

    // MARK: State: the frames, each behind its length of two bytes

    public var bytes: [UInt8] {
        frames.flatMap { [UInt8($0.count & 0xFF), UInt8($0.count >> 8 & 0xFF)] + $0 }
    }

    /// Takes over saved frames; what was granted stays.
    /// - Returns: false, and nothing is changed, where they are not whole, or too many.
    public mutating func restore(_ bytes: [UInt8]) -> Bool {
        var (rest, saved) = (bytes[...], [[UInt8]]())
        while rest.count >= 2, saved.count < Self.limit {
            let length = Int(rest.removeFirst()) | Int(rest.removeFirst()) << 8
            guard length <= rest.count else { return false }
            saved.append(Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        guard rest.isEmpty else { return false }
        frames = saved
        return true
    }
}
