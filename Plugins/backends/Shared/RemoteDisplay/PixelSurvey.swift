/// The pixels of an area, and what an encoder asks first: its colours where they are few, and its runs.
struct PixelSurvey {
    static let mostColors = 16

    /// Line by line, in the first places.
    private(set) var pixels: [UInt32]
    /// Of each pixel in `palette`, where that is whole.
    private(set) var indices: [UInt8]
    /// In the order in which they come; one more than `mostColors`: there are more.
    private(set) var palette: [UInt32] = []
    private(set) var runs = 0
    private(set) var area = PixelArea(x: 0, y: 0, width: 0, height: 0)

    /// - Parameter capacity: pixels of the largest area.
    init(capacity: Int) {
        pixels = [UInt32](repeating: 0, count: capacity)
        indices = [UInt8](repeating: 0, count: capacity)
    }

    var count: Int { area.width * area.height }
    var hasPalette: Bool { palette.count <= Self.mostColors }

    mutating func look(at area: PixelArea, of image: ScreenImage) {
        self.area = area
        let count = area.width * area.height
        var (palette, runs): ([UInt32], Int) = ([], 0)
        pixels.withUnsafeMutableBufferPointer { pixels in
            image.read(area, into: pixels)
            indices.withUnsafeMutableBufferPointer { indices in
                var (last, index): (UInt32?, Int) = (nil, 0)
                for place in 0..<count {
                    let color = pixels[place]
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
        (self.palette, self.runs) = (palette, runs)
    }

    func withPixels<R>(_ body: (UnsafeBufferPointer<UInt32>) -> R) -> R {
        pixels.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[..<count])) }
    }

    /// Indices of so many bits. Each line begins with a byte of its own; the leftmost pixel is in the highest bits.
    func appendPacked(bits: Int, to out: inout [UInt8]) {
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
}
