import Glibc
import PluginKit
import VGA

/// What the card shows, for those who ask. Cells, font and palette are in a region of its own, which is brought up to date when somebody asks;
/// each who looks is told what has changed since they looked last.
struct Screen {
    /// Of the VGA's own graphics modes; a taller picture is cut off.
    private static let mostPixels = 1 << 20

    /// Offsets in the region.
    private enum Place {
        static let cells = 0
        static let font = 256 * VGA.mostRows * 8
        static let palette = font + 512 * 32 * 2
        static let pixels = palette + 256 * 4
        static let end = pixels + Screen.mostPixels
    }

    /// What one who looks was told.
    private struct Viewer {
        var peer: DisplayPeer
        var cells: bp_display_cells?
        var surface: bp_display_surface?
        var font: UInt64 = 0
        /// Of the text or of the VGA's own graphics; 0: none.
        var picture: UInt64 = 0
        /// Rows that have changed since.
        var rows = [Bool](repeating: false, count: VGA.mostRows)

        init(_ peer: DisplayPeer) { self.peer = peer }
    }

    private let host: Host
    private let region: Memory.Region
    private let memory: Memory.Region
    private var viewers: [Viewer] = []
    /// Counts the fonts that were loaded.
    private var font: UInt64 = 0
    /// Counts the pictures of the VGA's own: another one is there when registers or planes are not as they were.
    private var picture: UInt64 = 0
    private var state: VGA.State?
    private var planes = [UInt8](repeating: 0, count: VGA.memorySize)

    init(_ host: Host, memory: Memory.Region) throws(PluginError) {
        self.host = host
        self.memory = memory
        region = try host.memory.region("screen", .device, length: UInt64(Place.end))
    }

    mutating func connect() throws(PluginError) {
        // Nobody looks where the host is older than display/1.
        viewers = try host.displays("display").map { Viewer($0) }
    }

    /// All are told everything anew.
    mutating func forget() {
        for index in viewers.indices { viewers[index] = Viewer(viewers[index].peer) }
    }

    mutating func show(
        _ chip: VGA, _ dispi: DISPI, _ memory: Span<UInt8>, to position: Int, all: Bool, at now: UInt64
    ) {
        guard viewers.indices.contains(position) else { return }
        if all { viewers[position] = Viewer(viewers[position].peer) }
        if let picture = dispi.picture {
            state = nil
            viewers[position].picture = 0
            showPicture(picture, chip.state.dac, to: position)
        } else if isAsBefore(chip, memory, to: position) {
            // Nothing is to be said.
        } else if case .text(let geometry) = chip.display {
            showText(chip, geometry, memory, to: position)
        } else if let geometry = chip.graphicsGeometry {
            showGraphics(chip, geometry, memory, to: position)
        } else {
            tell(bp_display_surface(), to: position)
        }
        viewers[position].peer.frame(at: now)
    }

    /// Whoever has seen what was shown last need not be told again.
    private mutating func isAsBefore(_ chip: VGA, _ memory: Span<UInt8>, to position: Int) -> Bool {
        if state != chip.state || !holdsPlanes(of: memory) {
            state = chip.state
            keepPlanes(of: memory)
            picture &+= 1
        }
        defer { viewers[position].picture = picture }
        return viewers[position].picture == picture
    }

    /// SAFETY: `memory` has that many bytes at least (the property's bounds).
    private func holdsPlanes(of memory: Span<UInt8>) -> Bool {
        planes.withUnsafeBytes { known in
            memory.withUnsafeBytes { now in
                guard let known = known.baseAddress, let now = now.baseAddress else { return false }
                return memcmp(known, now, VGA.memorySize) == 0
            }
        }
    }

    /// SAFETY: as above.
    private mutating func keepPlanes(of memory: Span<UInt8>) {
        planes.withUnsafeMutableBytes { known in
            memory.withUnsafeBytes { known.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<known.count])) }
        }
    }

    // MARK: Pictures

    private mutating func showPicture(_ picture: DISPI.Picture, _ dac: DAC, to position: Int) {
        let formats = [
            8: BP_PIXELS_INDEXED8, 15: BP_PIXELS_XRGB1555, 16: BP_PIXELS_RGB565, 24: BP_PIXELS_RGB888,
            32: BP_PIXELS_XRGB8888,
        ]
        guard let format = formats[Int(picture.bitsPerPixel)] else { return tell(bp_display_surface(), to: position) }
        var surface = bp_display_surface()
        surface.format = UInt32(format)
        (surface.width, surface.height, surface.stride) = (picture.width, picture.height, picture.pitch)
        (surface.region, surface.offset) = (memory.id, UInt64(picture.start))
        if format == BP_PIXELS_INDEXED8 { setPalette((0..<256).map { dac.color(UInt8($0)) }, &surface) }
        tell(surface, to: position)
        viewers[position].peer.damage(DisplayDamage(x: 0, y: 0, width: picture.width, height: picture.height))
    }

    /// The VGA's own modes: their pixels are put together from the planes.
    private mutating func showGraphics(
        _ chip: VGA, _ geometry: GraphicsGeometry, _ memory: Span<UInt8>, to position: Int
    ) {
        var surface = bp_display_surface()
        let height = min(geometry.height, Screen.mostPixels / geometry.width)
        surface.format = UInt32(BP_PIXELS_INDEXED8)
        (surface.width, surface.height) = (UInt32(geometry.width), UInt32(height))
        (surface.stride, surface.region, surface.offset) = (surface.width, region.id, UInt64(Place.pixels))
        for line in 0..<height {
            let start = Place.pixels + line * geometry.width
            chip.graphicsLine(line, geometry, of: memory) { [region] in region.bytes[start + $0] = $1 }
        }
        setPalette(chip.graphicsPalette, &surface)
        tell(surface, to: position)
        viewers[position].peer.damage(DisplayDamage(x: 0, y: 0, width: surface.width, height: surface.height))
    }

    private func setPalette(_ colors: [UInt32], _ surface: inout bp_display_surface) {
        for (index, color) in colors.enumerated() {
            region.bytes.storeBytes(of: color, toByteOffset: Place.palette + 4 * index, as: UInt32.self)
        }
        (surface.palette_region, surface.palette_offset) = (region.id, UInt64(Place.palette))
    }

    private mutating func tell(_ surface: bp_display_surface, to position: Int) {
        viewers[position].cells = nil
        if let told = viewers[position].surface, bytesAreEqual(told, surface) { return }
        viewers[position].surface = surface
        viewers[position].peer.surface(surface)
    }

    // MARK: Text

    private mutating func showText(
        _ chip: VGA, _ geometry: TextGeometry, _ memory: Span<UInt8>, to position: Int
    ) {
        let usesSecondFont = takeCells(chip, geometry, memory)
        let glyphs = usesSecondFont ? 512 : 256
        if takeFont(chip, glyphs, memory) { font &+= 1 }
        var cells = form(chip, geometry, glyphs)
        let known = viewers[position].cells
        let isOtherFont = viewers[position].font != font
        if known.map({ !bytesAreEqual($0, cells) }) ?? true || isOtherFont {
            let isOtherShape = known.map { $0.columns != cells.columns || $0.rows != cells.rows } ?? true
            let isOtherPalette = known.map { !bytesAreEqual($0.palette, cells.palette) } ?? true
            if isOtherShape || isOtherFont || isOtherPalette {
                viewers[position].rows = [Bool](repeating: true, count: VGA.mostRows)
            }
            viewers[position].cells = cells
            viewers[position].font = font
            viewers[position].surface = nil
            if isOtherFont { cells.flags |= UInt32(BP_CELLS_FONT_CHANGED) }
            viewers[position].peer.cells(cells)
        }
        tellRows(geometry, to: position)
    }

    private mutating func tellRows(_ geometry: TextGeometry, to position: Int) {
        var row = 0
        while row < geometry.rows {
            guard viewers[position].rows[row] else {
                row += 1
                continue
            }
            var end = row + 1
            while end < geometry.rows, viewers[position].rows[end] { end += 1 }
            viewers[position].peer.damage(
                DisplayDamage(x: 0, y: UInt32(row), width: UInt32(geometry.columns), height: UInt32(end - row)))
            row = end
        }
        for row in 0..<VGA.mostRows { viewers[position].rows[row] = false }
    }

    /// Brings the region's cells up to date; all who look are owed the rows that differ.
    /// - Returns: a cell takes the second font.
    private mutating func takeCells(_ chip: VGA, _ geometry: TextGeometry, _ memory: Span<UInt8>) -> Bool {
        var usesSecondFont = false
        for row in 0..<geometry.rows {
            var differs = false
            var place = Place.cells + row * geometry.columns * 8
            for cell in chip.textRow(row, of: memory) {
                if cell.usesSecondFont { usesSecondFont = true }
                let value = Self.encode(cell)
                if region.bytes.load(fromByteOffset: place, as: UInt64.self) != value {
                    region.bytes.storeBytes(of: value, toByteOffset: place, as: UInt64.self)
                    differs = true
                }
                place += 8
            }
            guard differs else { continue }
            for index in viewers.indices { viewers[index].rows[row] = true }
        }
        return usesSecondFont
    }

    /// A `bp_cell`.
    private static func encode(_ cell: TextCell) -> UInt64 {
        let flags = (cell.blinks ? BP_CELL_BLINKS : 0) | (cell.isUnderlined ? BP_CELL_UNDERLINED : 0)
        let glyph = UInt64(cell.character) | (cell.usesSecondFont ? 0x100 : 0)
        return UInt64(codePage437[Int(cell.character)]) | glyph << 32
            | UInt64(cell.foreground | cell.background << 4) << 48 | UInt64(flags) << 56
    }

    /// - Returns: it is another font than before.
    private mutating func takeFont(_ chip: VGA, _ glyphs: Int, _ memory: Span<UInt8>) -> Bool {
        var differs = font == 0
        var place = Place.font
        for glyph in 0..<glyphs {
            for line in 0..<32 {
                let dots = chip.glyphLine(
                    UInt8(truncatingIfNeeded: glyph), line: line, secondFont: glyph >= 256, of: memory)
                if region.bytes.load(fromByteOffset: place, as: UInt16.self) != dots {
                    region.bytes.storeBytes(of: dots, toByteOffset: place, as: UInt16.self)
                    differs = true
                }
                place += 2
            }
        }
        return differs
    }

    private func form(_ chip: VGA, _ geometry: TextGeometry, _ glyphs: Int) -> bp_display_cells {
        var cells = bp_display_cells()
        (cells.columns, cells.rows) = (UInt32(geometry.columns), UInt32(geometry.rows))
        (cells.cell_width, cells.cell_height) = (UInt32(geometry.cellWidth), UInt32(geometry.cellHeight))
        if let cursor = chip.textCursor {
            cells.flags = UInt32(BP_CELLS_CURSOR)
            (cells.cursor_column, cells.cursor_row) = (UInt32(cursor.column), UInt32(cursor.row))
            (cells.cursor_first, cells.cursor_last) = (UInt32(cursor.lines.lowerBound), UInt32(cursor.lines.upperBound))
        }
        (cells.underline, cells.glyphs) = (UInt32(chip.underlineLine), UInt32(glyphs))
        (cells.region, cells.cells, cells.font) = (region.id, UInt64(Place.cells), UInt64(Place.font))
        withUnsafeMutableBytes(of: &cells.palette) { raw in
            for (index, color) in chip.textPalette.enumerated() {
                raw.storeBytes(of: color, toByteOffset: index * 4, as: UInt32.self)
            }
        }
        return cells
    }
}

/// Of C structs without padding.
private func bytesAreEqual<T: BitwiseCopyable>(_ a: T, _ b: T) -> Bool {
    withUnsafeBytes(of: a) { a in withUnsafeBytes(of: b) { b in a.elementsEqual(b) } }
}
