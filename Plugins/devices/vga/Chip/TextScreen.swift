// Text modes: what the registers and planes 0 to 2 show, as cells.

/// One character cell.
public struct TextCell: Equatable, Sendable {
    public var character: UInt8
    /// Palette entries 0...15.
    public var foreground: UInt8
    public var background: UInt8
    public var blinks: Bool
    public var isUnderlined: Bool
    /// Attribute bit 3 takes the second font (character map A).
    public var usesSecondFont: Bool

    public init(
        character: UInt8 = 0, foreground: UInt8 = 0, background: UInt8 = 0, blinks: Bool = false,
        isUnderlined: Bool = false, usesSecondFont: Bool = false
    ) {
        self.character = character
        self.foreground = foreground
        self.background = background
        self.blinks = blinks
        self.isUnderlined = isUnderlined
        self.usesSecondFont = usesSecondFont
    }
}

/// What the registers say about a text picture.
public struct TextGeometry: Equatable, Sendable {
    /// 1...256.
    public var columns: Int
    /// 1...128, whatever the registers say.
    public var rows: Int
    /// Dots of a cell: 8 or 9 wide, 1...32 high.
    public var cellWidth: Int
    public var cellHeight: Int
    /// Scan lines of the first row that are above the picture (smooth scrolling), 0...31, and dots at the left, 0...8.
    public var skippedLines: Int
    public var skippedDots: Int
    /// The first row of the lower part of a split screen, which begins at address 0; `rows` or more: none.
    public var splitRow: Int

    /// The address counter's start, and what a row adds to it.
    var start: UInt32
    var pitch: UInt32
}

/// The cursor.
public struct TextCursor: Equatable, Sendable {
    public var column: Int
    public var row: Int
    /// Scan lines of the cell, 0...31.
    public var lines: ClosedRange<Int>
}

extension VGA {
    /// Text modes have most rows at 8 lines each: 60; what registers could ask for beyond this is not shown.
    public static let mostRows = 128

    /// What is on the screen.
    public enum Display: Equatable, Sendable {
        /// Off: by the sequencer, the attribute controller or the CRT controller.
        case blank
        case text(TextGeometry)
        case graphics
    }

    public var display: Display {
        guard state.isEnabled, state.sequencer[Sequencer.clockingMode] & 0x20 == 0, state.attributeIndex & 0x20 != 0,
            state.crtc[CRTC.mode] & 0x80 != 0
        else { return .blank }
        return state.graphics[Graphics.miscellaneous] & 1 != 0 ? .graphics : .text(textGeometry)
    }

    private var attributeMode: AttributeMode { AttributeMode(rawValue: state.attribute[Attribute.mode]) }

    func pair(_ register: Int) -> UInt32 {
        UInt32(state.crtc[register]) &<< 8 | UInt32(state.crtc[register + 1])
    }

    private var textGeometry: TextGeometry {
        let maximum = state.crtc[CRTC.maximumScanLine]
        let height = UInt64(maximum & 0x1F) &+ 1
        let lineFactor: UInt64 = maximum & 0x80 != 0 ? 2 : 1  // each line twice
        let displayed = (vertical(CRTC.verticalDisplayEnd, bit8: 0x02, bit9: 0x40) &+ 1) / lineFactor
        let compare = vertical(CRTC.lineCompare, bit8: 0x10, bit9: 0) | (maximum & 0x40 != 0 ? 0x200 : 0)
        let preset = state.crtc[CRTC.presetRowScan]
        let rows = min(max(displayed / height, 1), UInt64(Self.mostRows))
        let split = ((compare &+ 1) / lineFactor &+ height &- 1) / height
        let pan = state.attribute[Attribute.pixelPanning]
        let isNine = dotsPerCharacter == 9
        return TextGeometry(
            columns: Int(state.crtc[CRTC.horizontalDisplayEnd]) + 1, rows: Int(rows),
            cellWidth: isNine ? 9 : 8, cellHeight: Int(height),
            skippedLines: min(Int(preset & 0x1F), Int(height) - 1),
            skippedDots: isNine ? (pan >= 8 ? 0 : Int(pan) + 1) : Int(pan & 7), splitRow: Int(split),
            start: pair(CRTC.startHigh) &+ UInt32(preset >> 5 & 3),
            pitch: UInt32(state.crtc[CRTC.offset]) &* 2)
    }

    /// The address counter at the first cell of a row.
    private func counter(_ row: Int, _ geometry: TextGeometry) -> UInt32 {
        let split = geometry.splitRow
        return row < split
            ? geometry.start &+ geometry.pitch &* UInt32(truncatingIfNeeded: row)
            : geometry.pitch &* UInt32(truncatingIfNeeded: row &- split)
    }

    /// From the address counter to an offset in the planes: bytes, words or doublewords (CRTC 14 and 17).
    func planeOffset(_ counter: UInt32) -> Int {
        let mode = state.crtc[CRTC.mode]
        if state.crtc[CRTC.underline] & 0x40 != 0 {
            return Int((counter &<< 2 | counter &>> 12 & 3) & 0xFFFF)
        }
        if mode & 0x40 != 0 { return Int(counter & 0xFFFF) }
        return Int((counter &<< 1 | counter &>> (mode & 0x20 != 0 ? 15 : 13) & 1) & 0xFFFF)
    }

    /// A row of cells; empty where there is no such row or the screen is not in a text mode.
    /// - Parameter memory: at least `memorySize` bytes.
    public func textRow(_ row: Int, of memory: Span<UInt8>) -> [TextCell] {
        guard case .text(let geometry) = display, memory.count >= Self.memorySize, (0..<geometry.rows).contains(row)
        else { return [] }
        let first = counter(row, geometry)
        return (0..<geometry.columns).map { column in
            let offset = planeOffset(first &+ UInt32(truncatingIfNeeded: column)) * 4
            return cell(memory[offset], memory[offset + 1])
        }
    }

    private func cell(_ character: UInt8, _ attribute: UInt8) -> TextCell {
        let mode = attributeMode
        let blinks = mode.contains(.blink)
        return TextCell(
            character: character, foreground: attribute & 0xF, background: attribute >> 4 & (blinks ? 0x7 : 0xF),
            blinks: blinks && attribute & 0x80 != 0,
            isUnderlined: mode.contains(.monochrome) && attribute & 0b111 == 0b001,
            usesSecondFont: attribute & 0x08 != 0 && fontOffset(second: true) != fontOffset(second: false))
    }

    /// The cursor, whatever its blinking does; nil: it is off or not on the screen.
    public var textCursor: TextCursor? {
        guard case .text(let geometry) = display else { return nil }
        let (start, end) = (state.crtc[CRTC.cursorStart], state.crtc[CRTC.cursorEnd])
        let first = Int(start & 0x1F)
        let last = min(Int(end & 0x1F), geometry.cellHeight - 1)
        guard start & 0x20 == 0, first <= last else { return nil }
        let location = pair(CRTC.cursorHigh)
        for row in 0..<geometry.rows {
            let column = (location &- counter(row, geometry)) & 0xFFFF
            guard column < UInt32(truncatingIfNeeded: geometry.columns) else { continue }
            return TextCursor(column: Int(column), row: row, lines: first...last)
        }
        return nil
    }

    /// The colours of the 16 attributes, 0xRRGGBB.
    public var textPalette: [UInt32] {
        let select = state.attribute[Attribute.colorSelect]
        let planes = state.attribute[Attribute.planeEnable] & 0xF
        return (0..<16).map { entry in
            let value = state.attribute[entry & Int(planes)]
            let low = attributeMode.contains(.paletteBits54) ? value & 0xF | select << 4 & 0x30 : value
            return state.dac.color(low | select << 4 & 0xC0)
        }
    }

    // MARK: Fonts: plane 2, 32 bytes a character

    /// Where a font begins in plane 2. Without extended memory there is the first one only.
    private func fontOffset(second: Bool) -> Int {
        guard state.sequencer[Sequencer.memoryMode] & 0b10 != 0 else { return 0 }
        let map = state.sequencer[Sequencer.characterMap]
        let (low, high) = second ? (map >> 2 & 3, map >> 5 & 1) : (map & 3, map >> 4 & 1)
        return Int(low) << 14 | Int(high) << 13
    }

    /// A scan line of a character's picture: `cellWidth` bits, the leftmost dot the highest; 0 for lines beyond 31.
    /// - Parameter memory: at least `memorySize` bytes.
    public func glyphLine(_ character: UInt8, line: Int, secondFont: Bool = false, of memory: Span<UInt8>) -> UInt16 {
        guard memory.count >= Self.memorySize, (0..<32).contains(line) else { return 0 }
        let offset = (fontOffset(second: secondFont) + Int(character) * 32 + line) & 0xFFFF
        let bits = UInt16(memory[offset * 4 + 2])
        guard dotsPerCharacter == 9 else { return bits }
        let repeats = attributeMode.contains(.lineGraphics) && (0xC0...0xDF).contains(character)
        return bits << 1 | (repeats ? bits & 1 : 0)
    }

    /// The scan line of a cell at which underlined characters have their line.
    public var underlineLine: Int { Int(state.crtc[CRTC.underline] & 0x1F) }
}
