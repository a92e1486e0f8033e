import Pictures

/// What a device shows, copied out of its memory.
public enum Snapshot: Sendable {
    case dark
    case cells(CellPicture)
    case pixels(PixelCopy)
}

/// A rectangle of pixels.
public struct PixelArea: Equatable, Sendable {
    public var x, y, width, height: Int
    public init(x: Int, y: Int, width: Int, height: Int) {
        (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }

    var isEmpty: Bool { width <= 0 || height <= 0 }

    /// The smallest that has both.
    func union(_ other: PixelArea) -> PixelArea {
        let (left, top) = (min(x, other.x), min(y, other.y))
        return PixelArea(
            x: left, y: top, width: max(x + width, other.x + other.width) - left,
            height: max(y + height, other.y + other.height) - top)
    }

    func intersection(_ other: PixelArea) -> PixelArea {
        let (left, top) = (max(x, other.x), max(y, other.y))
        return PixelArea(
            x: left, y: top, width: min(x + width, other.x + other.width) - left,
            height: min(y + height, other.y + other.height) - top)
    }
}

/// The screen as it was last seen, 0x00RRGGBB. What has changed is known by tiles.
public struct ScreenImage: Sendable {
    /// Pixels of the largest one; the protocol counts to 65535 in each direction.
    public static let (pixelLimit, sideLimit) = (1 << 24, 65535)
    /// Pixels of a tile's side; those at the right and lower edges may be smaller.
    static let tile = 64

    public private(set) var width = 640
    public private(set) var height = 400
    private var pixels = [UInt32](repeating: 0, count: 640 * 400)

    public enum Change: Equatable, Sendable {
        /// Column and row of each tile that is not as it was.
        case tiles([Position])
        /// All of it, and its size.
        case size
    }
    public struct Position: Equatable, Sendable {
        public var column, row: Int
    }

    public init() {}

    public static func holds(width: Int, height: Int) -> Bool {
        (1...sideLimit).contains(width) && (1...sideLimit).contains(height) && height <= pixelLimit / width
    }

    public mutating func apply(_ snapshot: Snapshot) -> Change {
        switch snapshot {
        case .dark:
            return take(lines: 0..<height) { _, row in row.update(repeating: 0) }
        case .cells(let cells):
            let raster = cells.raster
            return take(raster.width, raster.height, lines: 0..<raster.height) { y, row in
                let start = y * raster.width * 3
                for x in 0..<raster.width {
                    let place = start + x * 3
                    row[x] =
                        UInt32(raster.bytes[place]) << 16 | UInt32(raster.bytes[place + 1]) << 8
                        | UInt32(raster.bytes[place + 2])
                }
            }
        case .pixels(let copy):
            return take(copy.width, copy.height, lines: copy.lines) { y, row in copy.read(line: y, into: row) }
        }
    }

    private mutating func take(
        _ width: Int, _ height: Int, lines: Range<Int>, _ read: (Int, UnsafeMutableBufferPointer<UInt32>) -> Void
    ) -> Change {
        guard Self.holds(width: width, height: height) else { return .tiles([]) }
        guard (width, height) != (self.width, self.height) else { return take(lines: lines, read) }
        (self.width, self.height) = (width, height)
        pixels = [UInt32](repeating: 0, count: width * height)
        _ = take(lines: lines, read)
        return .size
    }

    /// `read` fills the row of a line.
    private mutating func take(
        lines: Range<Int>, _ read: (Int, UnsafeMutableBufferPointer<UInt32>) -> Void
    ) -> Change {
        var changed: [Position] = []
        let (width, columns) = (width, (width + Self.tile - 1) / Self.tile)
        var isChanged = [Bool](repeating: false, count: columns)
        pixels.withUnsafeMutableBufferPointer { pixels in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: width) { row in
                for y in lines {
                    read(y, row)
                    for column in 0..<columns {
                        let x = column * Self.tile
                        // SAFETY: both within a line, which has `width` pixels; y is a line of the picture.
                        if !Self.copy(
                            UnsafeMutableBufferPointer(rebasing: row[x..<min(x + Self.tile, width)]),
                            to: UnsafeMutableBufferPointer(rebasing: pixels[(y * width + x)...]))
                        {
                            isChanged[column] = true
                        }
                    }
                    guard (y + 1) % Self.tile == 0 || y + 1 == lines.upperBound else { continue }
                    for column in 0..<columns where isChanged[column] {
                        changed.append(Position(column: column, row: y / Self.tile))
                        isChanged[column] = false
                    }
                }
            }
        }
        return .tiles(changed)
    }

    /// - Returns: they were equal.
    private static func copy(
        _ new: UnsafeMutableBufferPointer<UInt32>, to old: UnsafeMutableBufferPointer<UInt32>
    ) -> Bool {
        var difference: UInt32 = 0
        for index in 0..<new.count { difference |= new[index] ^ old[index] }
        guard difference != 0 else { return true }
        for index in 0..<new.count { old[index] = new[index] }
        return false
    }

    /// The pixels of `area`, line by line; dark where there is no picture.
    func read(_ area: PixelArea, into out: UnsafeMutableBufferPointer<UInt32>) {
        let inside = area.intersection(PixelArea(x: 0, y: 0, width: width, height: height))
        if inside != area { out[0..<area.width * area.height].update(repeating: 0) }
        guard !inside.isEmpty else { return }
        pixels.withUnsafeBufferPointer { pixels in
            for line in 0..<inside.height {
                let (from, to) = (
                    (inside.y + line) * width + inside.x,
                    (inside.y - area.y + line) * area.width + inside.x - area.x
                )
                for x in 0..<inside.width { out[to + x] = pixels[from + x] }
            }
        }
    }
}
