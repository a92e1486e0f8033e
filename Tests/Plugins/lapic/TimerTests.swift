import LocalAPIC
import Testing

/// SDM volume 3, "APIC Timer". A tick of the bus clock is a nanosecond.
@Suite struct LocalAPICTimerTests {
    @Test func theDivideCodeIsTheSDMsTable() {
        for (code, divisor): (UInt32, UInt64) in [
            (0b0000, 2), (0b0001, 4), (0b0010, 8), (0b0011, 16), (0b1000, 32), (0b1001, 64), (0b1010, 128), (0b1011, 1),
        ] {
            var chip = readyAPIC()
            chip.write(0x3E0, code, at: 0)
            chip.write(0x320, 0x40, at: 0)
            chip.write(0x380, 1000, at: 5000)
            #expect(chip.nextDeadline == 5000 + 1000 * divisor)
            #expect(chip.peek(0x390, at: 5000 + 400 * divisor) == 600)
            #expect(chip.peek(0x390, at: 5000 + 400 * divisor - 1) == 601)
        }
    }

    @Test func oneShotInterruptsOnceAndStandsAtZero() {
        var chip = readyAPIC()
        chip.write(0x3E0, 0xB, at: 0)
        chip.write(0x320, 0x40, at: 0)
        chip.write(0x380, 100, at: 50)
        chip.advance(to: 149)
        #expect(chip.request == nil)
        chip.advance(to: 150)
        #expect(chip.acknowledge() == .vector(0x40))
        #expect(chip.nextDeadline == nil)
        #expect(chip.peek(0x390, at: 1000) == 0)
        #expect(chip.peek(0x380, at: 1000) == 100)
    }

    @Test func periodicKeepsItsPhaseHoweverLateItIsSeen() {
        var chip = readyAPIC()
        chip.write(0x3E0, 0xB, at: 0)
        chip.write(0x320, 0x2_0040, at: 0)
        chip.write(0x380, 100, at: 7)
        #expect(chip.nextDeadline == 107)
        chip.advance(to: 107)
        #expect(chip.acknowledge() == .vector(0x40))
        #expect(chip.nextDeadline == 207)
        chip.end()
        chip.advance(to: 1_000_000_050)
        #expect(chip.acknowledge() == .vector(0x40))
        chip.end()
        #expect(chip.request == nil, "missed periods are one interrupt")
        #expect(chip.nextDeadline == 1_000_000_107)
        #expect(chip.peek(0x390, at: 1_000_000_050) == 57)
    }

    @Test func aZeroCountStopsAndAMaskedTimerCountsSilently() {
        var chip = readyAPIC()
        chip.write(0x320, 0x3_0040, at: 0)
        chip.write(0x380, 100, at: 0)
        #expect(chip.nextDeadline == nil)
        #expect(chip.peek(0x390, at: 40) == 80)
        chip.advance(to: 10_000)
        #expect(chip.request == nil)
        chip.write(0x320, 0x2_0040, at: 10_000)
        #expect(chip.nextDeadline == 10_200)
        chip.write(0x380, 0, at: 10_100)
        #expect(chip.nextDeadline == nil)
    }

    @Test func aNewDivisorAppliesToWhatIsLeft() {
        var chip = readyAPIC()
        chip.write(0x3E0, 0xB, at: 0)
        chip.write(0x320, 0x40, at: 0)
        chip.write(0x380, 100, at: 0)
        chip.write(0x3E0, 0x3, at: 60)
        #expect(chip.nextDeadline == 60 + 40 * 16)
    }

    @Test func deadlineModeInterruptsAtItsTSCAndDisarms() {
        var chip = readyAPIC(tscHertz: 3_000_000_000)
        chip.write(0x320, 0x4_0041, at: 0)
        chip.writeDeadline(9001, tsc: 3000, at: 1000)
        #expect(chip.nextDeadline == 3001, "2000.33 ns later, rounded up")
        #expect(chip.readDeadline(at: 3000) == 9001)
        chip.advance(to: 3001)
        #expect(chip.acknowledge() == .vector(0x41))
        #expect(chip.readDeadline(at: 3001) == 0)
        chip.end()
        chip.writeDeadline(5, tsc: 10_000, at: 4000)
        #expect(chip.acknowledge() == .vector(0x41), "a deadline in the past comes at once")
        chip.writeDeadline(20_000, tsc: 10_000, at: 4000)
        chip.writeDeadline(0, tsc: 10_000, at: 4000)
        #expect(chip.nextDeadline == nil)
    }

    @Test func aTSCThatIsWrittenMovesTheDeadline() {
        var chip = readyAPIC()
        chip.write(0x320, 0x4_0041, at: 0)
        chip.writeDeadline(10_000, tsc: 0, at: 0)
        chip.tscChanged(to: 9_000, at: 100)
        #expect(chip.nextDeadline == 1_100)
        chip.tscChanged(to: 10_000, at: 200)
        #expect(chip.request == .vector(0x41))
    }

    @Test func modesDoNotMix() {
        var chip = readyAPIC()
        chip.writeDeadline(10_000, tsc: 0, at: 0)
        #expect(chip.readDeadline(at: 0) == 0, "ignored outside of deadline mode")
        chip.write(0x320, 0x40, at: 0)
        chip.write(0x380, 1000, at: 0)
        chip.write(0x320, 0x4_0040, at: 0)
        #expect(chip.nextDeadline == nil, "the change disarms")
        chip.write(0x380, 1000, at: 0)
        #expect(chip.peek(0x380, at: 0) == 0, "the count is ignored in deadline mode")
        chip.writeDeadline(10_000, tsc: 0, at: 0)
        chip.write(0x320, 0x40, at: 0)
        #expect(chip.nextDeadline == nil)
        #expect(chip.readDeadline(at: 0) == 0)
    }

    @Test func theEndOfTimeIsNoTrap() {
        var chip = readyAPIC(tscHertz: 1)
        chip.write(0x320, 0x4_0041, at: .max)
        chip.writeDeadline(.max, tsc: 0, at: .max)
        #expect(chip.nextDeadline == nil)
        chip.write(0x320, 0x2_0041, at: .max)
        chip.write(0x380, .max, at: .max)
        #expect(chip.nextDeadline == nil)
    }
}
