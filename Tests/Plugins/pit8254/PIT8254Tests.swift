@testable import PIT8254
import Testing

/// The chip against the 8254 data sheet (231164), mode by mode. Times are ticks of CLK; `Bench` puts them on the
/// nanosecond clock.
@Suite struct PIT8254Tests {
    // MARK: Clock

    @Test func clockIsTheCrystalDividedByTwelve() {
        #expect(InputClock.tick(at: 0) == 0)
        #expect(InputClock.tick(at: 838) == 0)
        #expect(InputClock.tick(at: 839) == 1)
        #expect(InputClock.tick(at: 600_000_000) == 715_909)
        #expect(InputClock.tick(at: 1_000_000_000) == 1_193_181)
        #expect(InputClock.tick(at: 31_536_000_000_000_000) == 37_628_177_040_000, "a year")
        #expect(InputClock.tick(at: 3_153_600_000_000_000_000) == 3_762_817_704_000_000, "a hundred years: no drift")
        #expect(InputClock.tick(at: .max) == 22_010_316_838_442_218)
    }

    @Test func timesOfTicksAreTheFirstNanosecondsOfTheirTick() {
        #expect(InputClock.time(of: 0) == 0)
        #expect(InputClock.time(of: 1) == 839)
        #expect(InputClock.time(of: 715_909) == 600_000_000)
        #expect(InputClock.time(of: 22_010_316_838_442_218) == 18_446_744_073_709_550_795)
        #expect(InputClock.time(of: 22_010_316_838_442_219) == nil)
        #expect(InputClock.time(of: .max) == nil)
        for tick: UInt64 in [1, 2, 3, 17, 65_536, 1_193_182, 37_628_177_040_001] {
            let time = InputClock.time(of: tick) ?? 0
            #expect(InputClock.tick(at: time) == tick)
            #expect(InputClock.tick(at: time - 1) == tick - 1)
        }
    }

    // MARK: Programming and reading

    @Test func controlWordSetsTheOutput() {
        for mode: UInt8 in 0...7 {
            var bench = Bench()
            bench.write(3, 0x30 | mode << 1)
            #expect(bench.output == (mode != 0))
        }
    }

    @Test func statusShowsTheControlWordAsWritten() {
        for word: UInt8 in [0x10, 0x21, 0x32, 0x34, 0x36, 0x38, 0x3A, 0x3C, 0x3E, 0x3D] {
            var bench = Bench()
            bench.write(3, word)
            bench.write(3, 0xE2)
            let expected = word | 0x40 | (word & 0x0E == 0 ? 0x00 : 0x80)
            #expect(bench.read(0) == expected)
        }
    }

    @Test func modesSixAndSevenAreTwoAndThree() {
        for (alias, mode): (UInt8, UInt8) in [(0x3C, 0x34), (0x3E, 0x36)] {
            var (first, second) = (Bench(), Bench())
            first.program(alias, 10)
            second.program(mode, 10)
            for _ in 0..<50 {
                first.tick += 1
                second.tick += 1
                #expect(first.output == second.output)
                #expect(first.count == second.count)
            }
        }
    }

    @Test func accessFormsWriteTheirBytes() {
        var low = Bench()
        low.write(3, 0x10)
        low.write(0, 0x12)
        low.tick += 1
        #expect(low.read(0) == 0x12)
        #expect(low.chip.state.counter0.countRegister == 0x0012)
        var high = Bench()
        high.write(3, 0x20)
        high.write(0, 0x12)
        high.tick += 1
        #expect(high.read(0) == 0x12)
        #expect(high.chip.state.counter0.countRegister == 0x1200)
        var both = Bench()
        both.write(3, 0x30)
        both.write(0, 0x34)
        both.write(0, 0x12)
        both.tick += 1
        #expect(both.read(0) == 0x34)
        #expect(both.read(0) == 0x12)
        #expect(both.read(0) == 0x34)
    }

    /// Data sheet, "Read Operations": read LSB, write new LSB, read MSB, write new MSB.
    @Test func readsAndWritesInterleave() {
        var bench = Bench()
        bench.program(0x30, 0x1234)
        bench.tick += 1
        #expect(bench.read(0) == 0x34)
        bench.write(0, 0x78)
        #expect(bench.read(0) == 0x12)
        bench.write(0, 0x56)
        bench.tick += 1
        #expect(bench.count == 0x5678)
    }

    @Test func aLatchedCountStaysUntilItIsReadCompletely() {
        var bench = Bench()
        bench.program(0x34, 0x1000)
        bench.tick += 1 + 0x10
        bench.write(3, 0x00)
        bench.tick += 0x100
        bench.write(3, 0x00)
        #expect(bench.peek(0) == 0xF0)
        #expect(bench.read(0) == 0xF0)
        #expect(bench.read(0) == 0x0F)
        #expect(bench.read(0) == 0xF0, "following again: 0EF0")
        #expect(bench.read(0) == 0x0E)
    }

    @Test func latchingDoesNotChangeTheMode() {
        var bench = Bench()
        bench.program(0x34, 100)
        bench.write(3, 0x0E)  // latch counter 0; bits 3:0 do not count
        bench.write(3, 0xE2)
        #expect(bench.read(0) & 0x3F == 0x34)
    }

    @Test func aControlWordUnlatches() {
        var bench = Bench()
        bench.program(0x34, 0x1000)
        bench.tick += 1
        bench.write(3, 0x00)
        bench.program(0x10, 0x20)
        bench.tick += 1
        #expect(bench.read(0) == 0x20)
    }

    @Test func aControlWordFreezesTheCountUntilTheNextLoad() {
        var bench = Bench()
        bench.program(0x34, 100)
        bench.tick += 11
        bench.write(3, 0x30)
        bench.tick += 50
        #expect(bench.count == 90)
        #expect(bench.chip.nextEvent(at: bench.now) == nil)
        bench.writeCount(7)
        bench.tick += 1
        #expect(bench.count == 7)
    }

    @Test func aControlWordResetsTheByteFlipFlops() {
        var bench = Bench()
        bench.write(3, 0x30)
        bench.write(0, 0xAA)
        _ = bench.read(0)
        bench.write(3, 0x30)
        bench.write(0, 0x21)
        bench.write(0, 0x43)
        bench.tick += 1
        #expect(bench.read(0) == 0x21)
        #expect(bench.read(0) == 0x43)
    }

    @Test func readBackLatchesStatusBeforeCount() {
        var bench = Bench()
        bench.program(0x34, 0x0300)
        bench.tick += 1 + 0x100
        bench.write(3, 0xC2)
        bench.tick += 5
        #expect(bench.peek(0) == 0xB4)
        #expect(bench.read(0) == 0xB4, "OUT high, not null, LSB and MSB, mode 2, binary")
        #expect(bench.read(0) == 0x00)
        #expect(bench.read(0) == 0x02)
        #expect(bench.read(0) == 0xFB, "following again: 01FB + 1 - 1")
    }

    @Test func readBackNamesItsCounters() {
        var bench = Bench()
        for (word, port): (UInt8, UInt8) in [(0x30, 0), (0x70, 1), (0xB0, 2)] {
            bench.write(3, word)
            bench.write(port, 0x10 + port)
            bench.write(port, 0x20)
        }
        bench.tick += 1
        bench.write(3, 0xDA)  // count of 0 and 2
        bench.tick += 8
        #expect(bench.read(0) == 0x10)
        #expect(bench.read(1) == 0x09, "counter 1 was not latched")
        #expect(bench.read(2) == 0x12, "latched, and without GATE it does not count at all")
        #expect(bench.read(0) == 0x20)
        #expect(bench.read(2) == 0x20)
        bench.write(3, 0xEC)  // status of 1 and 2
        #expect(bench.read(1) == 0x30)
        #expect(bench.read(2) == 0x30)
        #expect(bench.read(0) == 0x08)
    }

    @Test func aSecondStatusLatchIsIgnored() {
        var bench = Bench()
        bench.program(0x30, 5)
        bench.write(3, 0xE2)
        bench.tick += 10
        bench.write(3, 0xE2)
        #expect(bench.read(0) == 0x70, "the first: OUT low, null count")
        bench.write(3, 0xE2)
        #expect(bench.read(0) == 0xB0)
    }

    /// Data sheet, figure 11: what happens, and the null count after it.
    @Test func nullCountFollowsTheLoad() {
        var bench = Bench()
        bench.write(3, 0x30)
        #expect(bench.isNull)
        bench.program(0x30, 100)
        #expect(bench.isNull)
        bench.tick += 1
        #expect(!bench.isNull)
        bench.write(0, 50)
        #expect(!bench.isNull, "only the second byte sets it")
        bench.write(0, 0)
        #expect(bench.isNull)
        bench.tick += 1
        #expect(!bench.isNull)
    }

    @Test func readingTheControlAddressFloats() {
        var bench = Bench()
        #expect(bench.read(3) == 0xFF)
        #expect(bench.peek(3) == 0xFF)
        #expect(bench.read(7) == 0xFF, "only A1 and A0 count")
    }

    @Test func zeroIsTheLargestCount() {
        var binary = Bench()
        binary.program(0x30, 0)
        binary.tick += 1
        #expect(binary.count == 0x0000)
        binary.tick += 1
        #expect(binary.count == 0xFFFF)
        binary.tick += 65_534
        #expect(!binary.output)
        binary.tick += 1
        #expect(binary.output)
        var decimal = Bench()
        decimal.program(0x31, 0)
        decimal.tick += 2
        #expect(decimal.count == 0x9999)
        decimal.tick += 9_998
        #expect(!decimal.output)
        decimal.tick += 1
        #expect(decimal.output)
    }

    @Test func decimalCountsBorrowAsDecimals() {
        var bench = Bench()
        bench.program(0x31, 0x1000)
        bench.tick += 1
        for expected: UInt16 in [0x1000, 0x0999, 0x0998] {
            #expect(bench.count == expected)
            bench.tick += 1
        }
        bench.tick += 1 + 989
        #expect(bench.count == 0x0007)
        bench.tick += 7
        #expect(bench.output)
        bench.tick += 1
        #expect(bench.count == 0x9999, "wraps to the highest BCD count")
    }

    @Test func decimalPeriodIsDecimal() {
        var bench = Bench()
        bench.program(0x35, 0x0025)
        #expect(bench.outputs(60).lowTicks == [25, 50])
    }

    // MARK: Time

    @Test func writesCountFromTheTickTheyFallIn() {
        var (early, late) = (PIT8254(), PIT8254())
        for (time, late_): (UInt64, Bool) in [(839, false), (1676, true)] {
            for (port, value): (UInt8, UInt8) in [(3, 0x30), (0, 10), (0, 0)] {
                if late_ { late.write(port, value, at: time) } else { early.write(port, value, at: time) }
            }
        }
        #expect(early.nextEvent(at: 1676) == ns(12))
        #expect(late.nextEvent(at: 1676) == ns(12))
        #expect(!early.output(0, at: ns(12) - 1))
        #expect(early.output(0, at: ns(12)))
    }

    @Test func ticksStayExactOverAHundredYears() {
        var bench = Bench()
        bench.program(0x34, 0)
        // 3762817704000000 ticks in a hundred years of 365 days; the first period starts at tick 1.
        let century: UInt64 = 3_153_600_000_000_000_000
        #expect(bench.chip.risingEdges(0, from: 0, to: century) == 57_416_041_625)
        #expect(bench.chip.risingEdges(0, from: 0, to: .max) == 335_850_781_836)
        let next = bench.chip.nextRisingEdge(0, at: century) ?? 0
        #expect(next > century)
        #expect(bench.chip.risingEdges(0, from: century, to: next - 1) == 0)
        #expect(bench.chip.risingEdges(0, from: century, to: next) == 1)
        #expect(bench.chip.nextEvent(at: .max) == nil)
    }

    @Test func totalsIncludeTheEdgesThatWritesMake() {
        var bench = Bench()
        bench.program(0x30, 100)
        #expect(bench.chip.risingEdges(0, at: bench.now) == 0)
        bench.write(3, 0x34)
        #expect(bench.chip.risingEdges(0, at: bench.now) == 1, "mode 2 raises OUT at once")
        bench.writeCount(4)
        bench.tick += 9
        #expect(bench.chip.risingEdges(0, at: bench.now) == 3)
        bench.tick += 3
        #expect(!bench.output)
        bench.gate(false)
        #expect(bench.chip.risingEdges(0, at: bench.now) == 4, "the gate raises it too")
    }

    @Test func advancingChangesNoAnswer() {
        for word: UInt8 in [0x30, 0x32, 0x34, 0x36, 0x38, 0x3A] {
            var bench = Bench()
            bench.program(word, 37)
            var advanced = bench
            for _ in 0..<100 {
                bench.tick += 3
                advanced.tick += 3
                advanced.chip.advance(to: advanced.now)
                #expect(bench.output == advanced.output)
                #expect(bench.count == advanced.count)
                #expect(bench.chip.nextEvent(at: bench.now) == advanced.chip.nextEvent(at: advanced.now))
                #expect(bench.chip.risingEdges(0, at: bench.now) == advanced.chip.risingEdges(0, at: advanced.now))
            }
        }
    }
}
