import SplitMix
@testable import PIC8259
import Testing

/// Two chips as a PC wires them: cascade, ELCR, end-of-interrupt notices, and what a hostile guest or snapshot gets.
extension PIC8259Tests {
    @Suite struct Pair {
        // MARK: Cascade

        @Test func everyLineHasItsVector() {
            for line: UInt8 in 0...15 where line != 2 {
                var pair = readyPair()
                pair.setLine(line, true)
                #expect(pair.interruptRequested)
                #expect(pair.acknowledge() == (line < 8 ? 0x08 + line : 0x70 + line - 8))
                #expect(!pair.interruptRequested)
            }
        }

        @Test func aSlaveInterruptIsInServiceInBothChips() {
            var pair = readyPair()
            pair.setLine(12, true)
            #expect(pair.acknowledge() == 0x74)
            #expect(pair.master.state.inService == 0x04)
            #expect(pair.slave.state.inService == 0x10)
            pair.write(.slaveCommand, 0x20)
            #expect(endedLines(&pair) == 0x1000)
            pair.write(.masterCommand, 0x20)
            #expect(endedLines(&pair) == 0x0004)
            #expect(endedLines(&pair) == nil)
        }

        @Test func slaveLinesRankBetweenOneAndThree() {
            var pair = readyPair()
            for line: UInt8 in 0...15 { pair.setLine(line, true) }
            var order: [UInt8] = []
            while pair.interruptRequested && order.count < 20 {
                let vector = pair.acknowledge()
                order.append(vector)
                if vector >= 0x70 { pair.write(.slaveCommand, 0x20) }
                pair.write(.masterCommand, 0x20)
            }
            #expect(order == [8, 9, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 11, 12, 13, 14, 15])
        }

        @Test func slaveDropTakesTheMastersRequestBack() {
            var pair = readyPair()
            pair.setLine(10, true)
            #expect(pair.peek(.masterCommand) == 0x04)
            pair.setLine(10, false)
            #expect(pair.peek(.masterCommand) == 0x00)
            #expect(!pair.interruptRequested)
            #expect(pair.acknowledge() == 0x0F, "nothing left in the master: its 7")
            #expect(pair.master.state.inService == 0x00)
        }

        @Test func spuriousFifteenLeavesTheCascadeInService() {
            var pair = readyPair()
            pair.setLine(10, true)
            let level = pair.acknowledgeFirstPulse()
            #expect(level == 2)
            pair.setLine(10, false)
            #expect(pair.acknowledgeSecondPulse(level) == 0x77)
            #expect(pair.slave.state.inService == 0x00)
            #expect(pair.master.state.inService == 0x04)
            pair.setLine(4, true)
            #expect(!pair.interruptRequested, "until the guest ends IR2, lower levels wait")
            pair.write(.masterCommand, 0x20)
            #expect(pair.acknowledge() == 0x0C)
        }

        @Test func maskingTheCascadeHoldsTheSlaveBack() {
            var pair = readyPair()
            pair.write(.masterData, 0x04)
            pair.setLine(14, true)
            #expect(!pair.interruptRequested)
            pair.write(.masterData, 0x00)
            #expect(pair.acknowledge() == 0x76)
        }

        @Test func aHigherSlaveRequestWaitsForTheMasterUnlessSpecialFullyNested() {
            for (word4, nested): (UInt8, Bool) in [(0x01, false), (0x11, true)] {
                var pair = readyPair(masterWord4: word4)
                pair.setLine(13, true)
                #expect(pair.acknowledge() == 0x75)
                pair.setLine(9, true)
                #expect(pair.interruptRequested == nested)
                pair.setLine(3, true)
                #expect(pair.interruptRequested == nested, "3 is locked out either way")
                pair.write(.masterCommand, 0x20)
                #expect(pair.acknowledge() == 0x71)
            }
        }

        /// Data sheet, special fully nested mode: the master's EOI only when the slave has nothing left in service.
        @Test func specialFullyNestedServiceEndsFromTheInside() {
            var pair = readyPair(masterWord4: 0x11)
            pair.setLine(13, true)
            _ = pair.acknowledge()
            pair.setLine(9, true)
            #expect(pair.acknowledge() == 0x71)
            #expect(pair.slave.state.inService == 0x22)
            pair.write(.slaveCommand, 0x20)
            pair.write(.slaveCommand, 0x0B)
            #expect(pair.read(.slaveCommand) == 0x20)
            pair.write(.slaveCommand, 0x20)
            #expect(pair.read(.slaveCommand) == 0x00)
            pair.write(.masterCommand, 0x20)
            #expect(pair.master.state.inService == 0x00)
        }

        @Test func aSlaveInAutomaticEndMakesANewEdgeForEachRequest() {
            var pair = readyPair(masterWord4: 0x03, slaveWord4: 0x03)
            pair.setLine(8, true)
            pair.setLine(15, true)
            #expect(pair.acknowledge() == 0x70)
            #expect(endedLines(&pair) == 0x0104)
            #expect(pair.interruptRequested)
            #expect(pair.acknowledge() == 0x77)
            #expect(endedLines(&pair) == 0x8004)
            #expect(!pair.interruptRequested)
        }

        @Test func pollingTheSlaveMakesANewEdgeForTheNext() {
            var pair = readyPair(slaveWord4: 0x03)
            pair.setLine(8, true)
            pair.setLine(9, true)
            pair.write(.masterCommand, 0x0C)
            #expect(pair.read(.masterCommand) == 0x82)
            pair.write(.masterCommand, 0x20)
            #expect(!pair.interruptRequested)
            pair.write(.slaveCommand, 0x0C)
            #expect(pair.peek(.slaveCommand) == 0x80)
            #expect(pair.read(.slaveCommand) == 0x80)
            #expect(pair.acknowledge() == 0x71)
        }

        @Test func cascadeFollowsTheInitializationWords() {
            var wrongIdentity = readyPair(slaveWord3: 0x03)
            wrongIdentity.setLine(8, true)
            #expect(wrongIdentity.acknowledge() == 0xFF, "no slave answers: the bus floats")
            #expect(wrongIdentity.slave.state.inService == 0)

            var noSlave = readyPair(masterWord3: 0x00)
            noSlave.setLine(8, true)
            #expect(noSlave.acknowledge() == 0x0A, "the master takes IR2 for a device")

            var singleMaster = readyPair()
            for (port, word): (PIC8259Pair.Port, UInt8) in [
                (.masterCommand, 0x13), (.masterData, 0x08), (.masterData, 0x01),
            ] {
                singleMaster.write(port, word)
            }
            singleMaster.setLine(8, true)
            #expect(singleMaster.acknowledge() == 0x0A)

            var singleSlave = readyPair()
            for (port, word): (PIC8259Pair.Port, UInt8) in [
                (.slaveCommand, 0x13), (.slaveData, 0x70), (.slaveData, 0x01),
            ] {
                singleSlave.write(port, word)
            }
            singleSlave.setLine(9, true)
            #expect(singleSlave.acknowledge() == 0x71)
        }

        @Test func initializingTheMasterForgetsTheSlavesEdge() {
            var pair = readyPair()
            pair.setLine(8, true)
            for (port, word): (PIC8259Pair.Port, UInt8) in [
                (.masterCommand, 0x11), (.masterData, 0x08), (.masterData, 0x04), (.masterData, 0x01),
            ] {
                pair.write(port, word)
            }
            #expect(!pair.interruptRequested)
            pair.write(.slaveData, 0xFF)
            pair.write(.slaveData, 0x00)
            #expect(pair.acknowledge() == 0x70)
        }

        @Test func onlyRealLinesCount() {
            var pair = readyPair()
            for line: UInt8 in [2, 16, 17, 18, 128, 255] { pair.setLine(line, true) }
            #expect(pair.state == readyPair().state)
        }

        // MARK: ELCR

        @Test func systemLinesCannotBeLevelTriggered() {
            var pair = readyPair()
            #expect(pair.read(.masterLevelControl) == 0x00)
            pair.write(.masterLevelControl, 0xFF)
            pair.write(.slaveLevelControl, 0xFF)
            #expect(pair.read(.masterLevelControl) == 0xF8)
            #expect(pair.read(.slaveLevelControl) == 0xDE)
            #expect(pair.peek(.slaveLevelControl) == 0xDE)
        }

        @Test func aLevelTriggeredSlaveLineComesBackUntilItDrops() {
            var pair = readyPair()
            pair.write(.slaveLevelControl, 0x08)
            pair.setLine(11, true)
            for _ in 0..<3 {
                #expect(pair.acknowledge() == 0x73)
                #expect(!pair.interruptRequested)
                pair.write(.slaveCommand, 0x20)
                pair.write(.masterCommand, 0x20)
                #expect(pair.interruptRequested)
            }
            pair.setLine(11, false)
            #expect(!pair.interruptRequested)
        }

        @Test func turningAHighLineLevelTriggeredRequestsAtOnce() {
            var pair = PIC8259Pair()
            pair.setLine(9, true)
            initialize(&pair)
            #expect(!pair.interruptRequested)
            pair.write(.slaveLevelControl, 0x02)
            #expect(pair.acknowledge() == 0x71)
        }

        @Test func initializationKeepsLevelControlAndResetClearsIt() {
            var pair = readyPair()
            pair.write(.masterLevelControl, 0x20)
            pair.write(.masterCommand, 0x11)
            #expect(pair.read(.masterLevelControl) == 0x20)
            pair.setLine(9, true)
            pair.reset()
            #expect(pair.read(.masterLevelControl) == 0x00)
            #expect(pair.slave.state.lines == 0x02)
            #expect(pair.master.state.lines == 0x00)
            #expect(!pair.interruptRequested)
        }

        // MARK: End-of-interrupt notices

        @Test func theNoticeNamesTheLine() throws {
            var pair = readyPair()
            pair.setLine(5, true)
            _ = pair.acknowledge()
            #expect(endedLines(&pair) == nil)
            pair.write(.masterCommand, 0x65)
            let notice = pair.takeEndOfInterrupt()
            let end = try #require(notice)
            #expect(end.line == 5)
            #expect(end.lines == 0x0020)
            #expect(end.contains(5))
            #expect(!end.contains(4))
            #expect(!end.contains(21))
            #expect(!end.contains(255))
        }

        // MARK: Saved states and hostile use

        @Test func aRestoredPairSeesNoFalseEdge() {
            var pair = readyPair()
            pair.setLine(4, true)
            pair.setLine(12, true)
            _ = pair.acknowledge()
            pair.write(.slaveCommand, 0x20)
            pair.write(.masterCommand, 0x20)
            var restored = PIC8259Pair()
            #expect(restored.restore(pair.state) == true)
            #expect(restored.state == pair.state)
            restored.setLine(12, true)
            #expect(restored.acknowledge() == 0x0C)
            restored.write(.masterCommand, 0x20)
            restored.setLine(4, true)
            #expect(!restored.interruptRequested)
        }

        @Test func statesThatNoPairCanBeInAreRefused() {
            var requesting = readyPair()
            requesting.setLine(8, true)
            var states = Array(repeating: requesting.state, count: 7)
            states[0].master.lines = 0
            states[0].master.edgeLatch = 0
            states[1].slave.mask = 0xFF
            states[2].master.levelControl = 0x01
            states[3].slave.levelControl = 0x20
            states[4].slave.cascade = 0x0A
            states[5].slave.lowestPriority = 9
            states[6].master.vectorBase = 0x07
            var pair = PIC8259Pair()
            for state in states { #expect(pair.restore(state) == false) }
            #expect(pair.state == PIC8259Pair().state)
            #expect(pair.restore(requesting.state) == true)
        }

        /// Anything a guest and its devices may do: no trap, the invariants hold, and a copy of the state answers as
        /// the original does.
        @Test(arguments: [1, 2, 3, 4]) func randomOperationsKeepTheInvariants(_ seed: UInt64) {
            var random = SplitMix64(seed: seed)
            var pair = PIC8259Pair()
            var copy = PIC8259Pair()
            for step in 0..<40_000 {
                if step % 16 == 0 {
                    if !copy.restore(pair.state) { Issue.record("step \(step): refused \(pair.state)") }
                    _ = pair.takeEndOfInterrupt()
                }
                if step % 4096 == 0 {
                    initialize(&pair)
                    initialize(&copy)
                }
                let operation = random.next()
                let answer = perform(operation, on: &pair)
                let agrees = answer == perform(operation, on: &copy) && pair.state == copy.state
                if !agrees || !holds(pair) {
                    Issue.record("step \(step): \(pair.state) \(copy.state)")
                    return
                }
            }
        }

        private func holds(_ pair: PIC8259Pair) -> Bool {
            let (master, slave) = (pair.master.state, pair.slave.state)
            return (master.lines & 0x04 != 0) == pair.slave.interruptRequested
                && master.edgeLatch & ~master.lines == 0 && slave.edgeLatch & ~slave.lines == 0
        }

        private func perform(_ operation: UInt64, on pair: inout PIC8259Pair) -> [UInt16] {
            let value = UInt8(truncatingIfNeeded: operation >> 8)
            let port = PIC8259Pair.Port.allCases[Int(operation >> 16 % 6)]
            var answer: [UInt16] = []
            switch operation & 15 {
            case 0...5: pair.setLine(value & 0x1F, operation >> 32 & 1 == 1)
            case 6...8: answer.append(UInt16(pair.acknowledge()))
            case 9...11: answer.append(UInt16(pair.read(port)))
            case 12: pair.write(port, 0x20)
            default: pair.write(port, value)
            }
            for port in PIC8259Pair.Port.allCases { answer.append(UInt16(pair.peek(port))) }
            answer.append(pair.interruptRequested ? 1 : 0)
            answer.append(pair.takeEndOfInterrupt()?.lines ?? 0)
            return answer
        }
    }
}

// MARK: - Helpers

/// As a PC's firmware does: vectors 08 and 70, the slave on IR2, 8086 mode.
private func initialize(
    _ pair: inout PIC8259Pair, masterWord3: UInt8 = 0x04, slaveWord3: UInt8 = 0x02, masterWord4: UInt8 = 0x01,
    slaveWord4: UInt8 = 0x01
) {
    pair.write(.masterCommand, 0x11)
    for word in [0x08, masterWord3, masterWord4, 0x00] { pair.write(.masterData, word) }
    pair.write(.slaveCommand, 0x11)
    for word in [0x70, slaveWord3, slaveWord4, 0x00] { pair.write(.slaveData, word) }
}

private func endedLines(_ pair: inout PIC8259Pair) -> UInt16? { pair.takeEndOfInterrupt()?.lines }

private func readyPair(
    masterWord3: UInt8 = 0x04, slaveWord3: UInt8 = 0x02, masterWord4: UInt8 = 0x01, slaveWord4: UInt8 = 0x01
) -> PIC8259Pair {
    var pair = PIC8259Pair()
    initialize(
        &pair, masterWord3: masterWord3, slaveWord3: slaveWord3, masterWord4: masterWord4, slaveWord4: slaveWord4)
    return pair
}
