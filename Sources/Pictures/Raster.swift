/// A picture of pixels: 3 bytes each, red, green and blue, line by line from the top.
public struct Raster: Equatable, Sendable {
    public let width: Int
    public let height: Int
    public private(set) var bytes: [UInt8]

    /// Pixels of the largest picture that is made.
    public static let limit = 1 << 26

    /// A dark one. nil: it has no pixel, or more than `limit`.
    init?(width: Int, height: Int) {
        guard width > 0, height > 0, width <= Self.limit, height <= Self.limit / width else { return nil }
        (self.width, self.height) = (width, height)
        bytes = [UInt8](repeating: 0, count: width * height * 3)
    }

    /// A dark screen: 8 by 8.
    public static let dark = Raster(width: 8, height: 8).unsafelyUnwrapped

    /// - Parameter color: 0xRRGGBB.
    mutating func set(_ x: Int, _ y: Int, _ color: UInt32) {
        let place = (y * width + x) * 3
        bytes[place] = UInt8(truncatingIfNeeded: color >> 16)
        bytes[place + 1] = UInt8(truncatingIfNeeded: color >> 8)
        bytes[place + 2] = UInt8(truncatingIfNeeded: color)
    }

    /// Netpbm's PPM, binary.
    public var ppm: [UInt8] { Array("P6\n\(width) \(height)\n255\n".utf8) + bytes }
}
