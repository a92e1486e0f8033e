// Where the beam is: derived from the CRT controller's registers and the time, so that nothing has to run.

extension VGA {
    /// The raster that the registers describe, in dots and lines. Never empty.
    struct Raster: Equatable {
        var dotsPerLine: UInt64
        var displayedDots: UInt64
        var lines: UInt64
        var displayedLines: UInt64
        var retraceStart: UInt64
        var retraceLines: UInt64
        /// Hertz.
        var clock: UInt64

        var dotsPerFrame: UInt64 { dotsPerLine &* lines }

        /// Dots since time 0: whole milliseconds first, so that nothing overflows.
        func dots(at now: UInt64) -> UInt64 {
            let (milliseconds, rest) = now.quotientAndRemainder(dividingBy: 1_000_000)
            return milliseconds &* (clock / 1000) &+ rest &* (clock / 1000) / 1_000_000
        }

        func frame(at now: UInt64) -> UInt64 { dots(at: now) / dotsPerFrame }

        /// Nanoseconds.
        var frameTime: UInt64 { dotsPerFrame &* 1_000_000 / (clock / 1000) }
    }

    /// A register of the CRT controller with the bits that overflow registers hold.
    func vertical(_ register: Int, bit8: UInt8, bit9: UInt8) -> UInt64 {
        let overflow = state.crtc[CRTC.overflow]
        return UInt64(state.crtc[register]) | (overflow & bit8 != 0 ? 0x100 : 0) | (overflow & bit9 != 0 ? 0x200 : 0)
    }

    var raster: Raster {
        let dots: UInt64 = dotsPerCharacter &* (state.sequencer[Sequencer.clockingMode] & 0x08 != 0 ? 2 : 1)
        let factor: UInt64 = state.crtc[CRTC.mode] & 0x04 != 0 ? 2 : 1
        let lines = (vertical(CRTC.verticalTotal, bit8: 0x01, bit9: 0x20) &+ 2) &* factor
        let start = vertical(CRTC.verticalRetraceStart, bit8: 0x04, bit9: 0x80) &* factor
        let end = UInt64(state.crtc[CRTC.verticalRetraceEnd] & 0xF)
        let length = ((end &- start / factor) & 0xF) &* factor
        let inside = start < lines
        return Raster(
            dotsPerLine: (UInt64(state.crtc[CRTC.horizontalTotal]) &+ 5) &* dots,
            displayedDots: (UInt64(state.crtc[CRTC.horizontalDisplayEnd]) &+ 1) &* dots, lines: lines,
            displayedLines: (vertical(CRTC.verticalDisplayEnd, bit8: 0x02, bit9: 0x40) &+ 1) &* factor,
            retraceStart: inside ? start : lines &- 1, retraceLines: inside ? max(length, 1) : 1,
            clock: state.miscellaneousOutput.clock)
    }

    var dotsPerCharacter: UInt64 { state.sequencer[Sequencer.clockingMode] & 1 != 0 ? 8 : 9 }

    /// Nanoseconds from one picture to the next.
    public var frameTime: UInt64 { raster.frameTime }

    public func inputStatus1(at now: UInt64) -> InputStatus1 {
        let raster = self.raster
        let position = raster.dots(at: now) % raster.dotsPerFrame
        let (line, dot) = position.quotientAndRemainder(dividingBy: raster.dotsPerLine)
        var status: InputStatus1 = []
        if line >= raster.displayedLines || dot >= raster.displayedDots { status.insert(.displayDisabled) }
        if line >= raster.retraceStart, line < raster.retraceStart &+ raster.retraceLines {
            status.formUnion([.verticalRetrace, .displayDisabled])
        }
        return status
    }

    /// The phases of blinking: the cursor changes every 8 pictures, characters every 16.
    public func blink(at now: UInt64) -> (cursorIsShown: Bool, charactersAreShown: Bool) {
        let frame = raster.frame(at: now)
        return (frame & 8 == 0, frame & 16 == 0)
    }
}
