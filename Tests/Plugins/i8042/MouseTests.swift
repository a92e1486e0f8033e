import Testing
@testable import I8042

/// The mouse against the PS/2 technical reference, "Auxiliary devices", and the wheel protocols.
@Suite struct MouseTests {
    @Test func resetPassesAndNamesItself() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xFF) == [0xFA, 0xAA, 0x00])
        #expect(b.mouse(0xF2) == [0xFA, 0x00])
        #expect(b.mouse(0xE9) == [0xFA, 0x00, 0x02, 0x64])
    }

    @Test func statusShowsSettingsAndButtons() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xE7, 0xE8, 0x03, 0xF3, 0x28, 0xF4) == [0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 0xFA])
        b.chip.mouse(buttons: 0b101, at: b.now)
        _ = b.take(auxiliary: true)
        #expect(b.mouse(0xE9) == [0xFA, 0x36, 0x03, 0x28])
        b.chip.mouse(buttons: 0b010, at: b.now)
        _ = b.take(auxiliary: true)
        #expect(b.mouse(0xF0, 0xE9) == [0xFA, 0xFA, 0x71, 0x03, 0x28])
        #expect(b.mouse(0xF6, 0xE9) == [0xFA, 0xFA, 0x01, 0x02, 0x64])
    }

    @Test func packetsCarrySignedMovementUpwards() {
        var b = Bench.withMouse()
        b.chip.mouse(x: 5, at: b.now)
        #expect(b.take(auxiliary: true) == [], "not reporting yet")
        #expect(b.mouse(0xF4) == [0xFA])
        b.chip.mouse(x: 5, y: 3, at: b.now)
        #expect(b.take(auxiliary: true) == [0x28, 0x05, 0xFD], "the host's down is the packet's negative")
        b.chip.mouse(x: -1, y: -2, buttons: 0b111, at: b.now)
        #expect(b.take(auxiliary: true) == [0x1F, 0xFF, 0x02])
        b.chip.mouse(buttons: 0, at: b.now)
        #expect(b.take(auxiliary: true) == [0x08, 0x00, 0x00])
        b.chip.mouse(buttons: 0, at: b.now)
        #expect(b.take(auxiliary: true) == [], "nothing new")
    }

    @Test func farMovementsTakeSeveralPackets() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF4) == [0xFA])
        b.chip.mouse(x: 300, y: -256, at: b.now)
        #expect(b.take(auxiliary: true) == [0x08, 0xFF, 0xFF, 0x08, 0x2D, 0x01])
        b.chip.mouse(x: .min, y: .min, wheel: .min, at: b.now)
        b.chip.mouse(x: .min, y: .min, wheel: .min, at: b.now)
        #expect(b.chip.mouse.state.reports[0].y == 1 << 20)
    }

    @Test func scalingAppliesToTheStreamOnly() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF4, 0xE7) == [0xFA, 0xFA])
        for (moved, shown) in [(1, 1), (2, 1), (3, 3), (4, 6), (5, 9), (6, 12), (100, 200), (200, 255)]
            as [(Int32, UInt8)]
        {
            b.chip.mouse(x: moved, at: b.now)
            #expect(b.take(auxiliary: true) == [0x08, shown, 0x00])
        }
        #expect(b.mouse(0xF0) == [0xFA])
        b.chip.mouse(x: 5, at: b.now)
        #expect(b.mouse(0xEB) == [0xFA, 0x08, 0x05, 0x00])
    }

    @Test func sampleRateLimitsThePackets() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF3, 0x0A, 0xF4) == [0xFA, 0xFA, 0xFA])
        b.chip.mouse(x: 1, at: b.now)
        #expect(b.next()?.byte == 0x08 && b.next()?.byte == 0x01 && b.next()?.byte == 0x00)
        for _ in 0..<5 { b.chip.mouse(x: 1, at: b.now) }
        #expect(b.next() == nil)
        let due = b.chip.nextEvent(at: b.now) ?? 0
        b.now = due
        #expect(b.take(auxiliary: true) == [0x08, 0x05, 0x00], "what came meanwhile, added up")
    }

    @Test func knocksGiveAWheelAndMoreButtons() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF2).suffix(2) == [0xFA, 0x03])
        #expect(b.mouse(0xF4) == [0xFA])
        b.chip.mouse(wheel: 1, at: b.now)
        #expect(b.take(auxiliary: true) == [0x08, 0x00, 0x00, 0xFF], "away from the user is negative")
        b.chip.mouse(wheel: -9, at: b.now)
        #expect(b.take(auxiliary: true) == [0x08, 0, 0, 7, 0x08, 0, 0, 2])
        #expect(b.mouse(0xF3, 200, 0xF3, 200, 0xF3, 80, 0xF2).suffix(2) == [0xFA, 0x04])
        b.chip.mouse(wheel: 1, buttons: 0b11000, at: b.now)
        #expect(b.take(auxiliary: true) == [0x08, 0x00, 0x00, 0x3F])
        #expect(b.mouse(0xFF, 0xF2) == [0xFA, 0xAA, 0x00, 0xFA, 0x00])
    }

    @Test func wrapModeEchoesAllButTwo() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xEE, 0x12, 0xF4, 0xEE) == [0xFA, 0x12, 0xF4, 0xEE])
        #expect(b.mouse(0xEC, 0xF2) == [0xFA, 0xFA, 0x00])
        #expect(b.mouse(0xEE, 0xFF) == [0xFA, 0xFA, 0xAA, 0x00])
    }

    @Test func remoteModeAnswersWhenAsked() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF4, 0xF0) == [0xFA, 0xFA])
        b.chip.mouse(x: 2, at: b.now)
        b.chip.mouse(x: 3, buttons: 1, at: b.now)
        #expect(b.take(auxiliary: true) == [])
        #expect(b.mouse(0xEB) == [0xFA, 0x09, 0x05, 0x00])
        #expect(b.mouse(0xEB) == [0xFA, 0x09, 0x00, 0x00])
        #expect(b.mouse(0xEA) == [0xFA])
        b.chip.mouse(x: 1, at: b.now)
        #expect(b.take(auxiliary: true) == [0x09, 0x01, 0x00])
    }

    @Test func badArgumentsAndCommandsAreRefused() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF3, 0) == [0xFA, 0xFE] && b.mouse(0xE8, 4) == [0xFA, 0xFE] && b.mouse(0x42) == [0xFE])
        #expect(b.mouse(0xE9) == [0xFA, 0x00, 0x02, 0x64])
    }

    @Test func clicksAreKeptAndReleasesNeverLost() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF4) == [0xFA])
        for _ in 0..<50 {
            b.chip.mouse(buttons: 1, at: b.now)
            b.chip.mouse(buttons: 0, at: b.now)
        }
        var (first, packets): (UInt8, Int) = (0, 0)
        while let (byte, _) = b.next() {
            if packets % 3 == 0 { first = byte }
            packets += 1
        }
        #expect(packets == 48 && first == 0x08, "16 packets, the last with no button")
    }
}
