public import Pictures

/// Makes a terminal's window show a screen of text cells: what is to be written for each picture, by ECMA-48's control sequences. Only what has
/// changed since the last one is written.
public struct ScreenPainter {
    /// Columns and rows of the window.
    private var window = (columns: 80, rows: 25)
    /// What the window shows; nil: nobody knows.
    private var shown: [CellPicture.Cell?] = []
    /// Of the picture, at the window's upper left.
    private var origin = (column: 0, row: 0)
    private var colors: [UInt32] = []
    private var codes: [ColorCodes] = []
    private var message: String?
    private var pen: Pen?
    private var place: (column: Int, row: Int)?

    /// What the terminal's attributes are.
    private struct Pen: Equatable {
        var foreground: UInt8
        var background: UInt8
        var blinks: Bool
        var isUnderlined: Bool
    }

    public init() {}

    /// The window has this size, and is clear.
    public mutating func begin(columns: Int, rows: Int) {
        window = (min(max(columns, 1), 1024), min(max(rows, 1), 1024))
        forget()
        message = nil
    }

    private mutating func forget() {
        shown = Array(repeating: nil, count: window.columns * window.rows)
        (pen, place) = (nil, nil)
    }

    // MARK: Pictures

    public mutating func paint(_ picture: CellPicture) -> String {
        var text = clearMessage()
        if picture.colors != colors {
            colors = picture.colors
            codes = colors.enumerated().map { ColorCodes(index: $0.offset, color: $0.element) }
            forget()
        }
        follow(picture)
        for row in 0..<window.rows {
            for column in 0..<window.columns { paint(picture, row, column, into: &text) }
        }
        return text + cursor(of: picture)
    }

    /// A sentence in the middle of a clear window.
    public mutating func paint(_ sentence: String) -> String {
        guard message != sentence else { return "" }
        message = sentence
        forget()
        let row = window.rows / 2 + 1
        let column = max(0, window.columns - sentence.count) / 2 + 1
        return "\u{1b}[0m\u{1b}[2J\u{1b}[?25l\u{1b}[\(row);\(column)H" + String(sentence.prefix(window.columns))
    }

    private mutating func clearMessage() -> String {
        guard message != nil else { return "" }
        message = nil
        forget()
        return "\u{1b}[0m\u{1b}[2J"
    }

    /// A window that is smaller than the picture shows the part with the cursor.
    private mutating func follow(_ picture: CellPicture) {
        var new = origin
        if let cursor = picture.cursor {
            new.row = min(max(origin.row, cursor.row - window.rows + 1), cursor.row)
            new.column = min(max(origin.column, cursor.column - window.columns + 1), cursor.column)
        }
        new.row = min(new.row, max(0, picture.rows - window.rows))
        new.column = min(new.column, max(0, picture.columns - window.columns))
        origin = new
    }

    private mutating func paint(_ picture: CellPicture, _ row: Int, _ column: Int, into text: inout String) {
        let (pictureRow, pictureColumn) = (row + origin.row, column + origin.column)
        let isInside = pictureRow < picture.rows && pictureColumn < picture.columns
        let cell = isInside ? picture.cell(row: pictureRow, column: pictureColumn) : .dark
        let index = row * window.columns + column
        guard shown[index] != cell else { return }
        shown[index] = cell
        if place?.column != column || place?.row != row { text += "\u{1b}[\(row + 1);\(column + 1)H" }
        take(
            Pen(
                foreground: cell.foreground, background: cell.background, blinks: cell.blinks,
                isUnderlined: cell.isUnderlined), into: &text)
        text.unicodeScalars.append(cell.scalar)
        // Behind the last column terminals differ.
        place = column + 1 < window.columns ? (column + 1, row) : nil
    }

    private mutating func take(_ new: Pen, into text: inout String) {
        guard pen != new else { return }
        pen = new
        let parts = [
            "0", codes[Int(new.foreground & 15)].foreground, codes[Int(new.background & 15)].background,
            new.blinks ? "5" : nil, new.isUnderlined ? "4" : nil,
        ]
        text += "\u{1b}[" + parts.compactMap(\.self).joined(separator: ";") + "m"
    }

    private mutating func cursor(of picture: CellPicture) -> String {
        guard let cursor = picture.cursor, cursor.row >= origin.row, cursor.column >= origin.column,
            cursor.row - origin.row < window.rows, cursor.column - origin.column < window.columns
        else { return "\u{1b}[?25l" }
        place = nil
        let shape = picture.hasBlockCursor ? 1 : 3
        return "\u{1b}[\(cursor.row - origin.row + 1);\(cursor.column - origin.column + 1)H\u{1b}[\(shape) q\u{1b}[?25h"
    }
}

/// A colour of the palette as a terminal is asked for it: by its own name for it where it is one of the 16 that a VGA begins with, by its parts
/// otherwise.
struct ColorCodes {
    let foreground: String
    let background: String

    private static let usual: [UInt32] = [
        0x000000, 0x0000AA, 0x00AA00, 0x00AAAA, 0xAA0000, 0xAA00AA, 0xAA5500, 0xAAAAAA, 0x555555, 0x5555FF, 0x55FF55,
        0x55FFFF, 0xFF5555, 0xFF55FF, 0xFFFF55, 0xFFFFFF,
    ]

    /// `index`: in the palette, 0 to 15.
    init(index: Int, color: UInt32) {
        let parts = [16, 8, 0].map { Int(color >> $0 & 0xFF) }
        let usual = [16, 8, 0].map { Int(Self.usual[index & 15] >> $0 & 0xFF) }
        if zip(parts, usual).allSatisfy({ abs($0 - $1) <= 4 }) {
            // Red and blue are the other way round.
            let number = index & 2 | (index & 1) << 2 | (index & 4) >> 2
            let isBright = index & 8 != 0
            foreground = "\(number + (isBright ? 90 : 30))"
            background = "\(number + (isBright ? 100 : 40))"
        } else {
            let text = parts.map(String.init).joined(separator: ";")
            foreground = "38;2;" + text
            background = "48;2;" + text
        }
    }
}
