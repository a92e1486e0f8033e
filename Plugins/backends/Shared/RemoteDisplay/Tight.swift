/// Tight (rfbproto, 7.7.8): one colour, a palette, or pixels, deflated. noVNC has it and not ZRLE. Not made: JPEG, PNG and gradients.
struct Tight {
    /// Of one rectangle: the protocol has 2048 pixels in a line, and palettes are for parts of a screen. So large that the one before, which is often
    /// alike, lies in deflate's window of 32 KiB: with 512 by 128 what repeats beside and below was twice as long, and took twice as long.
    static let (mostWidth, mostHeight) = (256, 32)
    /// What is shorter is not deflated.
    private static let shortest = 12

    private enum Control {
        static let fill: UInt8 = 0x80, filter: UInt8 = 0x40
        /// Streams: of pixels, and of indices.
        static let pixels: UInt8 = 0x00, indices: UInt8 = 0x10
    }
    private static let paletteFilter: UInt8 = 1

    private let pixelStream: Deflate
    private let indexStream: Deflate
    private var survey = PixelSurvey(capacity: mostWidth * mostHeight)

    /// nil: no memory.
    init?() {
        guard let pixels = Deflate(), let indices = Deflate() else { return nil }
        (pixelStream, indexStream) = (pixels, indices)
    }

    static func parts(of area: PixelArea) -> [PixelArea] {
        stride(from: 0, to: area.height, by: mostHeight).flatMap { y in
            stride(from: 0, to: area.width, by: mostWidth).map { x in
                PixelArea(
                    x: area.x + x, y: area.y + y, width: min(mostWidth, area.width - x),
                    height: min(mostHeight, area.height - y))
            }
        }
    }

    /// The data of a rectangle, which is one of `parts`.
    mutating func append(_ area: PixelArea, of image: ScreenImage, as pixels: ClientPixels, to out: inout [UInt8]) {
        survey.look(at: area, of: image)
        let palette = survey.palette
        if palette.count == 1 {
            out.append(Control.fill)
            palette.withUnsafeBufferPointer { pixels.append($0, as: .tight, to: &out) }
        } else if survey.hasPalette {
            out += [Control.filter | Control.indices, Self.paletteFilter, UInt8(palette.count - 1)]
            palette.withUnsafeBufferPointer { pixels.append($0, as: .tight, to: &out) }
            var plain: [UInt8] = []
            survey.appendPacked(bits: palette.count == 2 ? 1 : 8, to: &plain)
            Self.append(plain, by: indexStream, to: &out)
        } else {
            out.append(Control.pixels)
            var plain: [UInt8] = []
            survey.withPixels { pixels.append($0, as: .tight, to: &plain) }
            Self.append(plain, by: pixelStream, to: &out)
        }
    }

    private static func append(_ plain: [UInt8], by stream: Deflate, to out: inout [UInt8]) {
        guard plain.count >= shortest else { return out += plain }
        var deflated: [UInt8] = []
        stream.append(plain, to: &deflated)
        out += compact(deflated.count)
        out += deflated
    }

    /// 7 bits in each byte from the lowest up, 8 in a third; bit 7 of the others says that one follows. At most 22 bits: a rectangle is shorter.
    private static func compact(_ length: Int) -> [UInt8] {
        if length < 1 << 7 { return [UInt8(length)] }
        let low = UInt8(length & 0x7F) | 0x80
        if length < 1 << 14 { return [low, UInt8(length >> 7)] }
        return [low, UInt8(length >> 7 & 0x7F) | 0x80, UInt8(truncatingIfNeeded: length >> 14)]
    }
}
