/// How a client wants its pixels: PIXEL_FORMAT of RFC 6143, 7.4, true colour only.
struct ClientPixels: Sendable {
    static let wireSize = 16

    private struct Channel {
        var max, shift: UInt32
        var mask: UInt32 { max << shift }
    }

    /// How a pixel is written: whole, as ZRLE's CPIXEL (7.7.5), as Tight's TPIXEL (rfbproto, 7.7.8).
    enum Form { case whole, compact, tight }

    /// Bytes of a pixel, and of the others.
    let bytes, compactBytes, tightBytes: Int
    /// Of red, green and blue, 256 each: their bits of a pixel whose bytes follow from the lowest up.
    private let full, compact, tight: [UInt32]
    let wire: [UInt8]

    /// What the server offers: 32 bits, 0x00RRGGBB, little-endian.
    static let own = ClientPixels([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]).unsafelyUnwrapped

    /// nil: a colour map, or bits that no pixel has.
    init?(_ wire: [UInt8]) {
        guard wire.count == Self.wireSize else { return nil }
        let (bits, depth, isBigEndian, isTrueColor) = (wire[0], wire[1], wire[2] != 0, wire[3] != 0)
        let channels = (0..<3).map { index in
            Channel(
                max: UInt32(wire[4 + 2 * index]) << 8 | UInt32(wire[5 + 2 * index]), shift: UInt32(wire[10 + index]))
        }
        guard isTrueColor, bits == 8 || bits == 16 || bits == 32, depth <= bits else { return nil }
        var all: UInt32 = 0
        for channel in channels {
            guard channel.max > 0, channel.max & (channel.max + 1) == 0,
                Int(channel.shift) + channel.max.nonzeroBitCount <= Int(bits), all & channel.mask == 0
            else { return nil }
            all |= channel.mask
        }
        bytes = Int(bits) / 8
        let (fitsLow, fitsHigh) = (all >> 24 == 0, all & 0xFF == 0)
        let isCompact = bits == 32 && depth <= 24 && (fitsLow || fitsHigh)
        compactBytes = isCompact ? 3 : bytes
        // noVNC takes the fourth byte for opacity, and in 1.3 sets it at the wrong place itself.
        full = Self.table(channels, filling: bits == 32 ? ~all : 0, dropping: 0, bytes: bytes, isBigEndian)
        compact = Self.table(
            channels, filling: 0, dropping: isCompact && !fitsLow ? 8 : 0, bytes: compactBytes, isBigEndian)
        // Red, green and blue in this order, whatever the pixel is.
        let isTight = bits == 32 && depth == 24 && channels.allSatisfy { $0.max == 255 }
        tightBytes = isTight ? 3 : Int(bits) / 8
        tight = isTight ? (0..<3).flatMap { byte in (0..<256).map { $0 << UInt32(8 * byte) } } : full
        self.wire = wire
    }

    private func size(_ form: Form) -> Int {
        switch form {
        case .whole: bytes
        case .compact: compactBytes
        case .tight: tightBytes
        }
    }

    private func table(_ form: Form) -> [UInt32] {
        switch form {
        case .whole: full
        case .compact: compact
        case .tight: tight
        }
    }

    /// - Parameter filling: bits that are set in every pixel.
    private static func table(
        _ channels: [Channel], filling: UInt32, dropping bits: UInt32, bytes: Int, _ isBigEndian: Bool
    ) -> [UInt32] {
        channels.flatMap { channel in
            (0..<256).map { (level: UInt32) in
                let value = ((((level * channel.max + 127) / 255) << channel.shift) | filling) >> bits
                return isBigEndian ? value.byteSwapped >> UInt32(32 - 8 * bytes) : value
            }
        }
    }

    func append(_ colors: UnsafeBufferPointer<UInt32>, as form: Form, to out: inout [UInt8]) {
        let bytes = size(form)
        out += [UInt8](unsafeUninitializedCapacity: colors.count * bytes) { buffer, count in
            if let start = buffer.baseAddress { Self.encode(colors, by: table(form), bytes, into: start) }
            count = colors.count * bytes
        }
    }

    private static func encode(
        _ colors: UnsafeBufferPointer<UInt32>, by table: [UInt32], _ bytes: Int,
        into out: UnsafeMutablePointer<UInt8>
    ) {
        table.withUnsafeBufferPointer { table in
            var place = out
            for color in colors {
                // SAFETY: three tables of 256 entries; `bytes` places for each colour.
                var value =
                    table[Int(color >> 16 & 0xFF)] | table[256 + Int(color >> 8 & 0xFF)]
                    | table[512 + Int(color & 0xFF)]
                for _ in 0..<bytes {
                    place.pointee = UInt8(truncatingIfNeeded: value)
                    value >>= 8
                    place += 1
                }
            }
        }
    }
}
