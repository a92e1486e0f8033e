import PIT8254
import Testing

/// The six modes: the data sheet's definitions and timing diagrams, and what the gate and a new count do in each.
extension PIT8254Tests {
    // MARK: Mode 0

    @Test func mode0RisesAfterTheCountAndOneTick() {
        var bench = Bench()
        bench.program(0x30, 4)
        #expect(bench.outputs(8).highTicks == [5, 6, 7, 8])
        #expect(bench.counts(7) == [4, 3, 2, 1, 0, 0xFFFF, 0xFFFE])
        #expect(bench.chip.nextEvent(at: 0) == ns(5))
        #expect(bench.chip.risingEdges(0, from: 0, to: ns(1000)) == 1)
    }

    @Test func mode0GateHoldsTheCountAndNotTheOutput() {
        var bench = Bench()
        bench.gate(false)
        bench.program(0x30, 4)
        bench.tick += 3
        #expect(bench.count == 4, "loaded although the gate is low")
        #expect(!bench.isNull)
        #expect(bench.chip.nextEvent(at: bench.now) == nil)
        bench.gate(true)
        #expect(bench.outputs(6).highTicks == [4, 5, 6], "N ticks after the gate: nothing is left to load")
        bench.tick += 10
        bench.gate(false)
        bench.tick += 10
        #expect(bench.output)
    }

    @Test func mode0FirstByteStopsTheCount() {
        var bench = Bench()
        bench.program(0x30, 100)
        bench.tick += 11
        #expect(bench.count == 90)
        bench.write(0, 3)
        bench.tick += 20
        #expect(bench.count == 90)
        #expect(bench.chip.nextEvent(at: bench.now) == nil)
        bench.write(0, 0)
        #expect(bench.outputs(6).highTicks == [4, 5, 6])
    }

    @Test func mode0NewCountLowersTheOutputAtOnce() {
        var bench = Bench()
        bench.program(0x30, 2)
        bench.tick += 9
        #expect(bench.output)
        bench.write(0, 5)
        #expect(!bench.output, "with the first byte")
        bench.tick += 3
        bench.write(0, 0)
        #expect(bench.outputs(7).highTicks == [6, 7])
        var single = Bench()
        single.write(3, 0x10)
        single.write(0, 2)
        single.tick += 9
        single.write(0, 5)
        #expect(!single.output)
        #expect(single.outputs(7).highTicks == [6, 7])
    }

    @Test func mode0NewCountGoesOnFromItself() {
        var bench = Bench()
        bench.write(3, 0x10)
        bench.write(0, 9)
        bench.tick += 5
        bench.write(0, 3)
        #expect(bench.count == 5)
        #expect(bench.counts(5) == [3, 2, 1, 0, 0xFF], "its low byte")
        #expect(bench.outputs(5).highTicks == [4, 5])
    }

    // MARK: Mode 1

    @Test func mode1IsLowForItsCountAfterATrigger() {
        var bench = Bench()
        bench.gate(false)
        bench.program(0x32, 3)
        #expect(bench.outputs(5).lowTicks == [])
        #expect(bench.isNull, "not loaded before the trigger")
        bench.tick += 5
        bench.gate(true)
        #expect(bench.output, "the next CLK pulse lowers it")
        #expect(bench.outputs(8).lowTicks == [1, 2, 3])
        #expect(bench.counts(5) == [3, 2, 1, 0, 0xFFFF])
        bench.tick += 8
        bench.gate(false)
        bench.tick += 1
        bench.gate(true)
        #expect(bench.outputs(8).lowTicks == [1, 2, 3], "no need to rewrite the count")
    }

    @Test func mode1RetriggersAndIgnoresTheGateLevel() {
        var bench = Bench()
        bench.gate(false)
        bench.program(0x32, 4)
        bench.gate(true)
        bench.tick += 2
        bench.gate(false)
        bench.tick += 1
        #expect(bench.count == 2, "counts with the gate low")
        bench.gate(true)
        #expect(bench.outputs(8).lowTicks == [0, 1, 2, 3, 4])
    }

    @Test func mode1NewCountWaitsForATrigger() {
        var bench = Bench()
        bench.gate(false)
        bench.program(0x32, 3)
        bench.gate(true)
        bench.tick += 2
        bench.writeCount(6)
        #expect(bench.outputs(5).lowTicks == [0, 1])
        #expect(bench.isNull)
        bench.gate(false)
        bench.gate(true)
        #expect(bench.outputs(9).lowTicks == [0, 1, 2, 3, 4, 5, 6])
    }

    @Test func triggersBeforeACountAreForgotten() {
        for word: UInt8 in [0x32, 0x3A] {
            var bench = Bench()
            bench.gate(false)
            bench.write(3, word)
            bench.gate(true)
            bench.writeCount(3)
            #expect(bench.outputs(20).lowTicks == [])
            #expect(bench.chip.nextEvent(at: bench.now) == nil)
        }
    }

    // MARK: Mode 2

    @Test func mode2IsLowForOneTickInEachPeriod() {
        var bench = Bench()
        bench.program(0x34, 4)
        #expect(bench.outputs(13).lowTicks == [4, 8, 12])
        #expect(bench.counts(9) == [4, 3, 2, 1, 4, 3, 2, 1, 4])
        #expect(bench.chip.nextEvent(at: 0) == ns(4))
        #expect(bench.chip.nextEvent(at: ns(4)) == ns(5))
        #expect(bench.chip.nextRisingEdge(0, at: 0) == ns(5))
        #expect(bench.chip.nextRisingEdge(0, at: ns(4)) == ns(5))
        #expect(bench.chip.nextRisingEdge(0, at: ns(5)) == ns(9))
    }

    @Test func mode2GateHoldsTheOutputHighAndReloads() {
        var bench = Bench()
        bench.program(0x34, 4)
        bench.tick += 4
        #expect(!bench.output)
        bench.gate(false)
        #expect(bench.output, "at once")
        bench.tick += 7
        #expect(bench.output)
        #expect(bench.count == 1)
        bench.gate(true)
        #expect(bench.output)
        #expect(bench.counts(5) == [4, 3, 2, 1, 4])
        #expect(bench.outputs(9).lowTicks == [4, 8], "low N ticks after the trigger")
    }

    @Test func mode2NewCountWaitsForTheEndOfThePeriod() {
        var bench = Bench()
        bench.program(0x34, 4)
        bench.tick += 2
        bench.writeCount(6)
        #expect(bench.isNull)
        #expect(bench.outputs(15).lowTicks == [2, 8, 14])
        #expect(bench.counts(9) == [2, 1, 6, 5, 4, 3, 2, 1, 6])
        bench.tick += 3
        #expect(!bench.isNull)
    }

    @Test func mode2TriggerLoadsTheNewCountEarlier() {
        var bench = Bench()
        bench.program(0x34, 20)
        bench.tick += 5
        bench.writeCount(3)
        bench.tick += 1
        bench.gate(false)
        bench.gate(true)
        #expect(bench.counts(4) == [3, 2, 1, 3])
        #expect(bench.outputs(7).lowTicks == [3, 6])
    }

    @Test func mode2FirstCountIsLoadedWithTheGateLow() {
        var bench = Bench()
        bench.gate(false)
        bench.program(0x34, 5)
        bench.tick += 10
        #expect(bench.count == 5)
        #expect(!bench.isNull)
        #expect(bench.output)
    }

    @Test func mode2RisingEdgesAreCountedExactly() {
        var bench = Bench()
        bench.program(0x34, 1_193)
        #expect(bench.edges(0, 1 + 1_193 - 1) == 0)
        #expect(bench.edges(0, 1 + 1_193) == 1)
        #expect(bench.edges(1 + 1_193, 1 + 2 * 1_193) == 1)
        #expect(bench.edges(1 + 1_193, 2 * 1_193) == 0)
        #expect(bench.edges(0, 1 + 1_193_000_000) == 1_000_000)
        #expect(bench.edges(50, 50) == 0)
        #expect(bench.edges(50, 40) == 0)
    }

    // MARK: Mode 3

    @Test func mode3EvenCountsAreHalfHighHalfLow() {
        var bench = Bench()
        bench.program(0x36, 4)
        #expect(bench.outputs(12).lowTicks == [3, 4, 7, 8, 11, 12])
        #expect(bench.counts(9) == [4, 2, 4, 2, 4, 2, 4, 2, 4])
        #expect(bench.chip.nextEvent(at: 0) == ns(3))
        #expect(bench.chip.nextRisingEdge(0, at: 0) == ns(5))
        #expect(bench.edges(0, 4) == 0)
        #expect(bench.edges(0, 5) == 1)
        #expect(bench.edges(0, 4_001) == 1_000)
    }

    @Test func mode3OddCountsAreOneTickLongerHigh() {
        var bench = Bench()
        bench.program(0x36, 5)
        #expect(bench.outputs(12).lowTicks == [4, 5, 9, 10])
        #expect(bench.counts(10) == [4, 2, 0, 4, 2, 4, 2, 0, 4, 2])
        var three = Bench()
        three.program(0x36, 3)
        #expect(three.outputs(10).lowTicks == [3, 6, 9])
        #expect(three.counts(6) == [2, 0, 2, 2, 0, 2])
    }

    @Test func mode3GateForcesTheOutputHighAndReloads() {
        var bench = Bench()
        bench.program(0x36, 6)
        bench.tick += 5
        #expect(!bench.output)
        bench.gate(false)
        #expect(bench.output)
        bench.tick += 9
        #expect(bench.output)
        bench.gate(true)
        #expect(bench.output)
        #expect(bench.counts(4) == [6, 4, 2, 6])
        #expect(bench.outputs(8).lowTicks == [4, 5, 6])
    }

    @Test func mode3NewCountWaitsForTheEndOfTheHalf() {
        var bench = Bench()
        bench.program(0x36, 8)
        bench.tick += 2
        bench.writeCount(5)
        #expect(bench.counts(8) == [4, 2, 4, 2, 4, 2, 0, 4])
        #expect(bench.outputs(12).lowTicks == [3, 4, 8, 9], "low half of 5: 2 ticks; then 3 high, 2 low")
        bench.tick += 3
        bench.writeCount(4)
        #expect(bench.outputs(8).lowTicks == [0, 1, 4, 5, 8], "the new low half's end is where 4 starts, high")
    }

    @Test func mode3TriggerLoadsTheNewCountEarlier() {
        var bench = Bench()
        bench.program(0x36, 40)
        bench.tick += 25
        #expect(!bench.output)
        bench.writeCount(4)
        bench.gate(false)
        bench.gate(true)
        #expect(bench.outputs(6).lowTicks == [3, 4])
    }

    @Test func mode3LargestCount() {
        var bench = Bench()
        bench.program(0x36, 0)
        bench.tick += 2
        #expect(bench.count == 0xFFFE)
        bench.tick += 32_766
        #expect(bench.output)
        bench.tick += 1
        #expect(!bench.output)
        #expect(bench.count == 0x0000)
        #expect(bench.edges(0, 65_537) == 1)
        #expect(bench.edges(0, 65_536) == 0)
    }

    @Test func anIllegalCountOfOneMakesNoEdges() {
        for word: UInt8 in [0x34, 0x36] {
            var bench = Bench()
            bench.program(word, 1)
            #expect(bench.outputs(10).lowTicks == [])
            #expect(bench.edges(0, 1_000_000) == 0)
            bench.tick += 10
            #expect(bench.chip.nextEvent(at: bench.now) == nil)
            bench.writeCount(2)
            bench.tick += 10
            #expect(bench.chip.nextEvent(at: bench.now) != nil, "a legal count gets it going again")
        }
    }

    // MARK: Mode 4

    @Test func mode4StrobesOnceAfterTheCountAndOneTick() {
        var bench = Bench()
        bench.program(0x38, 3)
        #expect(bench.outputs(200).lowTicks == [4])
        #expect(bench.counts(6) == [3, 2, 1, 0, 0xFFFF, 0xFFFE])
        #expect(bench.edges(0, 200_000) == 1)
        #expect(bench.chip.nextRisingEdge(0, at: 0) == ns(5))
        #expect(bench.chip.nextEvent(at: ns(5)) == nil)
    }

    @Test func mode4GateHoldsTheCountAndNotTheStrobe() {
        var bench = Bench()
        bench.program(0x38, 3)
        bench.tick += 2
        bench.gate(false)
        bench.tick += 5
        #expect(bench.count == 2)
        bench.gate(true)
        #expect(bench.outputs(6).lowTicks == [2])
        bench.tick += 2
        bench.gate(false)
        #expect(!bench.output, "the gate has no effect on OUT")
        #expect(bench.chip.nextEvent(at: bench.now) == ns(bench.tick + 1))
        bench.tick += 1
        #expect(bench.output)
        #expect(bench.count == 0)
        bench.gate(true)
        #expect(bench.outputs(6).lowTicks == [])
        #expect(bench.chip.risingEdges(0, at: bench.now) == 2, "the control word's and the strobe's")
    }

    @Test func mode4NewCountStartsAgainAndItsFirstByteDoesNothing() {
        var bench = Bench()
        bench.program(0x38, 6)
        bench.tick += 3
        bench.write(0, 4)
        bench.tick += 2
        #expect(bench.count == 2, "goes on counting")
        bench.write(0, 0)
        #expect(bench.outputs(9).lowTicks == [5])
    }

    // MARK: Mode 5

    @Test func mode5StrobesAfterATrigger() {
        var bench = Bench()
        bench.gate(false)
        bench.program(0x3A, 3)
        #expect(bench.outputs(10).lowTicks == [])
        bench.tick += 2
        bench.gate(true)
        #expect(bench.outputs(100).lowTicks == [4])
        bench.tick += 2
        bench.gate(false)
        #expect(bench.outputs(10).lowTicks == [2], "the gate's level does not matter")
        bench.gate(true)
        #expect(bench.outputs(10).lowTicks == [4], "retriggered")
    }

    @Test func mode5NewCountWaitsForATrigger() {
        var bench = Bench()
        bench.gate(false)
        bench.program(0x3A, 5)
        bench.gate(true)
        bench.tick += 2
        bench.writeCount(2)
        #expect(bench.outputs(10).lowTicks == [4])
        bench.gate(false)
        bench.gate(true)
        #expect(bench.outputs(10).lowTicks == [3])
    }
}
