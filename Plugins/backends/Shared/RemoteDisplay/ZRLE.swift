/// ZRLE (RFC 6143, 7.7.6): tiles of 64 by 64, each the shortest way among those that are made here, in one deflate stream. Not made: palettes with
/// runs, which deflate makes of packed palettes as well.
struct ZRLE {
    private let stream: Deflate
    private var survey = PixelSurvey(capacity: ScreenImage.tile * ScreenImage.tile)

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
        survey.look(at: area, of: image)
        let (palette, runs, count) = (survey.palette, survey.runs, survey.count)
        if palette.count == 1 {
            out.append(Subencoding.solid)
            palette.withUnsafeBufferPointer { pixels.append($0, as: .compact, to: &out) }
        } else if survey.hasPalette {
            out.append(UInt8(palette.count))
            palette.withUnsafeBufferPointer { pixels.append($0, as: .compact, to: &out) }
            survey.appendPacked(bits: palette.count <= 2 ? 1 : palette.count <= 4 ? 2 : 4, to: &out)
        } else if runs * (pixels.compactBytes + 1) + count / 255 < count * pixels.compactBytes {
            out.append(Subencoding.runs)
            survey.withPixels { Self.appendRuns($0, pixels, to: &out) }
        } else {
            out.append(Subencoding.raw)
            survey.withPixels { pixels.append($0, as: .compact, to: &out) }
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
            pixels.append(UnsafeBufferPointer(rebasing: colors[place..<place + 1]), as: .compact, to: &out)
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
