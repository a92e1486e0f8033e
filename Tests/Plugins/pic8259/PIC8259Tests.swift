import SplitMix
@testable import PIC8259
import Testing

/// The chip against the 8259A data sheet (231468), command by command. All numbers are the data sheet's own.
@Suite struct PIC8259Tests {
    // MARK: Initialization

    @Test(arguments: [
        // ICW1, then what follows it up to the first mask write.
        [0x11, 0x40, 0x04, 0x01],  // cascade, ICW4
        [0x10, 0x40, 0x04],  // cascade, no ICW4
        [0x13, 0x40, 0x01],  // single, ICW4
        [0x12, 0x40],  // single, no ICW4
        [0x1F, 0x40, 0x01],  // LTIM and ADI change nothing in the sequence
    ])
    func theSequenceTakesExactlyTheWordsThatWord1AsksFor(_ words: [UInt8]) {
        var chip = PIC8259()
        chip.write(0, words[0])
        for word in words.dropFirst() {
            #expect(chip.state.stage != .ready)
            chip.write(1, word)
        }
        #expect(chip.state.stage == .ready)
        #expect(chip.read(1) == 0x00)
        chip.write(1, 0xA5)
        #expect(chip.read(1) == 0xA5)
        #expect(chip.state.vectorBase == 0x40)
    }

    @Test func maskAnswersAProbeBeforeInitialization() {
        var chip = PIC8259()
        chip.write(1, 0xFB)
        #expect(chip.read(1) == 0xFB)
        chip.write(1, 0x00)
        chip.setLine(0, true)
        #expect(!chip.interruptRequested)
    }

    @Test func nothingIsRequestedUntilTheLastWord() {
        var chip = PIC8259()
        chip.write(0, 0x11)
        chip.setLine(3, true)
        for word: UInt8 in [0x08, 0x00, 0x01] {
            #expect(!chip.interruptRequested)
            chip.write(1, word)
        }
        #expect(chip.interruptRequested)
        #expect(chip.acknowledge() == 0x0B)
    }

    @Test func word1ResetsWhatTheDataSheetLists() {
        var chip = readyChip()
        chip.write(1, 0x81)  // mask
        chip.write(0, 0xC2)  // bottom priority is 2
        chip.write(0, 0x68)  // special mask mode on
        chip.write(0, 0x0B)  // read ISR
        chip.write(0, 0x80)  // rotate in automatic EOI
        chip.setLine(5, true)
        #expect(chip.acknowledge() == 0x25)
        chip.setLine(6, true)
        chip.write(0, 0x13)
        chip.write(1, 0x20)
        chip.write(1, 0x01)
        #expect(chip.read(1) == 0x00)
        #expect(chip.read(0) == 0x00, "IRR is selected, and the edge of 6 is forgotten")
        #expect(!chip.interruptRequested)
        #expect(chip.state.inService == 0)
        #expect(!chip.state.specialMask)
        #expect(!chip.state.rotatesInAutomaticEnd)
        #expect(servingOrder(of: chip) == [0, 1, 2, 3, 4, 5, 6, 7])
    }

    @Test func word1SetsASlavesIdentityToSeven() {
        var slave = PIC8259(role: .slave)
        slave.write(0, 0x11)
        #expect(slave.state.cascade == 7)
        slave.write(1, 0x70)
        slave.write(1, 0xFA)
        #expect(slave.state.cascade == 2, "bits 2:0 of ICW3")
    }

    @Test func aLineThatWasHighThroughWord1NeedsANewEdge() {
        var chip = PIC8259()
        chip.setLine(4, true)
        initialize(&chip)
        #expect(!chip.interruptRequested)
        chip.setLine(4, true)
        #expect(!chip.interruptRequested)
        chip.setLine(4, false)
        chip.setLine(4, true)
        #expect(chip.acknowledge() == 0x24)
    }

    @Test func withoutWord4ItsFunctionsAreOff() {
        var chip = readyChip(word4: 0x13)
        #expect(chip.state.word4.rawValue == 0x13)
        chip.write(0, 0x12)
        chip.write(1, 0x20)
        #expect(chip.state.stage == .ready)
        #expect(chip.state.word4.rawValue == 0)
        chip.setLine(1, true)
        #expect(chip.acknowledge() == 0x21, "MCS-80 mode answers as 8086 mode does")
        #expect(chip.state.inService == 0x02, "no automatic EOI")
    }

    @Test func lowBitsOfTheVectorAreTheLevel() {
        var chip = readyChip(base: 0x0F)
        for level: UInt8 in 0...7 {
            chip.setLine(level, true)
            #expect(chip.acknowledge() == 0x08 + level)
            chip.write(0, 0x20)
        }
    }

    @Test(arguments: [UInt8(0x05), 0x09, 0x0D]) func bufferedBitsAreAcceptedAndChangeNothing(_ word4: UInt8) {
        var chip = readyChip(word4: word4)
        chip.setLine(2, true)
        #expect(chip.acknowledge() == 0x22)
        #expect(chip.state.word4.rawValue == word4)
    }

    @Test func resetKeepsOnlyTheLines() {
        var chip = readyChip()
        chip.setLine(1, true)
        _ = chip.acknowledge()
        chip.reset()
        #expect(chip.state.lines == 0x02)
        #expect(chip.state.inService == 0)
        #expect(chip.takeEnded() == 0)
        var fresh = PIC8259()
        initialize(&fresh)
        initialize(&chip)
        chip.setLine(1, true)
        #expect(!chip.interruptRequested, "the line did not rise")
    }

    // MARK: Requests: edge, level, spurious

    @Test func requestRegisterShowsMaskedRequests() {
        var chip = readyChip()
        chip.write(1, 0xFF)
        chip.setLine(0, true)
        chip.setLine(7, true)
        #expect(chip.read(0) == 0x81)
        #expect(!chip.interruptRequested)
        chip.write(1, 0x7F)
        #expect(chip.acknowledge() == 0x27)
        #expect(chip.read(0) == 0x01)
    }

    @Test func anEdgeIsServedOnceHoweverLongTheLineStays() {
        var chip = readyChip()
        chip.setLine(3, true)
        #expect(chip.acknowledge() == 0x23)
        #expect(chip.read(0) == 0x00)
        chip.write(0, 0x20)
        #expect(!chip.interruptRequested)
        chip.setLine(3, true)
        #expect(!chip.interruptRequested)
        chip.setLine(3, false)
        chip.setLine(3, true)
        #expect(chip.interruptRequested)
    }

    @Test func anEdgeDuringServiceWaitsForTheEnd() {
        var chip = readyChip()
        chip.setLine(3, true)
        _ = chip.acknowledge()
        chip.setLine(3, false)
        chip.setLine(3, true)
        #expect(chip.read(0) == 0x08)
        #expect(!chip.interruptRequested)
        chip.write(0, 0x20)
        #expect(chip.acknowledge() == 0x23)
    }

    @Test func spuriousInterruptOnLineDropIsSeven() {
        var chip = readyChip()
        chip.setLine(1, true)
        chip.setLine(1, false)
        #expect(!chip.interruptRequested)
        #expect(chip.read(0) == 0x00)
        #expect(chip.acknowledge() == 0x27)
        #expect(chip.state.inService == 0x00)
        chip.setLine(7, true)
        #expect(chip.acknowledge() == 0x27)
        #expect(chip.state.inService == 0x80, "a real 7 is in service: how software tells them apart")
    }

    @Test func spuriousInterruptEndsAndRotatesNothing() {
        var chip = readyChip(word4: 0x03)
        chip.write(0, 0x80)
        #expect(chip.acknowledge() == 0x27)
        #expect(chip.takeEnded() == 0)
        #expect(chip.state.lowestPriority == 7)
        chip.write(0, 0xC4)
        #expect(chip.acknowledge() == 0x27, "7 even where another level has the lowest priority")
    }

    @Test func maskingTakesTheRequestBack() {
        var chip = readyChip()
        chip.setLine(2, true)
        chip.write(1, 0x04)
        #expect(!chip.interruptRequested)
        chip.write(1, 0x00)
        #expect(chip.interruptRequested)
    }

    @Test func levelTriggeredLineRequestsUntilItDrops() {
        var chip = PIC8259()
        chip.setLine(6, true)
        initialize(&chip, word1: 0x1B)
        #expect(chip.acknowledge() == 0x26, "no edge is needed")
        #expect(chip.read(0) == 0x40)
        #expect(!chip.interruptRequested)
        chip.write(0, 0x20)
        #expect(chip.acknowledge() == 0x26, "still high after the EOI: again")
        chip.setLine(6, false)
        chip.write(0, 0x20)
        #expect(!chip.interruptRequested)
        #expect(chip.read(0) == 0x00)
    }

    @Test func levelControlMakesOnlyItsLinesLevelTriggered() {
        var chip = readyChip()
        chip.setLevelControl(0x20)
        chip.setLine(5, true)
        chip.setLine(4, true)
        for expected: UInt8 in [0x24, 0x25, 0x25] {
            #expect(chip.acknowledge() == expected)
            chip.write(0, 0x20)
        }
        chip.setLevelControl(0x00)
        #expect(!chip.interruptRequested, "an acknowledged edge does not come back")
    }

    @Test func linesAboveSevenAreIgnored() {
        var chip = readyChip()
        for line: UInt8 in [8, 9, 15, 16, 128, 255] { chip.setLine(line, true) }
        #expect(chip.state.lines == 0)
    }

    // MARK: Fully nested mode

    @Test func onlyAHigherLevelInterruptsAService() {
        for served: UInt8 in 0...7 {
            for other: UInt8 in 0...7 where other != served {
                var chip = readyChip()
                chip.setLine(served, true)
                _ = chip.acknowledge()
                chip.setLine(other, true)
                #expect(chip.interruptRequested == (other < served))
            }
        }
    }

    @Test func theRotatedOrderGovernsNestingToo() {
        var chip = readyChip()
        chip.write(0, 0xC4)  // 4 lowest, 5 highest
        chip.setLine(7, true)
        #expect(chip.acknowledge() == 0x27)
        for (line, higher): (UInt8, Bool) in [(5, true), (6, true), (0, false), (1, false), (3, false), (4, false)] {
            var copy = chip
            copy.setLine(line, true)
            #expect(copy.interruptRequested == higher)
        }
    }

    // MARK: End of interrupt

    @Test func nonSpecificEndClearsTheHighestInService() {
        var chip = chipServing([6, 3, 1])
        #expect(readInService(&chip) == 0x4A)
        for expected: UInt8 in [0x48, 0x40, 0x00, 0x00] {
            chip.write(0, 0x20)
            #expect(readInService(&chip) == expected)
        }
    }

    @Test func nonSpecificEndFollowsTheRotatedOrder() {
        var chip = chipServing([6, 3, 1])
        chip.write(0, 0xC3)  // order 4 5 6 7 0 1 2 3
        chip.write(0, 0x20)
        #expect(readInService(&chip) == 0x0A)
        chip.write(0, 0x20)
        #expect(readInService(&chip) == 0x08)
    }

    @Test func specificEndClearsItsLevelOnly() {
        var chip = chipServing([6, 3, 1])
        chip.write(0, 0x63)
        #expect(readInService(&chip) == 0x42)
        chip.write(0, 0x65)
        #expect(readInService(&chip) == 0x42, "not in service: nothing")
        chip.write(0, 0x66)
        #expect(readInService(&chip) == 0x02)
        #expect(servingOrder(of: readyChip()) == [0, 1, 2, 3, 4, 5, 6, 7])
    }

    @Test func noOperationDoesNothing() {
        var chip = chipServing([6, 3, 1])
        let before = chip.state
        for level: UInt8 in 0...7 { chip.write(0, 0x40 | level) }
        #expect(chip.state == before)
    }

    @Test func endsAreReportedOnceWithTheirLevel() {
        var chip = chipServing([6, 3, 1])
        chip.write(0, 0x20)
        #expect(chip.takeEnded() == 0x02)
        #expect(chip.takeEnded() == 0x00)
        chip.write(0, 0x64)
        #expect(chip.takeEnded() == 0x00, "4 was not in service")
        chip.write(0, 0xE6)
        #expect(chip.takeEnded() == 0x40)
        chip.write(0, 0x13)
        #expect(chip.takeEnded() == 0x08, "ICW1 ends what is left")
    }

    // MARK: Rotation

    /// Data sheet, "Automatic Rotation": 4 and 6 in service, the highest is 4; after it 4 is lowest, 5 highest.
    @Test func rotateOnNonSpecificEndAsInTheDataSheetsExample() {
        var chip = chipServing([6, 4])
        chip.write(0, 0xA0)
        #expect(readInService(&chip) == 0x40)
        #expect(chip.state.lowestPriority == 4)
        chip.write(0, 0x66)
        #expect(servingOrder(of: chip) == [5, 6, 7, 0, 1, 2, 3, 4])
    }

    @Test func rotateOnNonSpecificEndWithNothingInServiceKeepsTheOrder() {
        var chip = readyChip()
        chip.write(0, 0xA0)
        #expect(servingOrder(of: chip) == [0, 1, 2, 3, 4, 5, 6, 7])
    }

    static let orders: [[UInt8]] = [
        [1, 2, 3, 4, 5, 6, 7, 0], [2, 3, 4, 5, 6, 7, 0, 1], [3, 4, 5, 6, 7, 0, 1, 2], [4, 5, 6, 7, 0, 1, 2, 3],
        [5, 6, 7, 0, 1, 2, 3, 4], [6, 7, 0, 1, 2, 3, 4, 5], [7, 0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6, 7],
    ]

    @Test func setPriorityNamesTheLowest() {
        for level: UInt8 in 0...7 {
            var chip = readyChip()
            chip.write(0, 0xC0 | level)
            #expect(servingOrder(of: chip) == Self.orders[Int(level)])
        }
    }

    @Test func rotateOnSpecificEndEndsAndNamesTheLowest() {
        for level: UInt8 in 0...7 {
            var chip = chipServing([level])
            chip.write(0, 0xE0 | level)
            #expect(readInService(&chip) == 0x00)
            #expect(servingOrder(of: chip) == Self.orders[Int(level)])
        }
    }

    @Test func setPriorityLeavesServiceAlone() {
        var chip = chipServing([6, 3])
        chip.write(0, 0xC1)
        #expect(readInService(&chip) == 0x48)
    }

    // MARK: Automatic EOI

    @Test func automaticEndClearsAtTheAcknowledge() {
        var chip = readyChip(word4: 0x03)
        chip.setLine(2, true)
        chip.setLine(5, true)
        #expect(chip.acknowledge() == 0x22)
        #expect(readInService(&chip) == 0x00)
        #expect(chip.takeEnded() == 0x04)
        #expect(chip.acknowledge() == 0x25)
        #expect(chip.takeEnded() == 0x20)
        #expect(chip.state.lowestPriority == 7)
    }

    @Test func rotationInAutomaticEndGoesRound() {
        var chip = readyChip(word1: 0x1B, word4: 0x03)
        for line: UInt8 in 0...7 { chip.setLine(line, true) }
        chip.write(0, 0x80)
        let served = (0..<10).map { _ in chip.acknowledge() }
        #expect(served == [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x20, 0x21])
        chip.write(0, 0x00)
        #expect(chip.acknowledge() == 0x22)
        #expect(chip.acknowledge() == 0x22, "rotation is off: the highest again")
    }

    // MARK: Special mask mode

    @Test func specialMaskLetsLowerLevelsInterruptAMaskedService() {
        var chip = chipServing([2])
        chip.setLine(5, true)
        #expect(!chip.interruptRequested)
        chip.write(1, 0x04)
        #expect(!chip.interruptRequested, "a mask alone does not release lower levels")
        chip.write(0, 0x68)
        #expect(chip.acknowledge() == 0x25)
        chip.setLine(2, false)
        chip.setLine(2, true)
        #expect(!chip.interruptRequested, "its own level stays inhibited")
        chip.setLine(0, true)
        #expect(chip.acknowledge() == 0x20)
    }

    @Test func anUnmaskedServiceStillHoldsLowerLevelsBackInSpecialMaskMode() {
        var chip = chipServing([4, 2])
        chip.write(0, 0x68)
        chip.write(1, 0x04)
        chip.setLine(5, true)
        #expect(!chip.interruptRequested, "4 is in service and not masked")
        chip.setLine(3, true)
        #expect(chip.interruptRequested)
    }

    @Test func nonSpecificEndPassesOverAMaskedServiceInSpecialMaskMode() {
        var chip = chipServing([5, 2])
        chip.write(1, 0x04)
        chip.write(0, 0x68)
        chip.write(0, 0x20)
        #expect(readInService(&chip) == 0x04)
        chip.write(0, 0x20)
        #expect(readInService(&chip) == 0x04)
        chip.write(0, 0x62)
        #expect(readInService(&chip) == 0x00)
    }

    @Test func specialMaskChangesOnlyWhereEnabled() {
        var chip = readyChip()
        chip.write(0, 0x28)
        #expect(!chip.state.specialMask)
        chip.write(0, 0x68)
        #expect(chip.state.specialMask)
        chip.write(0, 0x08)
        #expect(chip.state.specialMask)
        chip.write(0, 0x48)
        #expect(!chip.state.specialMask)
    }

    // MARK: Special fully nested mode

    @Test func specialFullyNestedMasterTakesASlavesFurtherRequest() {
        for (word4, nested): (UInt8, Bool) in [(0x01, false), (0x11, true)] {
            var chip = readyChip(word1: 0x11, word3: 0x04, word4: word4)
            chip.setLine(2, true)
            #expect(chip.acknowledge() == 0x22)
            chip.setLine(2, false)
            chip.setLine(2, true)
            #expect(chip.interruptRequested == nested)
            chip.setLine(2, false)
            chip.setLine(3, true)
            #expect(!chip.interruptRequested, "lower levels stay locked out")
        }
    }

    @Test func specialFullyNestedModeIsForSlaveInputsOnly() {
        var chip = readyChip(word1: 0x11, word3: 0x04, word4: 0x11)
        chip.setLine(3, true)
        _ = chip.acknowledge()
        chip.setLine(3, false)
        chip.setLine(3, true)
        #expect(!chip.interruptRequested)
    }

    // MARK: Reads and polls

    @Test func readSelectStaysUntilItIsChanged() {
        var chip = chipServing([3])
        chip.setLine(6, true)
        chip.write(0, 0x0B)
        #expect(chip.read(0) == 0x08)
        #expect(chip.read(0) == 0x08)
        chip.write(0, 0x08)
        #expect(chip.read(0) == 0x08, "RR = 0 changes nothing")
        chip.write(0, 0x0A)
        #expect(chip.read(0) == 0x40)
    }

    @Test func pollAcknowledgesTheHighestRequest() {
        var chip = readyChip()
        chip.setLine(6, true)
        chip.setLine(4, true)
        chip.write(0, 0x0C)
        #expect(chip.peek(0) == 0x84)
        #expect(chip.peek(1) == 0x84)
        #expect(chip.read(0) == 0x84)
        #expect(readInService(&chip) == 0x10)
        #expect(!chip.interruptRequested)
        chip.write(0, 0x0C)
        #expect(chip.read(0) == 0x07, "6 has to wait: no request")
        chip.write(0, 0x20)
        chip.write(0, 0x0C)
        #expect(chip.read(1) == 0x86, "either offset is the poll")
        #expect(chip.read(1) == 0x00, "one read only")
    }

    @Test func pollOverridesTheStatusRead() {
        var chip = readyChip()
        chip.setLine(0, true)
        chip.write(0, 0x0F)
        #expect(chip.read(0) == 0x80)
        #expect(chip.read(0) == 0x01, "then the ISR that the same word selected")
    }

    @Test func pollInAutomaticEndReportsTheEnd() {
        var chip = readyChip(word4: 0x03)
        chip.setLine(5, true)
        chip.write(0, 0x0C)
        #expect(chip.read(0) == 0x85)
        #expect(chip.takeEnded() == 0x20)
        #expect(readInService(&chip) == 0x00)
    }

    @Test func aLaterCommandWordWithoutPollCancelsIt() {
        var chip = readyChip()
        chip.setLine(0, true)
        chip.write(0, 0x0C)
        chip.write(0, 0x0A)
        #expect(chip.read(0) == 0x01)
        #expect(chip.interruptRequested)
    }

    // MARK: The priority logic as a whole

    /// Every combination of requests and services in every mode against a walk down the priorities.
    @Test func thePriorityLogicAgreesWithAWalkDownTheLevels() {
        var random = SplitMix64(seed: 8259)
        for requests: UInt8 in 0...255 {
            for inService: UInt8 in 0...255 {
                var state = PIC8259.State()
                state.stage = .ready
                (state.lines, state.edgeLatch, state.inService) = (requests, requests, inService)
                let bits = random.next()
                state.mask = UInt8(truncatingIfNeeded: bits) & UInt8(truncatingIfNeeded: bits >> 8)
                state.lowestPriority = UInt8(bits >> 16 & 7)
                state.specialMask = bits >> 20 & 1 == 1
                state.cascade = 0x24
                state.word4 = bits >> 21 & 1 == 1 ? [.mode8086, .specialFullyNested] : [.mode8086]
                var chip = PIC8259()
                if !chip.restore(state) || chip.requestedLevel != walk(state) { Issue.record("\(state)") }
            }
        }
    }

    private func walk(_ state: PIC8259.State) -> UInt8? {
        for step: UInt8 in 1...8 {
            let level = (state.lowestPriority + step) % 8
            let bit: UInt8 = 1 << level
            let isRequested = state.edgeLatch & bit != 0 && state.mask & bit == 0
            let isServed = state.inService & bit != 0 && !(state.specialMask && state.mask & bit != 0)
            let isNestedSlave = state.word4.rawValue & 0x10 != 0 && (level == 2 || level == 5)
            if isRequested && (!isServed || isNestedSlave) { return level }
            if isServed { return nil }
        }
        return nil
    }

    // MARK: Saved states

    @Test func statesThatNoChipCanBeInAreRefused() {
        var states = Array(repeating: PIC8259.State(), count: 8)
        states[0].lowestPriority = 8
        states[1].lowestPriority = 255
        states[2].vectorBase = 0x21
        states[3].edgeLatch = 0x10
        states[4].word1 = .init(rawValue: 0x10)
        states[5].word4 = .init(rawValue: 0x20)
        (states[6].stage, states[6].word1) = (.word3, [.single])
        states[7].stage = .word4
        for state in states {
            var chip = readyChip()
            let before = chip.state
            #expect(chip.restore(state) == false)
            #expect(chip.state == before)
        }
        var slaveState = PIC8259.State()
        slaveState.cascade = 8
        var slave = PIC8259(role: .slave)
        #expect(slave.restore(slaveState) == false)
    }
}
