/// ZRLE (RFC 6143, 7.7.6): tiles of 64 by 64, each the shortest way among those that are made here, in one deflate stream. Not made: palettes with
/// runs, which deflate makes of packed palettes as well.
struct ZRLE {
    private static let mostColors = 16
    private let stream: Deflate
    private var tile = [UInt32](repeating: 0, count: ScreenImage.tile * ScreenImage.tile)
    private var indices = [UInt8](repeating: 0, count: ScreenImage.tile * ScreenImage.tile)

    private enum Subencoding {
        static let raw: UInt8 = 0, solid: UInt8 = 1, runs: UInt8 = 128
    }

    /// nil: no memory.
    init?() {
        guard let stream = Deflate() else { return nil }
        self.stream = stream
    }

    /// The data of a rectangle: its length and its deflated tiles.
    mutating func append(_ area: PixelArea, of image: ScreenImage, as pixels: ClientPixels, to out: inout [UInt8]) {
        var plain: [UInt8] = []
        plain.reserveCapacity(area.width * area.height + 64)
        for y in stride(from: 0, to: area.height, by: ScreenImage.tile) {
            for x in stride(from: 0, to: area.width, by: ScreenImage.tile) {
                append(
                    tile: PixelArea(
                        x: area.x + x, y: area.y + y, width: min(ScreenImage.tile, area.width - x),
                        height: min(ScreenImage.tile, area.height - y)),
                    of: image, as: pixels, to: &plain)
            }
        }
        let place = out.count
        out += [0, 0, 0, 0]
        stream.append(plain, to: &out)
        let length = UInt32(truncatingIfNeeded: out.count - place - 4)
        for byte in 0..<4 { out[place + byte] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * byte)) }
    }

    private mutating func append(
        tile area: PixelArea, of image: ScreenImage, as pixels: ClientPixels, to out: inout [UInt8]
    ) {
        let count = area.width * area.height
        tile.withUnsafeMutableBufferPointer { image.read(area, into: $0) }
        let (palette, runs) = survey(count)
        tile.withUnsafeBufferPointer { tile in
            let colors = UnsafeBufferPointer(rebasing: tile[..<count])
            if palette.count == 1 {
                out.append(Subencoding.solid)
                pixels.append(UnsafeBufferPointer(rebasing: colors[..<1]), isCompact: true, to: &out)
            } else if palette.count <= Self.mostColors {
                out.append(UInt8(palette.count))
                palette.withUnsafeBufferPointer { pixels.append($0, isCompact: true, to: &out) }
                appendPacked(area, bits: palette.count <= 2 ? 1 : palette.count <= 4 ? 2 : 4, to: &out)
            } else if runs * (pixels.compactBytes + 1) + count / 255 < count * pixels.compactBytes {
                out.append(Subencoding.runs)
                Self.appendRuns(colors, pixels, to: &out)
            } else {
                out.append(Subencoding.raw)
                pixels.append(colors, isCompact: true, to: &out)
            }
        }
    }

    /// The colours, or more of them than a palette is made for; the index of each pixel where they are few; the number of runs.
    private mutating func survey(_ count: Int) -> (palette: [UInt32], runs: Int) {
        var palette: [UInt32] = []
        var runs = 0
        tile.withUnsafeBufferPointer { tile in
            indices.withUnsafeMutableBufferPointer { indices in
                var (last, index): (UInt32?, Int) = (nil, 0)
                for place in 0..<count {
                    let color = tile[place]
                    if color != last {
                        runs += 1
                        last = color
                        if palette.count <= Self.mostColors {
                            index = palette.firstIndex(of: color) ?? palette.count
                            if index == palette.count { palette.append(color) }
                        }
                    }
                    indices[place] = UInt8(truncatingIfNeeded: index)
                }
            }
        }
        return (palette, runs)
    }

    /// Each line begins with a byte of its own; the leftmost pixel is in the highest bits.
    private func appendPacked(_ area: PixelArea, bits: Int, to out: inout [UInt8]) {
        for line in 0..<area.height {
            var (byte, used): (UInt8, Int) = (0, 0)
            for x in 0..<area.width {
                byte = byte << UInt8(bits) | indices[line * area.width + x]
                used += bits
                if used == 8 {
                    out.append(byte)
                    (byte, used) = (0, 0)
                }
            }
            if used > 0 { out.append(byte << UInt8(8 - used)) }
        }
    }

    /// A pixel, and how often it comes less one: as many 255 as go into that, and the rest.
    private static func appendRuns(
        _ colors: UnsafeBufferPointer<UInt32>, _ pixels: ClientPixels, to out: inout [UInt8]
    ) {
        var place = 0
        while place < colors.count {
            var end = place + 1
            while end < colors.count, colors[end] == colors[place] { end += 1 }
            pixels.append(UnsafeBufferPointer(rebasing: colors[place..<place + 1]), isCompact: true, to: &out)
            var rest = end - place - 1
            while rest >= 255 {
                out.append(255)
                rest -= 255
            }
            out.append(UInt8(rest))
            place = end
        }
    }
}
