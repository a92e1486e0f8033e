import ResetControl
import Testing

@Suite struct KeyboardControllerTests {
    /// What the guest reads after a command, which is there at once; nil: nothing is.
    private func answer(_ command: UInt8, _ data: UInt8? = nil, of chip: inout KeyboardController) -> UInt8? {
        _ = chip.writeCommand(command)
        if let data { _ = chip.writeData(data) }
        guard chip.status & 0x01 != 0 else { return nil }
        let value = chip.readData()
        #expect(chip.status & 0x01 == 0, "reading empties the buffer")
        return value
    }

    @Test func itIsIdleAfterReset() {
        // Output and input buffers empty (bits 0 and 1), self-test passed (bit 2), not locked (bit 4).
        #expect(KeyboardController().status == 0x14)
        #expect(!KeyboardController().interruptAsserted)
    }

    @Test func theTestsAreAnsweredAtOnce() {
        var chip = KeyboardController()
        #expect(answer(0xAA, of: &chip) == 0x55, "self test")
        #expect(answer(0xAB, of: &chip) == 0x00, "keyboard interface test: no error")
        #expect((1...4).contains(answer(0xA9, of: &chip) ?? 0), "auxiliary interface test: a line that is stuck")
        #expect(answer(0xA4, of: &chip) == 0xF1, "no password")
    }

    /// 20 reads the command byte, 60 writes it: translation, system flag, interrupt.
    @Test func theCommandByteIsKept() {
        var chip = KeyboardController()
        #expect(answer(0x20, of: &chip) == 0x45)
        #expect(answer(0x60, 0x34, of: &chip) == nil)
        #expect(answer(0x20, of: &chip) == 0x34)
        #expect(answer(0x7F, 0x99, of: &chip) == nil)
        #expect(answer(0x3F, of: &chip) == 0x99)
        #expect(answer(0x20, of: &chip) == 0x34)
    }

    @Test func disablingTheKeyboardIsABitOfIt() {
        var chip = KeyboardController()
        _ = chip.writeCommand(0xAD)
        #expect(answer(0x20, of: &chip) == 0x55)
        _ = chip.writeCommand(0xAE)
        #expect(answer(0x20, of: &chip) == 0x45)
    }

    @Test func theSystemFlagFollowsTheCommandByte() {
        var chip = KeyboardController()
        _ = answer(0x60, 0x00, of: &chip)
        #expect(chip.status & 0x04 == 0)
        #expect(answer(0xAA, of: &chip) == 0x55)
        #expect(chip.status & 0x04 == 0x04, "and the self test sets it")
    }

    /// RESEND and a time-out (bit 6) to whatever a keyboard would answer: RESET, IDENTIFY, ECHO.
    @Test(arguments: [0xFF, 0xF2, 0xEE] as [UInt8]) func noKeyboardAnswers(command: UInt8) {
        var chip = KeyboardController()
        _ = chip.writeData(command)
        #expect(chip.status & 0x41 == 0x41)
        #expect(chip.readData() == 0xFE)
        #expect(answer(0xAA, of: &chip) == 0x55)
        #expect(chip.status & 0x40 == 0, "the next answer is no time-out")
    }

    /// D3 and D4, which are for an auxiliary port, echo nothing that has status bit 5.
    @Test(arguments: [0xD3, 0xD4] as [UInt8]) func thereIsNoAuxiliaryPort(command: UInt8) {
        var chip = KeyboardController()
        _ = chip.writeCommand(command)
        _ = chip.writeData(0x5A)
        #expect(chip.status & 0x21 == 0x01)
        #expect(chip.readData() == 0xFE)
    }

    @Test func D2PutsAByteWhereTheKeyboardsWouldBe() {
        var chip = KeyboardController()
        #expect(answer(0xD2, 0x5A, of: &chip) == 0x5A)
    }

    @Test func statusBit3TellsCommandsFromData() {
        var chip = KeyboardController()
        _ = chip.writeCommand(0xAE)
        #expect(chip.status & 0x08 == 0x08)
        _ = chip.writeData(0xFF)
        #expect(chip.status & 0x08 == 0)
    }

    @Test func anInterruptComesWithAnAnswerWhereItIsEnabled() {
        var chip = KeyboardController()
        _ = chip.writeCommand(0xAA)
        #expect(chip.interruptAsserted)
        _ = chip.readData()
        #expect(!chip.interruptAsserted)
        _ = answer(0x60, 0x44, of: &chip)
        _ = chip.writeCommand(0xAA)
        #expect(!chip.interruptAsserted)
    }

    // MARK: Reset

    @Test func onlyPulsesOfOutputBitZeroReset() {
        var chip = KeyboardController()
        let resetting = (0...255).filter { chip.writeCommand(UInt8($0)) }
        #expect(resetting == [0xF0, 0xF2, 0xF4, 0xF6, 0xF8, 0xFA, 0xFC, 0xFE])
    }

    @Test func clearingBit0OfTheOutputPortResets() {
        var chip = KeyboardController()
        #expect(answer(0xD0, of: &chip) == 0xC3)
        _ = chip.writeCommand(0xD1)
        var pulses = chip.writeData(0xC1)
        #expect(!pulses)
        #expect(answer(0xD0, of: &chip) == 0xC1, "A20 is kept")
        _ = chip.writeCommand(0xD1)
        pulses = chip.writeData(0xFE)
        #expect(pulses)
    }

    /// A command in between takes the byte away from the one that waited.
    @Test func onlyTheLastCommandWaits() {
        var chip = KeyboardController()
        _ = chip.writeCommand(0xD1)
        _ = chip.writeCommand(0xAE)
        let pulses = chip.writeData(0xFE)
        #expect(!pulses)
    }

    // MARK: State

    @Test func aStateThatCannotBeIsRefused() {
        var chip = KeyboardController()
        let before = chip.state
        var wrong: [KeyboardController.State] = []
        for change in [
            { $0.status = .init(rawValue: 0x02) }, { $0.outputPort = 0xC2 }, { $0.waiting = 0x20 },
            { $0.waiting = 0xD0 },
        ] as [(inout KeyboardController.State) -> Void] {
            var state = before
            change(&state)
            wrong.append(state)
        }
        for state in wrong {
            let isTaken = chip.restore(state)
            #expect(!isTaken)
        }
        #expect(chip.state == before)
    }

    @Test func resetGivesTheFirstState() {
        var chip = KeyboardController()
        _ = chip.writeCommand(0xAA)
        _ = chip.writeCommand(0xD1)
        chip.reset()
        #expect(chip.state == KeyboardController().state)
    }
}
