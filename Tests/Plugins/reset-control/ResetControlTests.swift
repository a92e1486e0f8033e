import ResetControl
import Testing

@Suite struct ResetControlTests {
    // MARK: Port 0x92

    @Test func fastResetWorksOnTheRisingEdge() {
        var chip = ResetControl()
        var pulses = chip.write(.systemControlA, 0x01)
        #expect(pulses)
        pulses = chip.write(.systemControlA, 0x03)
        #expect(!pulses)
        pulses = chip.write(.systemControlA, 0x02)
        #expect(!pulses)
        pulses = chip.write(.systemControlA, 0x03)
        #expect(pulses)
    }

    @Test func a20IsReadBackAndResetsNothing() {
        var chip = ResetControl()
        #expect(chip.read(.systemControlA) == 0x02)
        let pulses = [chip.write(.systemControlA, 0x00), chip.write(.systemControlA, 0xFE)]
        #expect(pulses == [false, false])
        #expect(chip.read(.systemControlA) == 0x02)
        _ = chip.write(.systemControlA, 0xFC)
        #expect(chip.read(.systemControlA) == 0x00)
    }

    // MARK: Port 0xCF9

    @Test func theUsualHardResetWritesSixAtOnceOrInTwoSteps() {
        var chip = ResetControl()
        var pulses = [chip.write(.resetControl, 0x06)]
        #expect(pulses == [true])
        chip.reset()
        pulses = [chip.write(.resetControl, 0x02), chip.write(.resetControl, 0x06)]
        #expect(pulses == [false, true])
        chip.reset()
        pulses = [chip.write(.resetControl, 0x0A), chip.write(.resetControl, 0x0E)]
        #expect(pulses == [false, true])
    }

    @Test func aSoftResetIsResetToo() {
        var chip = ResetControl()
        let pulses = chip.write(.resetControl, 0x04)
        #expect(pulses)
    }

    @Test func onlyTheRisingEdgeOfBitTwoResets() {
        var chip = ResetControl()
        let pulses = [0x04, 0x06, 0x0E, 0x00, 0xFB, 0x04].map { chip.write(.resetControl, $0) }
        #expect(pulses == [true, false, false, false, false, true])
    }

    @Test func bitTwoNeverReadsAsOne() {
        var chip = ResetControl()
        #expect(chip.read(.resetControl) == 0x00)
        _ = chip.write(.resetControl, 0xFF)
        #expect(chip.read(.resetControl) == 0x0A)
    }

    // MARK: State

    @Test func resetGivesTheFirstState() {
        var chip = ResetControl()
        _ = chip.write(.systemControlA, 0x01)
        _ = chip.write(.resetControl, 0x0E)
        chip.reset()
        #expect(chip.state == ResetControl().state)
        #expect(chip.read(.systemControlA) == 0x02)
        #expect(chip.read(.resetControl) == 0x00)
    }

    @Test func aRestoredBitMakesNoEdge() {
        var chip = ResetControl()
        var saved = ResetControl.State()
        saved.systemControlA = .init(rawValue: 0x03)
        saved.resetControl = .init(rawValue: 0x06)
        let isTaken = chip.restore(saved)
        #expect(isTaken)
        let pulses = [chip.write(.systemControlA, 0x03), chip.write(.resetControl, 0x06)]
        #expect(pulses == [false, false])
    }

    @Test func bitsThatDoNotExistAreRefused() {
        var chip = ResetControl()
        let before = chip.state
        for value in [0x04, 0x80] as [UInt8] {
            var saved = ResetControl.State()
            saved.systemControlA = .init(rawValue: value)
            let isTaken = chip.restore(saved)
            #expect(!isTaken)
        }
        for value in [0x01, 0x10] as [UInt8] {
            var saved = ResetControl.State()
            saved.resetControl = .init(rawValue: value)
            let isTaken = chip.restore(saved)
            #expect(!isTaken)
        }
        #expect(chip.state == before)
    }
}
