import CBackplane
import CZlib
import Testing

@testable import Pictures

/// A region with cells at 0 and a font behind them: glyph g has all dots of line g.
private struct Screen {
    var form = bp_display_cells()
    var region: [UInt8]

    init(_ text: [String], width: UInt32 = 8, height: UInt32 = 4) {
        form.columns = UInt32(text[0].count)
        form.rows = UInt32(text.count)
        (form.cell_width, form.cell_height) = (width, height)
        form.palette.1 = 0x112233
        form.palette.2 = 0xaabbcc
        region = text.joined().unicodeScalars.flatMap { scalar in
            // character, glyph 1, foreground 2 on background 1, no flags
            withUnsafeBytes(of: scalar.value.littleEndian) { Array($0) } + [1, 0, 0x12, 0]
        }
        form.font = UInt64(region.count)
        form.glyphs = 2
        for glyph in 0..<2 { region += (0..<32).flatMap { $0 == glyph ? [0xff, 0x01] : [0, 0] as [UInt8] } }
    }

    var picture: CellPicture? { region.withUnsafeBytes { CellPicture(form, $0) } }
}

@Suite struct PictureTests {
    @Test func theRowsAreTextWithoutTheSpacesAtTheirEnds() throws {
        let picture = try #require(Screen(["a\u{2592} ", "\0b\u{1b}"]).picture)
        #expect(picture.text == ["a\u{2592}", " b."])
    }

    @Test func dotsTakeTheForegroundAndTheCursorCoversItsLines() throws {
        var screen = Screen(["xy"])
        screen.form.flags = UInt32(BP_CELLS_CURSOR)
        (screen.form.cursor_column, screen.form.cursor_first, screen.form.cursor_last) = (1, 2, 3)
        let raster = try #require(screen.picture).raster
        #expect((raster.width, raster.height) == (16, 4))
        let lines = (0..<4).map { line in
            (0..<2).map { cell in
                let place = (line * 16 + cell * 8) * 3
                return Array(raster.bytes[place..<place + 3])
            }
        }
        let (dark, lit): ([UInt8], [UInt8]) = ([0x11, 0x22, 0x33], [0xaa, 0xbb, 0xcc])
        #expect(lines == [[dark, dark], [lit, lit], [dark, lit], [dark, lit]])
    }

    @Test func whatIsNotInsideOfTheRegionIsNoPicture() {
        var screens = [Screen(["xy"])]
        for change: (inout bp_display_cells) -> Void in [
            { $0.cells = .max }, { $0.font = 17 }, { $0.font = .max }, { $0.columns = 0 }, { $0.rows = .max },
            { $0.glyphs = .max }, { $0.cell_width = 17 }, { $0.cell_height = 0 }, { $0.columns = 1024 },
        ] {
            var screen = Screen(["xy"])
            change(&screen.form)
            screens.append(screen)
        }
        #expect(screens.map { $0.picture != nil } == [true] + [Bool](repeating: false, count: screens.count - 1))
        // A glyph that the font does not have is empty.
        screens[0].region[4] = 0xff
        #expect(screens[0].picture?.raster.bytes.count == 16 * 4 * 3)
    }

    /// A pixel of each format that is pure red but for its lowest bits.
    @Test(arguments: [
        (BP_PIXELS_XRGB8888, [0x03, 0x02, 0xff, 0x99], [0xff, 0x02, 0x03]),
        (BP_PIXELS_RGB888, [0x03, 0x02, 0xff], [0xff, 0x02, 0x03]),
        (BP_PIXELS_RGB565, [0x41, 0xf8], [0xff, 0x08, 0x08]),
        (BP_PIXELS_XRGB1555, [0x21, 0x7c], [0xff, 0x08, 0x08]),
        (BP_PIXELS_INDEXED8, [0x02], [0xaa, 0xbb, 0xcc]),
    ])
    func pixelsOfEachFormatBecomeColours(_ format: Int, _ pixel: [UInt8], _ color: [UInt8]) throws {
        var surface = bp_display_surface()
        (surface.format, surface.width, surface.height) = (UInt32(format), 2, 2)
        (surface.stride, surface.offset, surface.palette_offset) = (UInt32(pixel.count * 2 + 1), 3, 4)
        let region = [1, 2, 3] + pixel + pixel + [0] + pixel + pixel
        let palette = [UInt8](repeating: 0, count: 4 + 8) + [0xcc, 0xbb, 0xaa, 0] + [UInt8](repeating: 0, count: 1012)
        func raster(_ surface: bp_display_surface) -> Raster? {
            region.withUnsafeBytes { region in
                palette.withUnsafeBytes { Raster(surface, region, palette: $0) }
            }
        }
        #expect(raster(surface)?.bytes == color + color + color + color)
        surface.height = 3
        #expect(raster(surface) == nil)
        surface.height = 2
        surface.offset = .max
        #expect(raster(surface) == nil)
        (surface.offset, surface.stride) = (3, .max)
        #expect(raster(surface) == nil)
        (surface.stride, surface.width, surface.height) = (0, .max, .max)
        #expect(raster(surface) == nil)
    }

    /// ISO/IEC 15948, 5 and 9: signature, chunks with their CRC, and a zlib stream of lines, each behind its filter's number.
    @Test func aPNGHoldsThePixels() throws {
        var raster = try #require(Raster(width: 3, height: 2))
        raster.set(2, 1, 0x123456)
        let png = raster.png
        #expect(Array(png.prefix(8)) == [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
        func number(_ place: Int) -> Int { png[place..<place + 4].reduce(0) { $0 << 8 | Int($1) } }
        var (place, chunks) = (8, [String: [UInt8]]())
        while place + 12 <= png.count {
            let count = number(place)
            let body = Array(png[place + 4..<place + 8 + count])
            #expect(UInt(number(place + 8 + count)) == crc32(0, body, UInt32(body.count)))
            chunks[String(decoding: body.prefix(4), as: UTF8.self)] = Array(body.dropFirst(4))
            place += 12 + count
        }
        #expect(place == png.count)
        #expect(chunks["IHDR"] == [0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0])
        #expect(chunks["IEND"] == [])
        let data = try #require(chunks["IDAT"])
        var (lines, count) = ([UInt8](repeating: 0, count: 64), UInt(64))
        #expect(uncompress(&lines, &count, data, UInt(data.count)) == Z_OK)
        #expect(Array(lines.prefix(Int(count))) == [UInt8](repeating: 0, count: 17) + [0x12, 0x34, 0x56])
    }
}
