// The VGA's own graphics modes: what the registers and planes show, as pixels.
//
// Not modelled: pixel panning and skew; the 256-colour modes' way through the attribute controller's palette, which
// software leaves as it is.

/// What the registers say about a picture of pixels.
public struct GraphicsGeometry: Equatable, Sendable {
    /// 1...2048.
    public var width: Int
    /// 1...1024.
    public var height: Int

    /// Character clocks of a line: 8 pixels each, in 256 colours 4.
    var characters: Int
    /// Lines of the picture that a row of addresses has.
    var linesPerRow: Int
    /// The first line of the lower part of a split screen.
    var splitLine: Int
    var start: UInt32
    var pitch: UInt32
}

extension VGA {
    private var is256Colors: Bool { state.graphics[Graphics.mode] & 0x40 != 0 }
    /// Two bits of a pixel beside each other, as a CGA has them.
    private var isInterleaved: Bool { state.graphics[Graphics.mode] & 0x20 != 0 }
    /// The row scan counter takes the place of address bits 13 and 14 (CRTC 17, bits 0 and 1 cleared).
    private var rowScanBits: UInt32 { UInt32(~state.crtc[CRTC.mode] & 0b11) }

    /// Nil: no graphics are shown.
    public var graphicsGeometry: GraphicsGeometry? {
        guard case .graphics = display else { return nil }
        let maximum = state.crtc[CRTC.maximumScanLine]
        let rowHeight = Int(maximum & 0x1F) + 1
        // Each line twice, and each row's lines alike where they have one address.
        let repeats = (maximum & 0x80 != 0 ? 2 : 1) * (rowScanBits == 0 ? rowHeight : 1)
        let displayed = Int(vertical(CRTC.verticalDisplayEnd, bit8: 0x02, bit9: 0x40)) + 1
        let compare = Int(vertical(CRTC.lineCompare, bit8: 0x10, bit9: 0)) | (maximum & 0x40 != 0 ? 0x200 : 0)
        let characters = Int(state.crtc[CRTC.horizontalDisplayEnd]) + 1
        return GraphicsGeometry(
            width: characters * (is256Colors ? 4 : 8), height: max(displayed / repeats, 1), characters: characters,
            linesPerRow: rowScanBits == 0 ? 1 : rowHeight, splitLine: (compare + repeats) / repeats,
            start: pair(CRTC.startHigh) &+ UInt32(state.crtc[CRTC.presetRowScan] >> 5 & 3),
            pitch: UInt32(state.crtc[CRTC.offset]) &* 2)
    }

    /// A line of pixels, as indices of `graphicsPalette`.
    /// - Parameters:
    ///   - memory: at least `memorySize` bytes; nothing is done with less.
    ///   - put: is called with each pixel's column and index.
    public func graphicsLine(
        _ line: Int, _ geometry: GraphicsGeometry, of memory: Span<UInt8>, _ put: (Int, UInt8) -> Void
    ) {
        guard memory.count >= Self.memorySize, line >= 0 else { return }
        let isLower = line >= geometry.splitLine
        let (row, scan) = (isLower ? line - geometry.splitLine : line).quotientAndRemainder(
            dividingBy: geometry.linesPerRow)
        let first = (isLower ? 0 : geometry.start) &+ geometry.pitch &* UInt32(truncatingIfNeeded: row)
        for character in 0..<geometry.characters {
            let counter = first &+ UInt32(truncatingIfNeeded: character)
            let place = offset(counter, scan: UInt32(truncatingIfNeeded: scan)) * 4
            let planes = (memory[place], memory[place + 1], memory[place + 2], memory[place + 3])
            if is256Colors {
                put(character * 4, planes.0)
                put(character * 4 + 1, planes.1)
                put(character * 4 + 2, planes.2)
                put(character * 4 + 3, planes.3)
            } else {
                for pixel in 0..<8 {
                    put(character * 8 + pixel, isInterleaved ? pair(planes, pixel) : bits(planes, pixel))
                }
            }
        }
    }

    /// In planes. In chain 4 the memory is one plane after the other already.
    private func offset(_ counter: UInt32, scan: UInt32) -> Int {
        let chained = state.sequencer[Sequencer.memoryMode] & 0b1000 != 0
        let place = chained ? Int(counter & 0xFFFF) : planeOffset(counter)
        let bits = Int(rowScanBits) << 13
        return place & ~bits | Int(scan) << 13 & bits
    }

    private typealias Planes = (UInt8, UInt8, UInt8, UInt8)

    private func bits(_ planes: Planes, _ pixel: Int) -> UInt8 {
        let shift = UInt8(truncatingIfNeeded: 7 - pixel)
        return planes.0 &>> shift & 1 | (planes.1 &>> shift & 1) << 1 | (planes.2 &>> shift & 1) << 2
            | (planes.3 &>> shift & 1) << 3
    }

    /// Four pixels from planes 0 and 2, then four from 1 and 3.
    private func pair(_ planes: Planes, _ pixel: Int) -> UInt8 {
        let shift = UInt8(truncatingIfNeeded: 6 - pixel % 4 * 2)
        let (low, high) = pixel < 4 ? (planes.0, planes.2) : (planes.1, planes.3)
        return low &>> shift & 3 | (high &>> shift & 3) << 2
    }

    /// The colours of `graphicsLine`'s indices, 0xRRGGBB: 256, of which the 16-colour modes use the first 16.
    public var graphicsPalette: [UInt32] {
        is256Colors
            ? (0..<256).map { state.dac.color(UInt8(truncatingIfNeeded: $0)) }
            : textPalette + [UInt32](repeating: 0, count: 240)
    }
}
