/// Pixels and tiles out of bytes: 7.4, 7.7.5 and 7.7.6.
struct PixelReader {
    private let bytes: [UInt8]
    private let format: RFBClient.Format
    private let isCompact: Bool
    private(set) var place = 0
    /// Pixels are TPIXELs (rfbproto, 7.7.8).
    var isTight = false

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
        if isTight, format.bits == 32, format.depth == 24, format.max == (255, 255, 255) {
            return [Int(try byte()), Int(try byte()), Int(try byte())]
        }
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

    // MARK: Tight

    /// What stands behind the control byte; nil: it is not whole yet.
    mutating func tight(_ control: UInt8, _ width: Int, _ height: Int, _ streams: [Inflate]) throws -> [[Int]]? {
        if control == 0x80 { return (try? pixel()).map { Array(repeating: $0, count: width * height) } }
        var palette: [[Int]] = []
        if control & 0x40 != 0 {
            guard let filter = try? byte() else { return nil }
            guard filter == 1 else { throw RFBClient.Violation(text: "filter \(filter)") }
            guard let most = try? byte() else { return nil }
            for _ in 0...most {
                guard let color = try? pixel() else { return nil }
                palette.append(color)
            }
        }
        let pixelSize = format.bits == 32 && format.depth == 24 && format.max == (255, 255, 255) ? 3 : format.bits / 8
        let line = palette.isEmpty ? width * pixelSize : palette.count == 2 ? (width + 7) / 8 : width
        guard let plain = try data(line * height, streams[Int(control >> 4 & 3)]) else { return nil }
        if palette.isEmpty {
            var reader = PixelReader(plain, format, isCompact: false)
            reader.isTight = true
            return try (0..<width * height).map { _ in try reader.pixel() }
        }
        return try (0..<width * height).map { place in
            let (x, y) = (place % width, place / width)
            let index =
                palette.count == 2 ? Int(plain[y * line + x / 8]) >> (7 - x % 8) & 1 : Int(plain[y * line + x])
            guard index < palette.count else { throw RFBClient.Violation(text: "a colour beyond the palette") }
            return palette[index]
        }
    }

    /// Less than 12 bytes come as they are.
    private mutating func data(_ size: Int, _ stream: Inflate) throws -> [UInt8]? {
        var length = size
        if size >= 12 {
            length = 0
            for shift in [0, 7, 14] {
                guard let part = try? byte() else { return nil }
                length |= Int(shift == 14 ? part : part & 0x7F) << shift
                if part & 0x80 == 0 { break }
            }
        }
        guard bytes.count - place >= length else { return nil }
        let piece = Array(bytes[place..<place + length])
        place += length
        guard size >= 12 else { return piece }
        guard let plain = stream.unpack(piece), plain.count == size else {
            throw RFBClient.Violation(text: "deflate")
        }
        return plain
    }
}
