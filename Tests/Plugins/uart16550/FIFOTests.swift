import Testing
@testable import UART16550

/// The FIFOs: their control register, triggers, errors, overrun and character timeout.
extension UART16550Tests {
    @Test func enabledFIFOsShowInIIR() {
        var b = Bench.fast()
        #expect(b.read(2) == 0x01)
        b.write(2, 0x01)
        #expect(b.read(2) == 0xC1)
        b.write(2, 0xC8)
        #expect(b.read(2) == 0x01, "bit 0 is 0: 16450 mode, and the other bits are not programmed")
    }

    @Test(arguments: [(0x01, 1), (0x41, 4), (0x81, 8), (0xC9, 14)] as [(UInt8, Int)])
    func triggerRaisesAndEndsDataReady(control: UInt8, level: Int) {
        var b = Bench.fast(fifo: control)
        b.write(1, 0x01)
        for character in 1..<level {
            b.receive(UInt8(character))
            #expect(!b.chip.interruptAsserted)
            #expect(b.read(5) == 0x61)
        }
        b.receive(0x7F)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(2) == 0xC4)
        _ = b.read(0)
        #expect(!b.chip.interruptAsserted, "it ends as soon as the FIFO drops below its trigger")
    }

    @Test func sixteenCharactersComeOutInOrder() {
        var b = Bench.fast(fifo: 0x01)
        #expect(b.chip.receiveRoom == 16)
        for round in UInt8(0)..<3 {
            for character in UInt8(0)..<16 { b.receive(round &* 16 + character) }
            #expect(b.chip.receiveRoom == 0)
            for character in UInt8(0)..<16 { #expect(b.read(0) == round &* 16 + character) }
            #expect(b.read(5) == 0x60)
        }
    }

    @Test func fullFIFOKeepsItsCharactersAndLosesTheNext() {
        var b = Bench.fast(fifo: 0x01)
        b.write(1, 0x04)
        b.receive(1...16)
        #expect(!b.chip.interruptAsserted)
        b.receive(0xEE)
        #expect(b.read(2) == 0xC6)
        #expect(b.read(5) == 0x63)
        for character in UInt8(1)...16 { #expect(b.read(0) == character) }
        #expect(b.read(5) == 0x60)
    }

    @Test func errorShowsWhenItsCharacterIsTheOldest() {
        var b = Bench.fast(fifo: 0x01)
        b.write(1, 0x04)
        b.receive(0x41)
        b.receive(0x42, errors: .parityError)
        b.receive(0x43)
        b.receive(0x44, errors: .framingError)
        #expect(!b.chip.interruptAsserted)
        #expect(b.read(5) == 0xE1, "bit 7 tells of an error somewhere in the FIFO")
        _ = b.read(0)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(5) == 0xE5)
        #expect(b.read(5) == 0xE1, "another error is still inside")
        _ = b.read(0)
        _ = b.read(0)
        #expect(b.read(5) == 0xE9)
        #expect(b.read(5) == 0x61, "no subsequent error: bit 7 ends with the read of LSR")
        #expect(b.read(0) == 0x44)
    }

    @Test func breakTakesOnePlaceInTheFIFO() {
        var b = Bench.fast(fifo: 0x01)
        b.receive(0x41)
        b.chip.receiveBreak(at: 0)
        b.receive(0x42)
        #expect(b.read(0) == 0x41)
        #expect(b.read(5) == 0xF9)
        #expect(b.read(0) == 0x00)
        #expect(b.read(5) == 0x61)
        #expect(b.read(0) == 0x42)
    }

    @Test func errorsKeepTheirPlaceOverAllSixteenSlots() {
        for slot in 0..<16 {
            var b = Bench.fast(fifo: 0x01)
            for character in 0..<16 { b.receive(UInt8(character), errors: character == slot ? .breakInterrupt : []) }
            for character in 0..<16 {
                let expected: UInt8 = character == slot ? 0xF1 : character < slot ? 0xE1 : 0x61
                #expect(b.read(5) == expected)
                #expect(b.read(0) == UInt8(character))
            }
        }
    }

    @Test func receiverResetEmptiesOnlyTheReceiver() {
        var b = Bench.fast(fifo: 0x01)
        b.chip.hostReady = false
        b.write(0, 0x61)
        b.receive(0x41, errors: .parityError)
        b.receive(0x42, errors: .parityError)
        b.write(2, 0x03)
        #expect(b.read(5) == 0x00)
        #expect(b.chip.receiveRoom == 16 && b.chip.transmitPending == 1)
    }

    @Test func transmitterResetEmptiesOnlyTheTransmitterAndRaisesTHREmpty() {
        var b = Bench.fast(fifo: 0x01)
        b.chip.hostReady = false
        b.write(1, 0x02)
        b.write(0, 0x61)
        b.write(0, 0x62)
        b.receive(0x41)
        #expect(b.read(2) == 0xC1)
        b.write(2, 0x05)
        #expect(b.read(5) == 0x61 && b.chip.transmitPending == 0)
        #expect(b.read(2) == 0xC2)
    }

    @Test func resetBitsAreNotProgrammedWithoutBitZero() {
        var b = Bench.fast()
        b.receive(0x41)
        b.write(2, 0x06)
        #expect(b.read(5) == 0x61)
    }

    @Test func changingTheModeEmptiesBothFIFOs() {
        for (first, second) in [(0x01, 0x00), (0x00, 0x01)] as [(UInt8, UInt8)] {
            var b = Bench.fast(fifo: first)
            b.chip.hostReady = false
            b.write(0, 0x61)
            b.receive(0x41)
            b.write(2, second)
            #expect(b.read(5) == 0x60)
            #expect(b.chip.transmitPending == 0)
        }
    }

    @Test func changingTheModeRaisesTHREmptyAtOnce() {
        var b = Bench.fast()
        b.write(1, 0x02)
        #expect(b.read(2) == 0x02)
        #expect(b.read(2) == 0x01)
        b.write(2, 0x01)
        #expect(b.read(2) == 0xC2)
        b.write(2, 0x01)
        #expect(b.read(2) == 0xC1, "the mode did not change")
    }

    @Test func transmitFIFOHoldsSixteenAndLosesTheRest() {
        var b = Bench.fast(fifo: 0x01)
        b.chip.hostReady = false
        for character in UInt8(1)...20 { b.write(0, character) }
        #expect(b.chip.transmitPending == 16)
        #expect(b.read(5) == 0x00)
        b.chip.hostReady = true
        #expect(b.takeAll() == Array(1...16))
    }

    @Test func THREmptyWaitsForTheLastCharacter() {
        var b = Bench.fast(fifo: 0x01)
        b.write(1, 0x02)
        b.write(0, 1)
        b.write(0, 2)
        #expect(b.chip.popTransmit() == 1)
        #expect(b.read(5) == 0x00 && b.read(2) == 0xC1)
        #expect(b.chip.popTransmit() == 2)
        #expect(b.read(5) == 0x60 && b.read(2) == 0xC2)
    }

    @Test func loopbackGoesThroughTheFIFO() {
        var b = Bench.fast(fifo: 0x81)
        b.write(4, 0x10)
        b.write(1, 0x05)
        for character in UInt8(0)..<7 { b.write(0, character) }
        #expect(b.read(2) == 0xC1)
        b.write(0, 7)
        #expect(b.read(2) == 0xC4)
        for character in UInt8(8)..<17 { b.write(0, character) }
        #expect(b.read(2) == 0xC6)
        #expect(b.read(5) == 0x63)
        for character in UInt8(0)..<16 { #expect(b.read(0) == character) }
    }

    // MARK: Character timeout

    /// Four characters of 10 bits at 115200 baud: 40 x 8680.555 ns = 347222.2 ns.
    @Test func timeoutComesAfterFourCharacterTimes() {
        var b = Bench.fast(fifo: 0xC1)
        b.write(1, 0x01)
        b.now = 1_000_000
        b.receive(0x41)
        #expect(b.chip.nextEvent(at: b.now) == 1_347_222)
        b.wait(347_221)
        #expect(!b.chip.interruptAsserted && b.read(2) == 0xC1)
        b.wait(1)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(2) == 0xCC)
        #expect(b.chip.nextEvent(at: b.now) == nil)
        #expect(b.read(0) == 0x41)
        #expect(b.read(2) == 0xC1)
    }

    @Test func characterAndReadStartTheTimeoutAnew() {
        var b = Bench.fast(fifo: 0xC1)
        b.write(1, 0x01)
        b.receive(0x41)
        b.wait(300_000)
        b.receive(0x42)
        b.receive(0x43)
        #expect(b.chip.nextEvent(at: b.now) == 647_222)
        b.wait(300_000)
        _ = b.read(0)
        #expect(b.chip.nextEvent(at: b.now) == 947_222)
        b.wait(347_222)
        #expect(b.read(2) == 0xCC)
        b.receive(0x44)
        #expect(b.read(2) == 0xCC, "a new character does not end a timeout that has come")
        _ = b.read(0)
        #expect(b.read(2) == 0xC1, "a read does, though characters are left")
        #expect(b.chip.nextEvent(at: b.now) == b.now + 347_222)
    }

    /// Divisor, LCR and four character times in ns. The data sheet's example is the longest: 300 baud, 12 bits, 160 ms.
    @Test(
        arguments: [
            (384, 0x0F, 160_000_000),  // 8 bits, parity, 2 stop: 12 bits
            (1, 0x00, 243_055),  // 5 bits, 1 stop: 7 bits
            (1, 0x04, 260_416),  // 5 bits, 1.5 stop: 7.5 bits
            (1, 0x05, 312_500),  // 6 bits, 2 stop: 9 bits
            (12, 0x03, 4_166_666),  // 9600 baud, 10 bits
            (12, 0x1B, 4_583_333),  // the same with parity
            (65_535, 0x0F, 27_306_250_000),
            (0, 0x03, 347_222),  // as a divisor of 1
        ] as [(Int, UInt8, UInt64)])
    func timeoutFollowsDivisorAndLineControl(divisor: Int, lineControl: UInt8, expected: UInt64) {
        var b = Bench.fast(fifo: 0xC1)
        b.write(3, 0x80)
        b.write(0, UInt8(divisor & 0xFF))
        b.write(1, UInt8(divisor >> 8))
        b.write(3, lineControl)
        b.write(1, 0x01)
        b.receive(0x01)
        #expect(b.chip.nextEvent(at: 0) == expected)
    }

    @Test func timeoutIsLowerThanLineStatusAndBelowTriggerOnly() {
        var b = Bench.fast(fifo: 0x41)
        b.write(1, 0x07)
        _ = b.read(2)
        b.receive(0x41, errors: .framingError)
        b.wait(400_000)
        #expect(b.read(2) == 0xC6)
        _ = b.read(5)
        #expect(b.read(2) == 0xCC)
        b.receive(0x42...0x44)
        #expect(b.read(2) == 0xC4, "the trigger is reached")
    }

    @Test func noTimeoutWithoutFIFOCharactersEnableOrGate() {
        var b = Bench.fast()
        b.write(1, 0x01)
        b.receive(0x41)
        #expect(b.chip.nextEvent(at: 0) == nil, "16450 mode")
        b.write(2, 0xC1)
        #expect(b.chip.nextEvent(at: 0) == nil, "an empty FIFO")
        b.receive(0x41)
        #expect(b.chip.nextEvent(at: 0) != nil)
        b.write(4, 0x00)
        #expect(b.chip.nextEvent(at: 0) == nil, "OUT2 is low: the line cannot change")
        b.write(4, 0x08)
        b.write(1, 0x00)
        #expect(b.chip.nextEvent(at: 0) == nil, "not enabled")
        b.wait(400_000)
        #expect(b.read(2) == 0xC1)
        b.write(1, 0x01)
        #expect(b.read(2) == 0xCC, "it had come all the same")
        b.write(2, 0xC3)
        #expect(b.read(2) == 0xC1, "the receiver's reset ends it")
    }

    @Test func missedTimeoutIsDueNow() {
        var b = Bench.fast(fifo: 0xC1)
        b.write(1, 0x01)
        b.receive(0x41)
        #expect(b.chip.nextEvent(at: 5_000_000) == 5_000_000)
        #expect(b.chip.peek(2, at: 5_000_000) == 0xCC)
        #expect(b.chip.read(2, at: 5_000_000) == 0xCC)
    }

    @Test func timeoutAtTheEndOfTimeNeverComes() {
        var b = Bench.fast(fifo: 0xC1)
        b.write(1, 0x01)
        b.now = .max
        b.receive(0x41)
        #expect(b.chip.nextEvent(at: .max) == nil)
        #expect(b.read(2) == 0xC1)
    }
}
