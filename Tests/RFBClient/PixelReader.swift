/// Pixels and tiles out of bytes: 7.4, 7.7.5 and 7.7.6.
struct PixelReader {
    private let bytes: [UInt8]
    private let format: RFBClient.Format
    private let isCompact: Bool
    private var place = 0

    init(_ bytes: [UInt8], _ format: RFBClient.Format, isCompact: Bool) {
        (self.bytes, self.format, self.isCompact) = (bytes, format, isCompact)
    }

    var isAtEnd: Bool { place == bytes.count }

    mutating func byte() throws -> UInt8 {
        guard place < bytes.count else { throw RFBClient.Violation(text: "too few bytes") }
        defer { place += 1 }
        return bytes[place]
    }

    mutating func pixel() throws -> [Int] {
        let (count, isHigh) = isCompact ? format.compact : (format.bits / 8, false)
        var parts: [Int] = []
        for _ in 0..<count { parts.append(Int(try byte())) }
        if !format.isBigEndian { parts.reverse() }
        let value = parts.reduce(0) { $0 << 8 | $1 } << (isHigh ? 8 : 0)
        return [
            value >> format.shift.0 & format.max.0, value >> format.shift.1 & format.max.1,
            value >> format.shift.2 & format.max.2,
        ]
    }

    mutating func tile(_ subencoding: UInt8, _ width: Int, _ height: Int) throws -> [[Int]] {
        var pixels: [[Int]] = []
        switch subencoding {
        case 0: for _ in 0..<width * height { pixels.append(try pixel()) }
        case 1: pixels = Array(repeating: try pixel(), count: width * height)
        case 2...16:
            let palette = try (0..<subencoding).map { _ in try pixel() }
            let bits = subencoding == 2 ? 1 : subencoding <= 4 ? 2 : 4
            for _ in 0..<height {
                let line = try (0..<(width * bits + 7) / 8).map { _ in try byte() }
                for x in 0..<width {
                    let index = Int(line[x * bits / 8]) >> (8 - bits - x * bits % 8) & (1 << bits - 1)
                    guard index < palette.count else { throw RFBClient.Violation(text: "a colour beyond the palette") }
                    pixels.append(palette[index])
                }
            }
        case 128:
            while pixels.count < width * height {
                let color = try pixel()
                var length = 1
                var more: UInt8 = 255
                while more == 255 {
                    more = try byte()
                    length += Int(more)
                }
                pixels += Array(repeating: color, count: length)
            }
            guard pixels.count == width * height else { throw RFBClient.Violation(text: "a run beyond its tile") }
        default: throw RFBClient.Violation(text: "subencoding \(subencoding)")
        }
        return pixels
    }
}
