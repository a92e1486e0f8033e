// Cells of text, as "display/1" of plugin.h tells of them.
// SAFETY for this file: every place is inside of the region, which `init` checks: what the struct says is another's word.

public import CBackplane

/// A screen of text cells, copied out of a device's region.
public struct CellPicture: Sendable {
    public let columns: Int
    public let rows: Int
    private let form: bp_display_cells
    /// Row by row.
    private let cells: [bp_cell]
    /// 32 lines of each glyph.
    private let font: [UInt16]
    private let palette: [UInt32]

    private static let linesPerGlyph = 32

    /// nil: cells or font are not inside of the region, or have a shape that none has.
    public init?(_ form: bp_display_cells, _ region: UnsafeRawBufferPointer) {
        guard (1...1024).contains(form.columns), (1...1024).contains(form.rows), (1...16).contains(form.cell_width),
            (1...32).contains(form.cell_height), form.glyphs <= 0x1_0000,
            let cells = Self.copy(region, form.cells, Int(form.columns * form.rows), as: bp_cell.self),
            let font = Self.copy(region, form.font, Int(form.glyphs) * Self.linesPerGlyph, as: UInt16.self)
        else { return nil }
        (columns, rows) = (Int(form.columns), Int(form.rows))
        (self.form, self.cells, self.font) = (form, cells, font)
        palette = withUnsafeBytes(of: form.palette) { Array($0.bindMemory(to: UInt32.self)) }
    }

    private static func copy<T: BitwiseCopyable>(
        _ region: UnsafeRawBufferPointer, _ offset: UInt64, _ count: Int, as type: T.Type
    ) -> [T]? {
        let length = count * MemoryLayout<T>.stride
        guard offset <= UInt64(region.count), length <= region.count - Int(offset) else { return nil }
        return (0..<count).map {
            region.loadUnaligned(fromByteOffset: Int(offset) + $0 * MemoryLayout<T>.stride, as: type)
        }
    }

    /// The rows as text, without the spaces at their ends.
    public var text: [String] {
        (0..<rows).map { row in
            var line = String.UnicodeScalarView()
            for cell in cells[row * columns..<(row + 1) * columns] { line.append(Self.scalar(cell.character)) }
            while line.last == " " { line.removeLast() }
            return String(line)
        }
    }

    /// What a terminal would take for a command is shown as a dot.
    private static func scalar(_ character: UInt32) -> Unicode.Scalar {
        guard character != 0 else { return " " }
        guard let scalar = Unicode.Scalar(character), character >= 0x20, !(0x7F..<0xA0).contains(character) else {
            return "."
        }
        return scalar == "\u{A0}" ? " " : scalar
    }

    /// Column and row of the cursor; nil: there is none.
    public var cursor: (column: Int, row: Int)? {
        guard form.flags & UInt32(BP_CELLS_CURSOR) != 0, form.cursor_column < form.columns, form.cursor_row < form.rows
        else { return nil }
        return (Int(form.cursor_column), Int(form.cursor_row))
    }

    /// A cell as a terminal can show it. Colours are in the palette.
    public struct Cell: Equatable, Sendable {
        public var scalar: Unicode.Scalar
        public var foreground: UInt8
        public var background: UInt8
        public var blinks: Bool
        public var isUnderlined: Bool

        /// What is beside every picture.
        public static let dark = Cell(scalar: " ", foreground: 7, background: 0, blinks: false, isUnderlined: false)
    }

    /// `row` and `column`: inside of the picture.
    public func cell(row: Int, column: Int) -> Cell {
        let cell = cells[row * columns + column]
        return Cell(
            scalar: Self.scalar(cell.character), foreground: cell.colors & 0xF, background: cell.colors >> 4,
            blinks: Int(cell.flags) & BP_CELL_BLINKS != 0, isUnderlined: Int(cell.flags) & BP_CELL_UNDERLINED != 0)
    }

    /// 16 colours, 0x00RRGGBB.
    public var colors: [UInt32] { palette }

    /// The cursor covers half of its cell or more.
    public var hasBlockCursor: Bool {
        let lines = Int(form.cursor_last) - Int(form.cursor_first) + 1
        return lines > 0 && lines * 2 >= Int(form.cell_height)
    }

    /// The dots. What blinks is shown, the cursor too.
    public var raster: Raster {
        let (width, height) = (Int(form.cell_width), Int(form.cell_height))
        guard var raster = Raster(width: columns * width, height: rows * height) else { return .dark }
        for (index, cell) in cells.enumerated() {
            let (left, top) = (index % columns * width, index / columns * height)
            let (foreground, background) = (palette[Int(cell.colors & 0xF)], palette[Int(cell.colors >> 4)])
            let hasCursor = cursor.map { $0.row * columns + $0.column == index } ?? false
            for line in 0..<height {
                let isFull =
                    hasCursor && line >= Int(form.cursor_first) && line <= Int(form.cursor_last)
                    || Int(cell.flags) & BP_CELL_UNDERLINED != 0 && line == Int(form.underline)
                let dots = isFull ? 0xFFFF : dots(cell.glyph, line)
                for x in 0..<width {
                    let isLit = dots >> UInt16(width - 1 - x) & 1 != 0
                    raster.set(left + x, top + line, isLit ? foreground : background)
                }
            }
        }
        return raster
    }

    private func dots(_ glyph: UInt16, _ line: Int) -> UInt16 {
        let place = Int(glyph) * Self.linesPerGlyph + line
        return place < font.count ? font[place] : 0
    }
}
