/// Frames that wait, up to a number and a sum of bytes: what comes beyond is lost, as in a switch. Its memory is made once.
public struct FrameQueue: Sendable {
    public static let frameLimit = 512
    /// Of frames and their lengths, 4 bytes each.
    public static let byteLimit = 1 << 20
    /// Longer ones are no frames of any network here.
    public static let longest = 65_549
    private static let lengthSize = 4

    private var ring = [UInt8](repeating: 0, count: byteLimit)
    private var start = 0
    private var used = 0
    public private(set) var count = 0
    public private(set) var lost: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { count == 0 }
    /// There is room for as many again.
    public var isHalfEmpty: Bool { count <= Self.frameLimit / 2 && used <= Self.byteLimit / 2 }

    public mutating func append(_ frame: UnsafeRawBufferPointer) {
        guard count < Self.frameLimit, frame.count <= Self.longest,
            used + Self.lengthSize + frame.count <= Self.byteLimit
        else {
            lost &+= 1
            return
        }
        withUnsafeBytes(of: UInt32(frame.count)) { put($0) }
        put(frame)
        count += 1
    }

    /// The oldest ones, at most `limit`.
    public mutating func take(_ limit: Int) -> [[UInt8]] {
        (0..<min(max(limit, 0), count)).map { _ in
            var length: UInt32 = 0
            withUnsafeMutableBytes(of: &length) { get(into: $0) }
            count -= 1
            return [UInt8](unsafeUninitializedCapacity: Int(length)) { buffer, filled in
                get(into: UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[..<Int(length)])))
                filled = Int(length)
            }
        }
    }

    // MARK: Bytes; there is room for them, or so many

    private mutating func put(_ bytes: UnsafeRawBufferPointer) {
        let place = (start + used) % Self.byteLimit
        let first = min(bytes.count, Self.byteLimit - place)
        // SAFETY: two pieces inside the ring, which has `byteLimit` bytes.
        ring.withUnsafeMutableBytes { ring in
            UnsafeMutableRawBufferPointer(rebasing: ring[place...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[..<first]))
            ring.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[first...]))
        }
        used += bytes.count
    }

    private mutating func get(into bytes: UnsafeMutableRawBufferPointer) {
        let first = min(bytes.count, Self.byteLimit - start)
        let place = start
        // SAFETY: as above.
        ring.withUnsafeBytes { ring in
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: ring[place..<place + first]))
            UnsafeMutableRawBufferPointer(rebasing: bytes[first...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: ring[..<(bytes.count - first)]))
        }
        start = (start + bytes.count) % Self.byteLimit
        used -= bytes.count
    }
}
