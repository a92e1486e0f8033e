import Testing
@testable import I8042

/// The keyboard against the PS/2 technical reference, "Keyboards (101- and 102-Key)".
@Suite struct KeyboardTests {
    // MARK: Commands

    @Test func resetAcknowledgesAndPassesItsTest() {
        var b = Bench()
        #expect(b.keyboard(0xFF) == [0xFA, 0xAA])
    }

    @Test func identifiesAsTranslatedOrNot() {
        var b = Bench()
        #expect(b.keyboard(0xF2) == [0xFA, 0xAB, 0x41])
        var plain = Bench.plain()
        #expect(plain.keyboard(0xF2) == [0xFA, 0xAB, 0x83])
    }

    @Test func echoAndUnknownCommands() {
        var b = Bench()
        #expect(b.keyboard(0xEE) == [0xEE])
        #expect(b.keyboard(0xEF) == [0xFE] && b.keyboard(0xF1) == [0xFE] && b.keyboard(0x00) == [0xFE])
    }

    @Test func lampsAreSet() {
        var b = Bench()
        #expect(b.keyboard(0xED, 0x07) == [0xFA, 0xFA] && b.chip.leds == 7)
        #expect(b.keyboard(0xED, 0xF4) == [0xFA, 0xFA], "a command in the argument's place")
        #expect(b.chip.leds == 7)
        #expect(b.keyboard(0xFF) == [0xFA, 0xAA] && b.chip.leds == 0)
    }

    @Test func resendRepeatsTheLastByte() {
        var b = Bench()
        #expect(b.tap(30).make == [0x1E])
        var plain = Bench.plain()
        #expect(plain.tap(30).break == [0xF0, 0x1C])
        #expect(plain.keyboard(0xFE) == [0x1C])
        #expect(plain.keyboard(0xFE) == [0x1C])
    }

    @Test func disabledKeyboardScansNothing() {
        var b = Bench()
        #expect(b.keyboard(0xF5) == [0xFA])
        #expect(b.tap(30) == ([], []))
        #expect(b.keyboard(0xF4) == [0xFA])
        #expect(b.tap(30) == ([0x1E], [0x9E]))
        #expect(b.keyboard(0xF6) == [0xFA])
        #expect(b.tap(30) == ([0x1E], [0x9E]))
    }

    @Test func setIsChosenAndTold() {
        var b = Bench.plain()
        #expect(b.keyboard(0xF0, 0x00) == [0xFA, 0xFA, 0x02])
        #expect(b.keyboard(0xF0, 0x03) == [0xFA, 0xFA])
        #expect(b.keyboard(0xF0, 0x00) == [0xFA, 0xFA, 0x03])
        #expect(b.keyboard(0xF0, 0x04) == [0xFA, 0xFE])
        #expect(b.keyboard(0xF6) == [0xFA])
        #expect(b.keyboard(0xF0, 0x00) == [0xFA, 0xFA, 0x02])
    }

    // MARK: Scan codes: key code, set 1, set 2 (without prefixes), set 3

    static let keys: [(UInt16, UInt8, UInt8, UInt8)] = [
        (1, 0x01, 0x76, 0x08), (2, 0x02, 0x16, 0x16), (11, 0x0B, 0x45, 0x45), (12, 0x0C, 0x4E, 0x4E),
        (13, 0x0D, 0x55, 0x55), (14, 0x0E, 0x66, 0x66), (15, 0x0F, 0x0D, 0x0D), (16, 0x10, 0x15, 0x15),
        (25, 0x19, 0x4D, 0x4D), (28, 0x1C, 0x5A, 0x5A), (29, 0x1D, 0x14, 0x11), (30, 0x1E, 0x1C, 0x1C),
        (38, 0x26, 0x4B, 0x4B), (41, 0x29, 0x0E, 0x0E), (42, 0x2A, 0x12, 0x12), (43, 0x2B, 0x5D, 0x5C),
        (44, 0x2C, 0x1A, 0x1A), (53, 0x35, 0x4A, 0x4A), (54, 0x36, 0x59, 0x59), (55, 0x37, 0x7C, 0x7E),
        (56, 0x38, 0x11, 0x19), (57, 0x39, 0x29, 0x29), (58, 0x3A, 0x58, 0x14), (59, 0x3B, 0x05, 0x07),
        (65, 0x41, 0x83, 0x37), (68, 0x44, 0x09, 0x4F), (69, 0x45, 0x77, 0x76), (70, 0x46, 0x7E, 0x5F),
        (71, 0x47, 0x6C, 0x6C), (74, 0x4A, 0x7B, 0x84), (78, 0x4E, 0x79, 0x7C), (83, 0x53, 0x71, 0x71),
        (86, 0x56, 0x61, 0x13), (87, 0x57, 0x78, 0x56), (88, 0x58, 0x07, 0x5E),
    ]
    static let grey: [(UInt16, UInt8, UInt8, UInt8)] = [
        (96, 0x1C, 0x5A, 0x79), (97, 0x1D, 0x14, 0x58), (98, 0x35, 0x4A, 0x77), (100, 0x38, 0x11, 0x39),
        (102, 0x47, 0x6C, 0x6E), (103, 0x48, 0x75, 0x63), (104, 0x49, 0x7D, 0x6F), (105, 0x4B, 0x6B, 0x61),
        (106, 0x4D, 0x74, 0x6A), (107, 0x4F, 0x69, 0x65), (108, 0x50, 0x72, 0x60), (109, 0x51, 0x7A, 0x6D),
        (110, 0x52, 0x70, 0x67), (111, 0x53, 0x71, 0x64), (125, 0x5B, 0x1F, 0x8B), (126, 0x5C, 0x27, 0x8C),
        (127, 0x5D, 0x2F, 0x8D),
    ]

    @Test func everySetSendsItsCodes() {
        var (translated, two, one) = (Bench(), Bench.plain(), Bench.plain(set: 1))
        for (key, set1, set2, _) in Self.keys {
            #expect(translated.tap(key) == ([set1], [set1 | 0x80]), "key \(key)")
            #expect(one.tap(key) == ([set1], [set1 | 0x80]), "key \(key)")
            #expect(two.tap(key) == ([set2], [0xF0, set2]), "key \(key)")
        }
        for (key, set1, set2, _) in Self.grey {
            #expect(translated.tap(key) == ([0xE0, set1], [0xE0, set1 | 0x80]), "key \(key)")
            #expect(one.tap(key) == ([0xE0, set1], [0xE0, set1 | 0x80]), "key \(key)")
            #expect(two.tap(key) == ([0xE0, set2], [0xE0, 0xF0, set2]), "key \(key)")
        }
    }

    @Test func set3SendsOneCodeAKeyAndBreaksByItsKind() {
        var b = Bench.plain(set: 3)
        let breaking: Set<UInt8> = [0x11, 0x12, 0x14, 0x19, 0x59]
        for (key, _, _, set3) in Self.keys + Self.grey {
            #expect(b.tap(key) == ([set3], breaking.contains(set3) ? [0xF0, set3] : []), "key \(key)")
        }
        #expect(b.tap(99).make == [0x57] && b.tap(119).make == [0x62])
        #expect(b.keyboard(0xFA) == [0xFA])
        #expect(b.tap(30) == ([0x1C], [0xF0, 0x1C]))
        #expect(b.keyboard(0xF9) == [0xFA])
        #expect(b.tap(30) == ([0x1C], []))
        #expect(b.keyboard(0xFC, 0x1C, 0x1B) == [0xFA, 0xFA, 0xFA])
        #expect(b.keyboard(0xF4) == [0xFA])
        #expect(b.tap(30) == ([0x1C], [0xF0, 0x1C]) && b.tap(31).break == [0xF0, 0x1B] && b.tap(32).break == [])
    }

    @Test func allKeysOfA105KeyKeyboardAreThere() {
        let codes = (UInt16(0)..<128).compactMap { key in ScanCodes.codes(key).map { (key, $0) } }
        let letters = Array(UInt16(1)...83) + [86, 87, 88] + Array(96...100) + Array(102...111) + [119, 125, 126, 127]
        #expect(letters.count == 105)
        for key in letters { #expect(ScanCodes.codes(key) != nil, "key \(key)") }
        let distinct = Set(codes.map { UInt16($1.set2) | ($1.isExtended ? 0x100 : 0) })
        #expect(distinct.count == codes.count)
        for (key, code) in codes where key < 84 && key != 65 {
            #expect(ScanCodes.translated(code.set2) == UInt8(key), "evdev's codes are set 1's")
        }
    }

    @Test func printScreenHasThreeForms() {
        var b = Bench.plain()
        #expect(b.tap(99) == ([0xE0, 0x12, 0xE0, 0x7C], [0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12]))
        b.press(42)
        #expect(b.take() == [0x12])
        #expect(b.tap(99) == ([0xE0, 0x7C], [0xE0, 0xF0, 0x7C]))
        b.release(42)
        b.press(56)
        #expect(b.take() == [0xF0, 0x12, 0x11])
        b.press(99)
        b.release(56)
        b.release(99)
        #expect(b.take() == [0x84, 0xF0, 0x11, 0xF0, 0x84], "released as it was pressed")
        var translated = Bench()
        #expect(translated.tap(99) == ([0xE0, 0x2A, 0xE0, 0x37], [0xE0, 0xB7, 0xE0, 0xAA]))
        translated.press(56)
        _ = translated.take()
        #expect(translated.tap(99) == ([0x54], [0xD4]))
    }

    @Test func pauseHasNoBreak() {
        var b = Bench()
        #expect(b.tap(119) == ([0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5], []))
        b.press(29)
        _ = b.take()
        #expect(b.tap(119) == ([0xE0, 0x46, 0xE0, 0xC6], []))
        var plain = Bench.plain()
        #expect(plain.tap(119) == ([0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77], []))
    }

    @Test func unknownKeysAndStrayReleasesSendNothing() {
        var b = Bench()
        for key: UInt16 in [0, 84, 101, 128, 191, 192, 0x110, 0xFFFF] { #expect(b.tap(key) == ([], [])) }
        b.release(30)
        #expect(b.take() == [])
        b.press(30)
        b.press(30)
        #expect(b.take() == [0x1E], "the host's own repeat is not a press")
    }

    // MARK: Typematic

    @Test func lastKeyRepeatsAfterItsDelay() {
        var b = Bench()
        b.press(30)
        b.press(31)
        #expect(b.take() == [0x1E, 0x1F])
        b.now = 499_999_999
        #expect(b.status & 1 == 0)
        #expect(b.chip.nextEvent(at: b.now) == 500_000_000)
        b.now = 501_000_000
        b.chip.advance(to: b.now)
        b.now += 1_000_000
        #expect(b.chip.read(.data, at: b.now) == 0x1F)
        #expect(b.chip.nextEvent(at: b.now) == 501_000_000 + 91_666_666, "(8 + 3) * 2 / 240 s later")
        b.release(31)
        #expect(b.take() == [0x9F])
        b.now += 2_000_000_000
        #expect(b.status & 1 == 0, "the other key, still down, does not take over")
    }

    @Test func rateAndDelayAreTheGuests() {
        var b = Bench()
        #expect(b.keyboard(0xF3, 0x00) == [0xFA, 0xFA])
        let start = b.now
        b.press(30)
        #expect(b.take() == [0x1E])
        #expect(b.chip.nextEvent(at: b.now) == start + 250_000_000)
        b.chip.advance(to: start + 250_000_000)
        b.now = start + 251_000_000
        #expect(b.chip.read(.data, at: b.now) == 0x1E)
        #expect(b.chip.nextEvent(at: b.now) == start + 250_000_000 + 33_333_333)
    }

    @Test func pauseAndSet3MakeOnlyKeysDoNotRepeat() {
        var b = Bench.plain(set: 3)
        b.press(1)
        _ = b.take()
        #expect(b.chip.nextEvent(at: b.now) == nil)
        var other = Bench()
        other.press(119)
        _ = other.take()
        #expect(other.chip.nextEvent(at: other.now) == nil)
    }

    // MARK: Overflow

    @Test func overflowDropsPressesWholeAndNoRelease() {
        var b = Bench.plain()
        var down: [UInt16] = []
        for round in 0..<200 {
            for key: UInt16 in [30, 99, 103, 57] {
                b.press(key)
                if round % 2 == 1 { b.release(key) }
            }
            down = [30, 99, 103, 57]
        }
        for key in down { b.release(key) }
        let bytes = b.take()
        #expect(bytes.count <= 256 && bytes.count > 200)
        #expect(Self.stuck(bytes) == [])
    }

    @Test func losingTheFocusReleasesEverything() {
        var b = Bench.plain()
        for key: UInt16 in [29, 56, 111, 99] { b.press(key) }
        b.chip.releaseAll(at: b.now)
        #expect(Self.stuck(b.take()) == [])
    }

    /// What a guest believes to be pressed after these bytes of set 2.
    static func stuck(_ bytes: [UInt8]) -> Set<UInt16> {
        var (held, prefix, isBreak): (Set<UInt16>, UInt16, Bool) = ([], 0, false)
        for byte in bytes {
            if byte == 0xE0 { prefix = 0x100; continue }
            if byte == 0xF0 { isBreak = true; continue }
            if isBreak { held.remove(prefix | UInt16(byte)) } else { held.insert(prefix | UInt16(byte)) }
            (prefix, isBreak) = (0, false)
        }
        return held
    }
}
