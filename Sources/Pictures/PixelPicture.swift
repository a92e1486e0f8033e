// Pixels, as "display/1" of plugin.h tells of them.
// SAFETY for this file: every place is inside of the regions, which is checked before: what the struct says is another's word.

public import CBackplane

extension Raster {
    /// Copied out of a device's region. nil: pixels or palette are not inside of their regions, or of no known format.
    public init?(
        _ surface: bp_display_surface, _ region: UnsafeRawBufferPointer, palette: UnsafeRawBufferPointer
    ) {
        guard let format = PixelFormat(surface.format),
            let dark = Raster(width: Int(surface.width), height: Int(surface.height))
        else { return nil }
        self = dark
        // Up to 2^32 * 2^26: no overflow.
        let line = UInt64(width) * UInt64(format.bytes)
        let end = UInt64(surface.stride) * UInt64(height - 1) + line
        guard surface.offset <= UInt64(region.count), end <= UInt64(region.count) - surface.offset,
            format.bytes > 1
                || surface.palette_offset <= UInt64(palette.count)
                    && 1024 <= UInt64(palette.count) - surface.palette_offset
        else { return nil }
        let colors: [UInt32] =
            format.bytes > 1
            ? []
            : (0..<256).map {
                palette.loadUnaligned(fromByteOffset: Int(surface.palette_offset) + 4 * $0, as: UInt32.self)
            }
        for y in 0..<height {
            let start = Int(surface.offset) + y * Int(surface.stride)
            for x in 0..<width {
                var pixel: UInt32 = 0
                for byte in 0..<format.bytes {
                    pixel |= UInt32(region[start + x * format.bytes + byte]) << UInt32(byte * 8)
                }
                set(x, y, colors.isEmpty ? format.color(pixel) : colors[Int(pixel)])
            }
        }
    }
}

/// How a pixel's bits are its colour.
enum PixelFormat: UInt32 {
    case xrgb8888 = 1, rgb888, rgb565, xrgb1555, indexed8

    init?(_ value: UInt32) { self.init(rawValue: value) }

    var bytes: Int {
        switch self {
        case .xrgb8888: 4
        case .rgb888: 3
        case .rgb565, .xrgb1555: 2
        case .indexed8: 1
        }
    }

    /// 0xRRGGBB of a pixel that is no index.
    func color(_ pixel: UInt32) -> UInt32 {
        switch self {
        case .xrgb8888, .rgb888, .indexed8: pixel & 0xFF_FFFF
        case .rgb565: Self.wide(pixel >> 11, 5) << 16 | Self.wide(pixel >> 5, 6) << 8 | Self.wide(pixel, 5)
        case .xrgb1555: Self.wide(pixel >> 10, 5) << 16 | Self.wide(pixel >> 5, 5) << 8 | Self.wide(pixel, 5)
        }
    }

    /// The low 5 or 6 bits, as 8.
    private static func wide(_ value: UInt32, _ bits: UInt32) -> UInt32 {
        let low = value & (1 << bits - 1)
        return low << (8 - bits) | low >> (2 * bits - 8)
    }
}
