import Testing
@testable import VGA

/// Text modes: what mode 3's registers (IBM's values) show.
@Suite struct TextTests {
    @Test func mode3Is80By25() {
        let b = Bench.text()
        let geometry = b.geometry
        #expect(geometry?.columns == 80 && geometry?.rows == 25)
        #expect(geometry?.cellWidth == 9 && geometry?.cellHeight == 16)
        #expect(geometry?.skippedLines == 0 && geometry?.skippedDots == 0)
        #expect((geometry?.splitRow ?? 0) >= 25)
    }

    @Test func otherShapes() {
        var b = Bench.text()
        b.set(0x3D4, 0x09, 0x47)
        #expect(b.geometry?.rows == 50 && b.geometry?.cellHeight == 8, "80 by 50")
        b.set(0x3C4, 0x01, 0x09)
        b.set(0x3D4, 0x11, 0x0E)
        b.set(0x3D4, 0x01, 0x27)
        b.set(0x3D4, 0x09, 0xC7)
        #expect(b.geometry?.columns == 40 && b.geometry?.rows == 25 && b.geometry?.cellWidth == 8, "lines doubled")
    }

    @Test func cellsCarryCharactersAndAttributes() {
        var b = Bench.text()
        b.print("Hello", at: 80 + 2, attribute: 0x9E)
        #expect(b.row(1).dropFirst(2).prefix(5) == "Hello")
        let cell = b.chip.textRow(1, of: b.memory.span)[2]
        #expect(cell == TextCell(character: 0x48, foreground: 0x0E, background: 0x01, blinks: true))
        b.setAttribute(0x10, 0x04)
        #expect(
            b.chip.textRow(1, of: b.memory.span)[2] == TextCell(character: 0x48, foreground: 0x0E, background: 0x09),
            "bit 7 is intensity without blinking")
        #expect(b.chip.textRow(25, of: b.memory.span).isEmpty && b.chip.textRow(-1, of: b.memory.span).isEmpty)
    }

    @Test func startAddressScrolls() {
        var b = Bench.text()
        b.print("first", at: 0)
        b.print("second", at: 80)
        b.set(0x3D4, 0x0D, 80)
        #expect(b.row(0).hasPrefix("second"))
        b.print("far", at: 0x2000 - 80 + 0)
        b.set(0x3D4, 0x0C, 0x1F)
        b.set(0x3D4, 0x0D, 0xB0)
        #expect(b.row(0).hasPrefix("far"))
    }

    @Test func splitScreenBeginsAtZero() {
        var b = Bench.text()
        b.print("bottom", at: 0)
        b.print("top", at: 400)
        b.set(0x3D4, 0x0C, UInt8(400 >> 8))
        b.set(0x3D4, 0x0D, UInt8(400 & 0xFF))
        b.set(0x3D4, 0x18, 0x3F)  // line 0x3F of 16 a row: row 4; bits 8 and 9 off
        b.set(0x3D4, 0x09, 0x0F)
        b.set(0x3D4, 0x11, 0x0E)
        b.set(0x3D4, 0x07, 0x0F)
        #expect(b.geometry?.splitRow == 4)
        #expect(b.row(0).hasPrefix("top") && b.row(4).hasPrefix("bottom") && !b.row(3).hasPrefix("bottom"))
    }

    @Test func cursorIsFoundByItsAddress() {
        var b = Bench.text()
        #expect(b.chip.textCursor == TextCursor(column: 0, row: 0, lines: 13...14))
        b.set(0x3D4, 0x0E, 0x07)
        b.set(0x3D4, 0x0F, 0xCF)
        #expect(b.chip.textCursor == TextCursor(column: 79, row: 24, lines: 13...14))
        b.set(0x3D4, 0x0F, 0xD0)
        #expect(b.chip.textCursor == nil, "below the screen")
        b.set(0x3D4, 0x0D, 80)
        #expect(b.chip.textCursor?.row == 24 && b.chip.textCursor?.column == 0)
        b.set(0x3D4, 0x0A, 0x2D)
        #expect(b.chip.textCursor == nil, "off")
        b.set(0x3D4, 0x0A, 0x0F)
        #expect(b.chip.textCursor == nil, "begins after its end")
        b.set(0x3D4, 0x0A, 0x00)
        b.set(0x3D4, 0x0B, 0x1F)
        #expect(b.chip.textCursor?.lines == 0...15)
    }

    @Test func paletteGoesThroughBothTables() {
        var b = Bench.text()
        b.out(0x3C8, 0x14)
        for value: UInt8 in [0x2A, 0x15, 0x00] { b.out(0x3C9, value) }
        b.out(0x3C8, 0x3F)
        for value: UInt8 in [0x3F, 0x3F, 0x3F] { b.out(0x3C9, value) }
        #expect(b.chip.textPalette.count == 16)
        #expect(b.chip.textPalette[6] == 0xAA5500 && b.chip.textPalette[15] == 0xFFFFFF)
        b.out(0x3C8, 0xE6)
        for value: UInt8 in [1, 2, 3] { b.out(0x3C9, value) }
        b.setAttribute(0x10, 0x8C)
        b.setAttribute(0x14, 0x0E)
        b.setAttribute(0x06, 0x16)
        #expect(b.chip.textPalette[6] == 0x04080C, "colour select gives bits 7:4")
        b.setAttribute(0x12, 0x0D)
        #expect(b.chip.textPalette[6] == b.chip.textPalette[4], "plane 1 is not shown")
    }

    @Test func glyphsComeFromPlane2() {
        var b = Bench.text()
        b.memory[(65 * 32 + 3) * 4 + 2] = 0b1100_0011
        b.memory[(0xC4 * 32 + 3) * 4 + 2] = 0b0000_0001
        b.memory[(0x4000 + 65 * 32 + 3) * 4 + 2] = 0b1111_0000
        b.memory[(0x2000 + 65 * 32 + 3) * 4 + 2] = 0b0000_1111
        #expect(b.chip.glyphLine(65, line: 3, of: b.memory.span) == 0b1_1000_0110)
        #expect(b.chip.glyphLine(0xC4, line: 3, of: b.memory.span) == 0b0_0000_0011, "the ninth dot of a line graphic")
        #expect(b.chip.glyphLine(65, line: 32, of: b.memory.span) == 0)
        b.set(0x3C4, 1, 0x01)
        #expect(b.chip.glyphLine(65, line: 3, of: b.memory.span) == 0b1100_0011)
        b.set(0x3C4, 3, 0x04)
        #expect(b.chip.glyphLine(65, line: 3, secondFont: true, of: b.memory.span) == 0b1111_0000)
        b.set(0x3C4, 3, 0x20)
        #expect(b.chip.glyphLine(65, line: 3, secondFont: true, of: b.memory.span) == 0b0000_1111)
        b.print("A", at: 0, attribute: 0x0F)
        #expect(b.chip.textRow(0, of: b.memory.span)[0].usesSecondFont)
        b.set(0x3C4, 4, 0x00)
        #expect(!b.chip.textRow(0, of: b.memory.span)[0].usesSecondFont, "one font without extended memory")
    }

    @Test func monochromeUnderlines() {
        var b = Bench.text()
        b.print("u", at: 0, attribute: 0x01)
        #expect(!b.chip.textRow(0, of: b.memory.span)[0].isUnderlined)
        b.setAttribute(0x10, 0x0E)
        b.set(0x3D4, 0x14, 0x0D)
        #expect(b.chip.textRow(0, of: b.memory.span)[0].isUnderlined && b.chip.underlineLine == 13)
    }

    @Test func blankAndGraphicsAreTold() {
        var b = Bench.text()
        b.set(0x3C4, 1, 0x20)
        #expect(b.chip.display == .blank)
        b.set(0x3C4, 1, 0x00)
        b.set(0x3CE, 6, 0x05)
        #expect(b.chip.display == .graphics)
        _ = b.inp(0x3DA)
        b.out(0x3C0, 0x00)
        #expect(b.chip.display == .blank, "the processor has the palette")
        #expect(Bench().chip.display == .blank && Bench().chip.textCursor == nil)
    }

    @Test func blinkingFollowsThePictures() {
        let b = Bench.text()
        let frame = b.chip.frameTime
        #expect(b.chip.blink(at: 0) == (true, true))
        #expect(b.chip.blink(at: frame * 9) == (false, true))
        #expect(b.chip.blink(at: frame * 17) == (true, false))
        #expect(b.chip.blink(at: frame * 33) == (true, true))
    }
}
