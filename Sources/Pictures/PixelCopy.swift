// Pixels, as "display/1" of plugin.h tells of them.
// SAFETY for this file: every place is inside of the regions, which `init` checks: what the struct says is another's word.

public import CBackplane

/// Lines of a surface, copied out of a device's region as they are: what is to be made of them can be made later, elsewhere.
public struct PixelCopy: Sendable {
    public let width: Int
    public let height: Int
    /// Those that were copied.
    public let lines: Range<Int>
    private let format: PixelFormat
    private let bytes: [UInt8]
    /// 0x00RRGGBB of each index; empty: pixels are colours.
    private let colors: [UInt32]

    /// - Parameter lines: what lies outside of the picture is left out; nil: all.
    /// nil: they are not inside of their region, the palette is not, the format is unknown, or there are more pixels than `Raster.limit`.
    public init?(
        _ surface: bp_display_surface, _ region: UnsafeRawBufferPointer, palette: UnsafeRawBufferPointer,
        lines wanted: Range<Int>? = nil
    ) {
        guard let place = PixelPlace(surface, region, palette: palette) else { return nil }
        (width, height, format) = (place.width, place.height, place.format)
        colors = (0..<place.palette.count / 4).map {
            place.palette.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)
        }
        lines = (wanted ?? 0..<height).clamped(to: 0..<height)
        let copied = lines
        bytes = [UInt8](unsafeUninitializedCapacity: copied.count * place.length) { buffer, count in
            let all = UnsafeMutableRawBufferPointer(buffer)
            for (index, y) in copied.enumerated() {
                UnsafeMutableRawBufferPointer(rebasing: all[(index * place.length)...]).copyMemory(from: place.line(y))
            }
            count = copied.count * place.length
        }
    }

    /// The colours of line `y`, one of `lines`, 0x00RRGGBB; `row` has `width` places.
    public func read(line y: Int, into row: UnsafeMutableBufferPointer<UInt32>) {
        let length = width * format.bytes
        bytes.withUnsafeBytes { all in
            let line = UnsafeRawBufferPointer(rebasing: all[((y - lines.lowerBound) * length)...].prefix(length))
            switch format {
            case .xrgb8888:
                for x in 0..<width { row[x] = line.loadUnaligned(fromByteOffset: 4 * x, as: UInt32.self) & 0xFF_FFFF }
            case .rgb888:
                for x in 0..<width {
                    row[x] = UInt32(line[3 * x]) | UInt32(line[3 * x + 1]) << 8 | UInt32(line[3 * x + 2]) << 16
                }
            case .rgb565, .xrgb1555:
                for x in 0..<width {
                    row[x] = format.color(UInt32(line.loadUnaligned(fromByteOffset: 2 * x, as: UInt16.self)))
                }
            case .indexed8: for x in 0..<width { row[x] = colors[Int(line[x])] & 0xFF_FFFF }
            }
        }
    }
}

/// Where the lines of a surface are in its device's region.
struct PixelPlace {
    let width, height: Int
    let format: PixelFormat
    /// Bytes of a line.
    let length: Int
    /// 256 colours of 4 bytes; empty: pixels are colours.
    let palette: UnsafeRawBufferPointer
    private let region: UnsafeRawBufferPointer
    private let start, stride: Int

    /// nil: as `PixelCopy` has it.
    init?(_ surface: bp_display_surface, _ region: UnsafeRawBufferPointer, palette: UnsafeRawBufferPointer) {
        guard let format = PixelFormat(surface.format), surface.width > 0, surface.height > 0,
            Int(surface.height) <= Raster.limit / Int(surface.width)
        else { return nil }
        (width, height, self.format, self.region) = (Int(surface.width), Int(surface.height), format, region)
        // Up to 2^32 * 2^26: no overflow.
        let line = UInt64(width) * UInt64(format.bytes)
        let end = UInt64(surface.stride) * UInt64(height - 1) + line
        guard surface.offset <= UInt64(region.count), end <= UInt64(region.count) - surface.offset,
            format.bytes > 1
                || surface.palette_offset <= UInt64(palette.count)
                    && 1024 <= UInt64(palette.count) - surface.palette_offset
        else { return nil }
        (start, stride, length) = (Int(surface.offset), Int(surface.stride), Int(line))
        self.palette = UnsafeRawBufferPointer(
            rebasing: format.bytes > 1 ? palette[0..<0] : palette[Int(surface.palette_offset)...].prefix(1024))
    }

    /// `y`: one of the picture's.
    func line(_ y: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: region[(start + y * stride)...].prefix(length))
    }
}
