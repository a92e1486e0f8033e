import CBackplane
import Pictures
import SplitMix
import Testing

@testable import ScreenPainting

/// A terminal as ECMA-48 has it, as much as the painter needs: what is written is read again from its cells.
private struct Window {
    struct Cell: Equatable {
        var scalar: Unicode.Scalar = " "
        var attributes = ""
    }

    let columns: Int
    let rows: Int
    var cells: [Cell]
    var cursor = (column: 0, row: 0)
    var isCursorShown = true
    /// Sequences that it does not know.
    var unknown: [String] = []
    private var attributes = "0"

    init(_ columns: Int, _ rows: Int) {
        (self.columns, self.rows) = (columns, rows)
        cells = Array(repeating: Cell(attributes: "0"), count: columns * rows)
    }

    mutating func take(_ text: String) {
        var rest = Array(text.unicodeScalars)[...]
        while let scalar = rest.popFirst() {
            guard scalar == "\u{1b}" else {
                put(scalar)
                continue
            }
            var sequence = ""
            while let next = rest.popFirst() {
                sequence.unicodeScalars.append(next)
                if next != "[", (0x40...0x7E).contains(next.value) { break }
            }
            obey(sequence)
        }
    }

    private mutating func put(_ scalar: Unicode.Scalar) {
        guard cursor.column < columns, cursor.row < rows else { return unknown.append("a character beside the window") }
        cells[cursor.row * columns + cursor.column] = Cell(scalar: scalar, attributes: attributes)
        cursor.column += 1
    }

    private mutating func obey(_ sequence: String) {
        let body = String(sequence.dropFirst().dropLast())
        switch sequence.last {
        case "H":
            let numbers = body.split(separator: ";").compactMap { Int($0) }
            cursor = ((numbers.last ?? 1) - 1, (numbers.first ?? 1) - 1)
        case "m": attributes = body
        case "J": cells = Array(repeating: Cell(attributes: "0"), count: columns * rows)
        case "q": break
        case "h" where body == "?25": isCursorShown = true
        case "l" where body == "?25": isCursorShown = false
        default: unknown.append(sequence)
        }
    }

    var text: [String] {
        (0..<rows).map { row in
            String(String.UnicodeScalarView(cells[row * columns..<(row + 1) * columns].map(\.scalar)))
        }
    }
}

@Suite struct ScreenPainterTests {
    private static let palette: [UInt32] = [
        0x000000, 0x0000A8, 0x00A800, 0x00A8A8, 0xA80000, 0xA800A8, 0xA85400, 0xA8A8A8, 0x545454, 0x5454FC, 0x54FC54,
        0x54FCFC, 0xFC5454, 0xFC54FC, 0xFCFC54, 0xFCFCFC,
    ]

    private func picture(
        _ columns: Int, _ rows: Int, palette: [UInt32] = palette, cursor: (column: Int, row: Int)? = nil,
        _ cell: (_ row: Int, _ column: Int) -> (UInt32, UInt8, Int)
    ) throws -> CellPicture {
        var form = bp_display_cells()
        (form.columns, form.rows, form.cell_width, form.cell_height) = (UInt32(columns), UInt32(rows), 8, 16)
        withUnsafeMutableBytes(of: &form.palette) { target in
            palette.withUnsafeBytes { target.copyMemory(from: $0) }
        }
        if let cursor {
            (form.cursor_column, form.cursor_row) = (UInt32(cursor.column), UInt32(cursor.row))
            (form.flags, form.cursor_first, form.cursor_last) = (UInt32(BP_CELLS_CURSOR), 13, 14)
        }
        var region: [UInt8] = []
        for row in 0..<rows {
            for column in 0..<columns {
                let (character, colors, flags) = cell(row, column)
                let cell = bp_cell(character: character, glyph: 0, colors: colors, flags: UInt8(flags))
                withUnsafeBytes(of: cell) { region += $0 }
            }
        }
        return try #require(region.withUnsafeBytes { CellPicture(form, $0) })
    }

    @Test func whatIsWrittenShowsThePicture() throws {
        var painter = ScreenPainter()
        painter.begin(columns: 80, rows: 25)
        var window = Window(80, 25)
        // Light grey on blue, as firmware's menus are; a frame's corner.
        let shown = try picture(80, 25, cursor: (3, 2)) { row, column in
            row == 0 && column == 0 ? (0x2554, 0x1F, 0) : (UInt32(0x41 + (row + column) % 26), 0x17, 0)
        }
        window.take(painter.paint(shown))
        #expect(window.unknown == [])
        #expect(window.text[0].first == "\u{2554}")
        #expect(window.text[24].hasPrefix("YZAB"))
        #expect(window.cells[0].attributes == "0;97;44")
        #expect(window.cells[1].attributes == "0;37;44")
        #expect(window.cursor == (3, 2) && window.isCursorShown)
    }

    @Test func onlyWhatHasChangedIsWritten() throws {
        var painter = ScreenPainter()
        painter.begin(columns: 80, rows: 25)
        _ = painter.paint(try picture(80, 25) { _, _ in (0x41, 7, 0) })
        let again = painter.paint(try picture(80, 25) { _, _ in (0x41, 7, 0) })
        #expect(again == "\u{1b}[?25l")
        let one = painter.paint(
            try picture(80, 25) { row, column in row == 4 && column == 9 ? (0x42, 7, 0) : (0x41, 7, 0) })
        #expect(one == "\u{1b}[5;10HB\u{1b}[?25l")
    }

    @Test func aColourThatIsNoVGAsIsAskedForByItsParts() throws {
        var painter = ScreenPainter()
        painter.begin(columns: 4, rows: 1)
        var colors = Self.palette
        colors[7] = 0x123456
        let text = painter.paint(
            try picture(4, 1, palette: colors) { _, _ in (0x41, 0x07, BP_CELL_BLINKS | BP_CELL_UNDERLINED) })
        #expect(text.contains("\u{1b}[0;38;2;18;52;86;40;5;4mAAAA"))
    }

    @Test func aSmallWindowShowsThePartWithTheCursor() throws {
        var painter = ScreenPainter()
        painter.begin(columns: 20, rows: 5)
        var window = Window(20, 5)
        func show(_ cursor: (column: Int, row: Int)) throws {
            window.take(painter.paint(try picture(80, 25, cursor: cursor) { row, _ in (UInt32(0x41 + row), 7, 0) }))
        }
        try show((0, 0))
        #expect(window.text[0].first == "A" && window.text[4].first == "E")
        try show((70, 24))
        #expect(window.text[0].first == "U" && window.text[4].first == "Y")
        #expect(window.cursor.row == 4 && window.isCursorShown)
        // Back up: by no more than it takes.
        try show((70, 19))
        #expect(window.text[0].first == "T")
        #expect(window.cursor.row == 0)
        #expect(window.unknown == [])
    }

    @Test func aLargeWindowIsDarkBesideThePicture() throws {
        var painter = ScreenPainter()
        painter.begin(columns: 100, rows: 30)
        var window = Window(100, 30)
        window.take(painter.paint(try picture(80, 25) { _, _ in (0x41, 7, 0) }))
        #expect(window.text[0] == String(repeating: "A", count: 80) + String(repeating: " ", count: 20))
        #expect(window.text[25].allSatisfy { $0 == " " })
    }

    @Test func aSentenceGoesAsItCame() throws {
        var painter = ScreenPainter()
        painter.begin(columns: 40, rows: 3)
        var window = Window(40, 3)
        window.take(painter.paint("graphics"))
        #expect(window.text[1].contains("graphics") && !window.isCursorShown)
        #expect(painter.paint("graphics") == "")
        window.take(painter.paint(try picture(40, 3) { _, _ in (0x2E, 7, 0) }))
        #expect(window.text.allSatisfy { $0.allSatisfy { $0 == "." } })
    }

    /// What is painted piece by piece is what is painted at once.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func manyPicturesInARowLeaveTheLastOne(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let size = (columns: Int.random(in: 1...90, using: &random), rows: Int.random(in: 1...30, using: &random))
        var painter = ScreenPainter()
        painter.begin(columns: size.columns, rows: size.rows)
        var window = Window(size.columns, size.rows)
        var last: (picture: CellPicture, text: String)?
        for _ in 0..<30 {
            let cursor = (Int.random(in: 0..<40, using: &random), Int.random(in: 0..<12, using: &random))
            let change = UInt32.random(in: 0..<26, using: &random)
            let shown = try picture(40, 12, cursor: Bool.random(using: &random) ? cursor : nil) { row, column in
                (0x41 + (UInt32(row * column) % 3 == 0 ? change : 0), UInt8(truncatingIfNeeded: row * 7), 0)
            }
            let text = Bool.random(using: &random) ? painter.paint(shown) : painter.paint("a sentence")
            window.take(text)
            last = (shown, text)
        }
        window.take(painter.paint(try #require(last).picture))
        for row in 0..<min(size.rows, 12) where size.rows >= 12 && size.columns >= 40 {
            for column in 0..<40 {
                let cell = try #require(last).picture.cell(row: row, column: column)
                #expect(window.cells[row * size.columns + column].scalar == cell.scalar)
            }
        }
        #expect(window.unknown == [])
    }
}
