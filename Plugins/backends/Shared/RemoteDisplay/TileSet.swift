/// Tiles of a picture, such as those that a client has not seen yet.
struct TileSet: Sendable {
    let width, height: Int
    private let columns, rows: Int
    private var isIn: [Bool]
    private(set) var count = 0

    /// - Parameters: the picture's size. None is in it.
    init(width: Int, height: Int) {
        (self.width, self.height) = (width, height)
        columns = (width + ScreenImage.tile - 1) / ScreenImage.tile
        rows = (height + ScreenImage.tile - 1) / ScreenImage.tile
        isIn = [Bool](repeating: false, count: columns * rows)
    }

    /// What lies outside of the picture is left out.
    mutating func insert(_ position: ScreenImage.Position) {
        guard (0..<columns).contains(position.column), (0..<rows).contains(position.row) else { return }
        let place = position.row * columns + position.column
        if !isIn[place] { count += 1 }
        isIn[place] = true
    }

    /// All that have a pixel of `area`.
    mutating func insert(_ area: PixelArea) {
        let (columns, rows) = tiles(of: area)
        for row in rows { for column in columns { insert(ScreenImage.Position(column: column, row: row)) } }
    }

    func intersects(_ area: PixelArea) -> Bool {
        guard count > 0 else { return false }
        let (columns, rows) = tiles(of: area)
        return rows.contains { row in columns.contains { isIn[row * self.columns + $0] } }
    }

    /// Takes those out that have a pixel of `area`, as rectangles, until these have `limit` pixels or more.
    mutating func take(_ area: PixelArea, limit: Int) -> [PixelArea] {
        let (columns, rows) = tiles(of: area)
        var (areas, pixels): ([PixelArea], Int) = ([], 0)
        /// Where the rectangles of the row above begin.
        var above = 0
        for row in rows where pixels < limit {
            let first = areas.count
            for span in takeSpans(row, columns) {
                pixels += span.width * span.height
                let same = areas[above..<first].firstIndex {
                    $0.x == span.x && $0.width == span.width && $0.y + $0.height == span.y
                }
                if let same { areas[same].height += span.height } else { areas.append(span) }
            }
            // One that has grown stands before `first`: it can grow again.
            if areas.count > first { above = first }
        }
        return areas
    }

    private mutating func takeSpans(_ row: Int, _ columns: Range<Int>) -> [PixelArea] {
        let tile = ScreenImage.tile
        var spans: [PixelArea] = []
        for column in columns where isIn[row * self.columns + column] {
            isIn[row * self.columns + column] = false
            count -= 1
            let (x, y) = (column * tile, row * tile)
            let width = min(tile, self.width - x)
            if let last = spans.last, last.x + last.width == x {
                spans[spans.count - 1].width += width
            } else {
                spans.append(PixelArea(x: x, y: y, width: width, height: min(tile, height - y)))
            }
        }
        return spans
    }

    private func tiles(of area: PixelArea) -> (columns: Range<Int>, rows: Range<Int>) {
        let inside = area.intersection(PixelArea(x: 0, y: 0, width: width, height: height))
        guard !inside.isEmpty else { return (0..<0, 0..<0) }
        let tile = ScreenImage.tile
        return (
            inside.x / tile..<(inside.x + inside.width - 1) / tile + 1,
            inside.y / tile..<(inside.y + inside.height - 1) / tile + 1
        )
    }
}
