import Testing
@testable import UART16550

/// Registers, interrupts, modem lines. The FIFOs are in FIFOTests.swift.
@Suite struct UART16550Tests {
    // MARK: Reset and plain registers

    @Test func resetValuesAreTheDataSheets() {
        var b = Bench()
        #expect(b.read(1) == 0x00)
        #expect(b.read(2) == 0x01)
        #expect(b.read(3) == 0x00)
        #expect(b.read(4) == 0x00)
        #expect(b.read(5) == 0x60)
        #expect(b.read(6) == 0x00)
        #expect(!b.chip.interruptAsserted && !b.chip.sendingBreak)
        #expect(!b.chip.dataTerminalReady && !b.chip.requestToSend && !b.chip.output1 && !b.chip.output2)
    }

    @Test func resetKeepsDivisorScratchBufferAndInputs() {
        var b = Bench.fast(fifo: 0x01)
        b.chip.setModemInputs(cts: true, dsr: false, ri: false, dcd: true)
        b.write(7, 0xA5)
        b.write(3, 0x80)
        b.write(0, 0x34)
        b.write(1, 0x12)
        b.write(3, 0x03)
        b.receive(0x77)
        _ = b.read(0)
        b.write(1, 0x0F)
        b.write(0, 0x41)
        b.chip.reset()
        #expect(b.read(1) == 0 && b.read(2) == 0x01 && b.read(3) == 0 && b.read(4) == 0 && b.read(5) == 0x60)
        #expect(b.read(6) == 0x90)
        #expect(b.read(7) == 0xA5)
        #expect(b.read(0) == 0x77)
        #expect(b.chip.transmitPending == 0)
        b.write(3, 0x80)
        #expect(b.read(0) == 0x34 && b.read(1) == 0x12)
    }

    @Test func wordsHaveEightBitsUntilTheGuestSaysTheirLength() {
        var b = Bench()
        b.receive(0xF4)
        b.write(0, 0xE5)
        #expect(b.chip.popTransmit() == 0xE5)
        b.write(3, 0x00)
        #expect(b.read(0) == 0xF4, "it came before")
        b.receive(0xF4)
        #expect(b.read(0) == 0x14)
        b.chip.reset()
        b.receive(0xF4)
        #expect(b.read(0) == 0xF4)
    }

    @Test func aFormatThatWasNeverWrittenIsRefused() {
        var b = Bench()
        var state = b.chip.state
        state.lineControl = .init(rawValue: 0x03)
        let isTaken = b.chip.restore(state)
        state.hasFormat = true
        let isTakenOnceWritten = b.chip.restore(state)
        #expect(!isTaken && isTakenOnceWritten)
    }

    @Test func scratchHoldsEveryByte() {
        var b = Bench()
        for value in UInt8.min...UInt8.max {
            b.write(7, value)
            #expect(b.read(7) == value)
        }
    }

    @Test func registersKeepOnlyTheirBits() {
        var b = Bench()
        b.write(1, 0xFF)
        b.write(4, 0xFF)
        #expect(b.read(1) == 0x0F)
        #expect(b.read(4) == 0x1F)
        b.write(3, 0xFF)
        #expect(b.read(3) == 0xFF)
    }

    @Test func statusRegistersIgnoreWrites() {
        var b = Bench()
        b.write(5, 0xFF)
        b.write(6, 0xFF)
        #expect(b.read(5) == 0x60)
        #expect(b.read(6) == 0x00)
    }

    @Test func divisorLatchHidesBufferAndInterruptEnable() {
        var b = Bench()
        b.write(1, 0x05)
        b.receive(0x42)
        b.write(3, 0x80)
        #expect(b.read(0) == 12 && b.read(1) == 0)
        b.write(0, 0xCD)
        b.write(1, 0xAB)
        #expect(b.read(0) == 0xCD && b.read(1) == 0xAB)
        #expect(b.chip.transmitPending == 0)
        b.write(3, 0x03)
        #expect(b.read(1) == 0x05)
        #expect(b.read(5) == 0x61)
        #expect(b.read(0) == 0x42)
    }

    @Test func onlyThreeAddressBitsCount() {
        var b = Bench()
        b.write(0xFF, 0x5A)
        #expect(b.read(0x0F) == 0x5A && b.read(7) == 0x5A)
    }

    @Test func emptyReceiverGivesItsLastCharacterAgain() {
        var b = Bench.fast()
        b.receive(0x55)
        #expect(b.read(0) == 0x55)
        #expect(b.read(0) == 0x55)
        #expect(b.read(5) == 0x60)
    }

    @Test(arguments: [(0x00, 0x1F), (0x01, 0x3F), (0x02, 0x7F), (0x03, 0xFF)] as [(UInt8, UInt8)])
    func wordLengthCutsCharactersBothWays(code: UInt8, mask: UInt8) {
        var b = Bench.fast()
        b.write(3, code)
        b.receive(0xFF)
        #expect(b.read(0) == mask)
        b.write(0, 0xFF)
        #expect(b.takeAll() == [mask])
    }

    // MARK: Interrupts

    @Test func dataReadyInterruptEndsWithTheRead() {
        var b = Bench.fast()
        b.write(1, 0x01)
        #expect(!b.chip.interruptAsserted)
        b.receive(0x41)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(2) == 0x04)
        #expect(b.chip.interruptAsserted, "reading IIR does not end it")
        #expect(b.read(0) == 0x41)
        #expect(!b.chip.interruptAsserted)
        #expect(b.read(2) == 0x01)
    }

    @Test func enablingTransmitterEmptyRaisesItAtOnce() {
        var b = Bench.fast()
        b.write(1, 0x02)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(2) == 0x02)
        #expect(b.read(2) == 0x01, "reading IIR ended it")
        #expect(!b.chip.interruptAsserted)
        b.write(1, 0x02)
        #expect(b.read(2) == 0x01, "writing the same enable is no new event")
        b.write(1, 0x00)
        b.write(1, 0x02)
        #expect(b.read(2) == 0x02, "Linux's startup test expects it again")
    }

    @Test func enablingTransmitterEmptyWhileFullRaisesNothing() {
        var b = Bench.fast()
        b.chip.hostReady = false
        b.write(0, 0x41)
        b.write(1, 0x02)
        #expect(b.read(2) == 0x01)
        b.chip.hostReady = true
        #expect(b.takeAll() == [0x41])
        #expect(b.read(2) == 0x02)
    }

    @Test func writingTHREndsTransmitterEmptyUntilTheHostTakesIt() {
        var b = Bench.fast()
        b.write(1, 0x02)
        b.write(0, 0x41)
        #expect(!b.chip.interruptAsserted)
        #expect(b.read(5) == 0x00)
        #expect(b.takeAll() == [0x41])
        #expect(b.read(5) == 0x60)
        #expect(b.chip.interruptAsserted)
    }

    @Test func readingIIRKeepsTransmitterEmptyWhileAnotherSourceIsReported() {
        var b = Bench.fast()
        b.write(1, 0x03)
        b.receive(0x41)
        #expect(b.read(2) == 0x04)
        _ = b.read(0)
        #expect(b.read(2) == 0x02)
        #expect(b.read(2) == 0x01)
    }

    @Test func peekingIIRClearsNothing() {
        var b = Bench.fast()
        b.write(1, 0x02)
        #expect(b.chip.peek(2, at: 0) == 0x02)
        #expect(b.chip.peek(2, at: 0) == 0x02)
        b.receive(0x41, errors: .parityError)
        #expect(b.chip.peek(5, at: 0) == 0x65 && b.chip.peek(5, at: 0) == 0x65)
        #expect(b.chip.peek(0, at: 0) == 0x41 && b.chip.peek(0, at: 0) == 0x41)
    }

    @Test func sourcesAreReportedInTheOrderOfTheirPriority() {
        var b = Bench.fast()
        b.write(1, 0x0F)
        b.chip.setModemInputs(cts: true, dsr: false, ri: false, dcd: false)
        b.receive(0x41, errors: .framingError)
        #expect(b.read(2) == 0x06)
        #expect(b.read(5) == 0x69)
        #expect(b.read(2) == 0x04)
        #expect(b.read(0) == 0x41)
        #expect(b.read(2) == 0x02)
        #expect(b.read(2) == 0x00)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(6) == 0x11)
        #expect(b.read(2) == 0x01)
        #expect(!b.chip.interruptAsserted)
    }

    @Test(arguments: [0x01, 0x02, 0x04, 0x08] as [UInt8])
    func sourceInterruptsOnlyWhereItIsEnabled(bit: UInt8) {
        var b = Bench.fast()
        b.write(1, ~bit & 0x0F)
        _ = b.read(2)
        switch bit {
        case 0x01: b.receive(0x41)
        case 0x04: b.receive(0x41, errors: .parityError); _ = b.read(0)
        case 0x08: b.chip.setModemInputs(cts: true, dsr: true, ri: false, dcd: false)
        default: break
        }
        #expect(!b.chip.interruptAsserted)
        b.write(1, bit)
        #expect(b.chip.interruptAsserted)
    }

    @Test func interruptLineNeedsOUT2() {
        var b = Bench.fast()
        b.write(4, 0x00)
        b.write(1, 0x02)
        #expect(b.chip.interruptRequested && !b.chip.interruptAsserted)
        b.write(4, 0x08)
        #expect(b.chip.interruptAsserted && b.chip.output2)
        b.write(4, 0x07)
        #expect(!b.chip.interruptAsserted)
    }

    // MARK: Line status in 16450 mode

    @Test func unreadCharacterIsOverwrittenWithoutFIFO() {
        var b = Bench.fast()
        b.write(1, 0x04)
        b.receive(0x41)
        #expect(b.chip.receiveRoom == 0 && !b.chip.interruptAsserted)
        b.receive(0x42)
        #expect(b.read(2) == 0x06)
        #expect(b.read(5) == 0x63)
        #expect(b.read(5) == 0x61, "reading LSR ended the overrun")
        #expect(b.read(0) == 0x42)
        #expect(b.read(5) == 0x60)
    }

    @Test func characterErrorsShowUntilLSRIsRead() {
        for (error, bit) in [(UART16550.LineStatus.parityError, 0x04), (.framingError, 0x08), (.breakInterrupt, 0x10)]
            as [(UART16550.LineStatus, UInt8)]
        {
            var b = Bench.fast()
            b.write(1, 0x04)
            b.receive(0x41, errors: error)
            #expect(b.chip.interruptAsserted)
            #expect(b.read(5) == 0x61 | bit, "bit 7 is 0 in 16450 mode")
            #expect(!b.chip.interruptAsserted)
            #expect(b.read(5) == 0x61)
        }
    }

    @Test func hostCannotReportOtherThanCharacterErrors() {
        var b = Bench.fast()
        b.receive(0x41, errors: UART16550.LineStatus(rawValue: 0xE3))
        #expect(b.read(5) == 0x61)
    }

    @Test(arguments: [(0x03, 0x18), (0x0B, 0x1C), (0x1B, 0x18), (0x2B, 0x1C), (0x3B, 0x18)] as [(UInt8, UInt8)])
    func breakIsOneZeroCharacterWithTheErrorsOfItsZeroBits(lineControl: UInt8, errors: UInt8) {
        var b = Bench.fast()
        b.write(3, lineControl)
        b.chip.receiveBreak(at: 0)
        #expect(b.read(5) == 0x61 | errors)
        #expect(b.read(0) == 0)
        #expect(b.read(5) == 0x60)
    }

    // MARK: Transmitter

    @Test func secondCharacterReplacesTHRWithoutFIFO() {
        var b = Bench.fast()
        b.chip.hostReady = false
        b.write(0, 0x41)
        b.write(0, 0x42)
        #expect(b.chip.transmitPending == 1 && b.chip.popTransmit() == nil)
        b.chip.hostReady = true
        #expect(b.takeAll() == [0x42])
        #expect(b.chip.popTransmit() == nil)
    }

    @Test func transmitterStaysBusyWhileTheHostIsNot() {
        var b = Bench.fast()
        b.chip.hostReady = false
        b.write(1, 0x02)
        b.write(0, 0x41)
        b.wait(1_000_000_000)
        #expect(b.read(5) == 0x00 && !b.chip.interruptAsserted)
        #expect(b.takeAll().isEmpty)
        b.chip.hostReady = true
        #expect(b.takeAll() == [0x41])
        #expect(b.read(5) == 0x60 && b.chip.interruptAsserted)
    }

    @Test func charactersSentDuringABreakVanishButEmptyTHR() {
        var b = Bench.fast()
        b.write(1, 0x02)
        b.write(3, 0x43)
        #expect(b.chip.sendingBreak)
        #expect(b.read(2) == 0x02)
        b.write(0, 0x41)
        #expect(b.takeAll().isEmpty)
        #expect(b.read(5) == 0x60)
        #expect(b.read(2) == 0x02, "the transmitter serves as a timer during a break")
        b.write(3, 0x03)
        #expect(!b.chip.sendingBreak)
        b.write(0, 0x42)
        #expect(b.takeAll() == [0x42])
    }

    // MARK: Modem lines

    @Test func modemLinesAndTheirDeltas() {
        var b = Bench.fast()
        b.write(1, 0x08)
        b.chip.setModemInputs(cts: true, dsr: false, ri: false, dcd: false)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(6) == 0x11)
        #expect(b.read(6) == 0x10 && !b.chip.interruptAsserted)
        b.chip.setModemInputs(cts: true, dsr: true, ri: false, dcd: false)
        #expect(b.read(6) == 0x32)
        b.chip.setModemInputs(cts: true, dsr: true, ri: false, dcd: true)
        #expect(b.read(6) == 0xB8)
        b.chip.setModemInputs(cts: false, dsr: false, ri: false, dcd: false)
        #expect(b.read(6) == 0x0B)
        #expect(b.read(6) == 0x00)
    }

    @Test func ringInterruptsWhenItEnds() {
        var b = Bench.fast()
        b.write(1, 0x08)
        b.chip.setModemInputs(cts: false, dsr: false, ri: true, dcd: false)
        #expect(!b.chip.interruptAsserted)
        #expect(b.read(6) == 0x40)
        b.chip.setModemInputs(cts: false, dsr: false, ri: false, dcd: false)
        #expect(b.chip.interruptAsserted)
        #expect(b.read(6) == 0x04)
    }

    @Test func lineThatChangesTwiceKeepsItsDelta() {
        var b = Bench.fast()
        b.chip.setModemInputs(cts: true, dsr: false, ri: false, dcd: false)
        b.chip.setModemInputs(cts: false, dsr: false, ri: false, dcd: false)
        #expect(b.read(6) == 0x01)
    }

    @Test func modemOutputsFollowModemControl() {
        var b = Bench()
        for bits in UInt8(0)...15 {
            b.write(4, bits)
            #expect(b.chip.dataTerminalReady == (bits & 1 != 0))
            #expect(b.chip.requestToSend == (bits & 2 != 0))
            #expect(b.chip.output1 == (bits & 4 != 0))
            #expect(b.chip.output2 == (bits & 8 != 0))
        }
    }

    // MARK: Loopback

    @Test func loopbackReceivesWhatItSends() {
        var b = Bench.fast()
        b.write(4, 0x10)
        b.write(1, 0x03)
        #expect(b.read(2) == 0x02)
        b.write(0, 0x5A)
        #expect(b.chip.transmitPending == 0)
        #expect(b.read(5) == 0x61)
        #expect(b.read(2) == 0x04)
        #expect(b.read(0) == 0x5A)
        #expect(b.read(2) == 0x02)
    }

    @Test func loopbackDisconnectsTheLine() {
        var b = Bench.fast()
        b.write(4, 0x10)
        #expect(b.chip.receiveRoom == 0)
        b.receive(0x41)
        b.chip.receiveBreak(at: 0)
        #expect(b.read(5) == 0x60)
        b.write(4, 0x00)
        #expect(b.chip.receiveRoom == 1)
    }

    @Test func loopbackConnectsModemControlToModemStatus() {
        var b = Bench.fast()
        b.chip.setModemInputs(cts: true, dsr: true, ri: true, dcd: true)
        _ = b.read(6)
        b.write(4, 0x1A)
        #expect(b.read(6) & 0xF0 == 0x90, "the test by which Linux finds a UART")
        for (control, status) in [(0x11, 0x20), (0x12, 0x10), (0x14, 0x40), (0x18, 0x80)] as [(UInt8, UInt8)] {
            b.write(4, control)
            #expect(b.read(6) & 0xF0 == status)
        }
        b.write(4, 0x00)
        #expect(b.read(6) & 0xF0 == 0xF0)
    }

    @Test func loopbackForcesOutputsAndTheInterruptLineInactive() {
        var b = Bench.fast()
        b.write(1, 0x02)
        b.write(4, 0x1F)
        #expect(!b.chip.dataTerminalReady && !b.chip.requestToSend && !b.chip.output1 && !b.chip.output2)
        #expect(b.chip.interruptRequested && !b.chip.interruptAsserted)
        b.write(4, 0x0F)
        #expect(b.chip.dataTerminalReady && b.chip.output2 && b.chip.interruptAsserted)
    }

    @Test func modemControlRaisesDeltasInLoopback() {
        var b = Bench.fast()
        b.write(4, 0x10)
        _ = b.read(6)
        b.write(1, 0x08)
        b.write(4, 0x14)
        #expect(b.read(6) == 0x40)
        b.write(4, 0x10)
        #expect(b.read(2) == 0x00 && b.chip.interruptRequested)
        #expect(b.read(6) == 0x04)
        b.write(4, 0x13)
        #expect(b.read(6) == 0x33)
    }

    @Test func breakLoopsBackOnce() {
        var b = Bench.fast(fifo: 0x01)
        b.write(4, 0x10)
        b.write(3, 0x43)
        #expect(!b.chip.sendingBreak, "SOUT marks in loopback")
        #expect(b.read(5) == 0xF9)
        b.write(3, 0x43)
        b.write(0, 0x41)
        #expect(b.read(0) == 0)
        #expect(b.read(5) == 0x60, "one zero character, and nothing passes a held line")
        b.write(3, 0x03)
        b.write(0, 0x41)
        #expect(b.read(0) == 0x41)
    }

    @Test func breakThatIsOnWhenLoopbackBeginsIsReceived() {
        var b = Bench.fast(fifo: 0x01)
        b.write(3, 0x43)
        #expect(b.chip.sendingBreak)
        b.write(4, 0x10)
        #expect(!b.chip.sendingBreak)
        #expect(b.read(5) == 0xF9)
    }

    @Test func outputSentBeforeLoopbackStillReachesTheHost() {
        var b = Bench.fast(fifo: 0x01)
        b.chip.hostReady = false
        b.write(0, 0x41)
        b.write(4, 0x10)
        b.write(0, 0x42)
        b.chip.hostReady = true
        #expect(b.takeAll() == [0x41])
        #expect(b.read(0) == 0x42)
    }
}
