// Pixels, as "display/1" of plugin.h tells of them.
// SAFETY for this file: `PixelCopy` writes as many colours as a line has, and all of them.

public import CBackplane

extension Raster {
    /// Copied out of a device's region. nil: pixels or palette are not inside of their regions, or of no known format.
    public init?(
        _ surface: bp_display_surface, _ region: UnsafeRawBufferPointer, palette: UnsafeRawBufferPointer
    ) {
        guard let copy = PixelCopy(surface, region, palette: palette),
            let dark = Raster(width: copy.width, height: copy.height)
        else { return nil }
        self = dark
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: width) { row in
            for y in 0..<height {
                copy.read(line: y, into: row)
                for x in 0..<width { set(x, y, row[x]) }
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
