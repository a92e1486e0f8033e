/// Frames that wait, up to a number and a sum of bytes: what comes beyond is lost, as in a switch.
public struct FrameQueue: Sendable {
    public static let frameLimit = 512
    public static let byteLimit = 4 << 20
    /// Longer ones are no frames of any network here.
    public static let longest = 65_549

    private var frames: [[UInt8]] = []
    /// Position of the first in `frames`; those before it are gone.
    private var first = 0
    private var bytes = 0
    public private(set) var lost: UInt64 = 0

    public init() {}

    public var count: Int { frames.count - first }
    public var isEmpty: Bool { count == 0 }
    /// There is room for as many again.
    public var isHalfEmpty: Bool { count <= Self.frameLimit / 2 && bytes <= Self.byteLimit / 2 }

    public mutating func append(_ frame: UnsafeRawBufferPointer) {
        guard count < Self.frameLimit, frame.count <= Self.longest, bytes + frame.count <= Self.byteLimit else {
            lost &+= 1
            return
        }
        bytes += frame.count
        frames.append(Array(frame))
    }

    /// The oldest ones, at most `limit`.
    public mutating func take(_ limit: Int) -> [[UInt8]] {
        let number = min(max(limit, 0), count)
        let taken = Array(frames[first..<first + number])
        first += number
        bytes -= taken.reduce(0) { $0 + $1.count }
        if first == frames.count || first > Self.frameLimit {
            frames.removeFirst(first)
            first = 0
        }
        return taken
    }

    public mutating func removeAll() { (frames, first, bytes) = ([], 0, 0) }
}
