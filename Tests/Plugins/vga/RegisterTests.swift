import Testing
@testable import VGA

/// The registers against IBM's VGA technical reference and FreeVGA.
@Suite struct RegisterTests {
    @Test func registersKeepTheirBits() {
        var b = Bench()
        b.out(0x3C2, 0xFF)
        #expect(b.inp(0x3CC) == 0xFF)
        for (port, masks) in [
            (0x3C4, [0x03, 0x3D, 0x0F, 0x3F, 0x0E]), (0x3CE, [0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF]),
        ] as [(UInt16, [UInt8])] {
            for (index, mask) in masks.enumerated() {
                b.set(port, UInt8(index), 0xFF)
                #expect(b.get(port, UInt8(index)) == mask, "port \(port) index \(index)")
            }
            b.set(port, UInt8(masks.count), 0xFF)
            #expect(b.get(port, UInt8(masks.count)) == 0)
        }
    }

    @Test func crtcMovesWithTheColourBit() {
        var b = Bench()
        #expect(b.inp(0x3D5) == 0xFF && b.inp(0x3DA) == 0xFF)
        b.set(0x3B4, 0x0E, 0x12)
        #expect(b.get(0x3B4, 0x0E) == 0x12)
        b.out(0x3C2, 0x01)
        #expect(b.inp(0x3B4) == 0xFF && b.inp(0x3B5) == 0xFF && b.inp(0x3BA) == 0xFF)
        #expect(b.get(0x3D4, 0x0E) == 0x12)
        b.set(0x3B4, 0x0E, 0x55)
        #expect(b.get(0x3D4, 0x0E) == 0x12)
    }

    @Test func protectionKeepsRegisters0To7ButTheLineComparesBit() {
        var b = Bench()
        b.out(0x3C2, 0x01)
        for index in UInt8(0)...7 { b.set(0x3D4, index, 0x40 | index) }
        b.set(0x3D4, 0x11, 0x80)
        for index in UInt8(0)...7 { b.set(0x3D4, index, 0xFF) }
        for index in UInt8(0)...6 { #expect(b.get(0x3D4, index) == 0x40 | index) }
        #expect(b.get(0x3D4, 7) == 0x57)
        b.set(0x3D4, 8, 0xFF)
        #expect(b.get(0x3D4, 8) == 0x7F)
    }

    @Test func attributeControllerTakesIndexAndDataByTurns() {
        var b = Bench()
        b.out(0x3C2, 0x01)
        _ = b.inp(0x3DA)
        b.out(0x3C0, 0x10)
        b.out(0x3C0, 0xFF)
        #expect(b.inp(0x3C0) == 0x10 && b.inp(0x3C1) == 0xEF)
        b.out(0x3C0, 0x12)
        _ = b.inp(0x3DA)
        b.out(0x3C0, 0x01)
        b.out(0x3C0, 0x7F)
        b.out(0x3C0, 0x21)
        #expect(b.inp(0x3C0) == 0x21 && b.inp(0x3C1) == 0x3F, "after a read of status 1 comes an index")
    }

    @Test func dacChangesAnEntryWithItsBlue() {
        var b = Bench()
        b.out(0x3C8, 0x05)
        b.out(0x3C9, 0xFF)
        b.out(0x3C9, 0x20)
        #expect(b.chip.state.dac.color(5) == 0)
        b.out(0x3C9, 0x01)
        #expect(b.chip.state.dac.color(5) == 0xFF8204)
        #expect(b.inp(0x3C8) == 0x06, "the index goes on")
        for value: UInt8 in [1, 2, 3] { b.out(0x3C9, value) }
        b.out(0x3C7, 0x05)
        #expect(b.inp(0x3C7) == 0x03)
        #expect((0..<6).map { _ in b.inp(0x3C9) } == [0x3F, 0x20, 0x01, 1, 2, 3])
        b.out(0x3C8, 0x00)
        #expect(b.inp(0x3C7) == 0x00)
    }

    @Test func dacWrapsAndMasks() {
        var b = Bench()
        b.out(0x3C8, 0xFF)
        for value: UInt8 in [1, 2, 3, 4, 5, 6] { b.out(0x3C9, value) }
        b.out(0x3C7, 0x00)
        #expect((0..<3).map { _ in b.inp(0x3C9) } == [4, 5, 6])
        #expect(b.inp(0x3C6) == 0xFF)
        b.out(0x3C6, 0x0F)
        #expect(b.chip.state.dac.color(0xF0) == b.chip.state.dac.color(0))
        b.chip.setDAC(is8Bit: true)
        b.out(0x3C8, 0x01)
        for value: UInt8 in [0xFF, 0x80, 0x7F] { b.out(0x3C9, value) }
        #expect(b.chip.state.dac.color(1) == 0xFF807F)
    }

    @Test func disabledSubsystemAnswersAtItsEnableOnly() {
        var b = Bench.text()
        #expect(b.inp(0x3C3) == 0x01)
        b.out(0x3C3, 0x00)
        #expect(b.inp(0x3CC) == 0xFF && b.inp(0x3C3) == 0x00 && b.chip.window == nil && b.chip.display == .blank)
        b.out(0x3C2, 0x00)
        b.out(0x3C3, 0x01)
        #expect(b.inp(0x3CC) == 0x67)
    }

    // MARK: Timing: mode 3 has 900 dots of 28.322 MHz a line and 449 lines: 70.09 pictures a second

    @Test func pictureLastsWhatTheRegistersSay() {
        let b = Bench.text()
        #expect(b.chip.frameTime == 14_268_060)
        var graphics = Bench.planar()
        for (i, value) in ([0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E] as [UInt8]).enumerated() {
            graphics.set(0x3D4, UInt8(i), value)
        }
        graphics.set(0x3C4, 1, 0x01)
        #expect(graphics.chip.frameTime == 16_683_217, "800 by 525 dots of 25.175 MHz")
    }

    @Test func retraceComesOncePerPicture() {
        var b = Bench.text()
        var (rises, retrace, blank, last) = (0, 0, 0, false)
        let step: UInt64 = 10_000
        for i in 0..<UInt64(14_268) {  // ten pictures
            b.now = i * step
            let status = b.inp(0x3DA)
            if status & 8 != 0 { retrace += 1 }
            if status & 1 != 0 { blank += 1 }
            if status & 8 != 0 && !last { rises += 1 }
            last = status & 8 != 0
            #expect(status & 8 == 0 || status & 1 == 1)
        }
        #expect(rises == 10)
        #expect((55...75).contains(retrace), "2 lines of 449: 64 of 14268")
        #expect((3_900...4_300).contains(blank), "a fifth of 400 lines and all of 49: 4099 of 14268")
    }

    @Test func everySettingHasARetrace() {
        var b = Bench()
        b.out(0x3C2, 0x01)
        #expect(b.chip.frameTime > 0)
        b.set(0x3D4, 0x10, 0xFF)
        var seen = false
        for i in 0..<UInt64(2000) {
            b.now = i * 100
            if b.inp(0x3DA) & 8 != 0 { seen = true }
        }
        #expect(seen)
        b.now = .max
        _ = b.inp(0x3DA)
    }
}
