import Testing
@testable import I8042

/// The controller against the PS/2 technical reference.
@Suite struct ControllerTests {
    @Test func firmwaresStateAtPowerOn() {
        var b = Bench()
        #expect(b.status == 0x1C, "nothing in the buffers, system flag, unlocked")
        #expect(b.ask(0x20) == 0x65)
        #expect(b.chip.a20 && !b.chip.keyboardInterrupt && !b.chip.auxiliaryInterrupt)
    }

    @Test func selfTestsPass() {
        var b = Bench()
        #expect(b.ask(0xAA) == 0x55)
        #expect(b.ask(0xAB) == 0x00)
        #expect(b.ask(0xA9) == 0x00)
        #expect(b.ask(0xA4) == 0xF1, "no password")
    }

    @Test func statusTellsCommandFromData() {
        var b = Bench()
        b.command(0x60)
        #expect(b.status & 0x08 != 0)
        b.data(0x01)
        #expect(b.status == 0x10, "the system flag is the command byte's bit 2")
    }

    @Test func ramKeepsItsBytes() {
        var b = Bench()
        for address in UInt8(0x01)...0x1F {
            b.command(0x60 | address)
            b.data(address &* 7)
        }
        for address in UInt8(0x01)...0x1F { #expect(b.ask(0x20 | address) == address &* 7) }
    }

    @Test func interfaceCommandsSetTheirBits() {
        var b = Bench()
        b.command(0xAD)
        b.command(0xA8)
        #expect(b.ask(0x20) == 0x55)
        b.command(0xAE)
        b.command(0xA7)
        #expect(b.ask(0x20) == 0x65)
    }

    @Test func a20FollowsTheOutputPort() {
        var b = Bench()
        #expect(b.ask(0xD0) == 0x8F, "not in reset, A20, mouse off")
        b.command(0xD1)
        b.data(0xDD)
        #expect(!b.chip.a20 && b.ask(0xD0) == 0x8D && b.resets == 0)
        b.command(0xD1)
        b.data(0xDF)
        #expect(b.chip.a20)
        b.command(0xDD)
        #expect(!b.chip.a20)
        b.command(0xDF)
        #expect(b.chip.a20)
    }

    @Test func pulsesAndTheOutputPortReset() {
        var b = Bench()
        for command in UInt8(0xF0)...0xFF {
            let before = b.resets
            b.command(command)
            #expect(b.resets - before == (command & 1 == 0 ? 1 : 0))
        }
        b.command(0xD1)
        b.data(0x02)
        #expect(b.resets == 9)
    }

    @Test func writtenOutputLooksLikeTheDevices() {
        var b = Bench.withMouse()
        b.command(0xD2)
        b.data(0x5A)
        #expect(b.status & 0x21 == 0x01 && b.chip.keyboardInterrupt && !b.chip.auxiliaryInterrupt)
        #expect(b.chip.read(.data, at: b.now) == 0x5A)
        b.command(0xD3)
        b.data(0xA5)
        #expect(b.status & 0x21 == 0x21 && !b.chip.keyboardInterrupt && b.chip.auxiliaryInterrupt)
        #expect(b.chip.peek(.data, at: b.now) == 0xA5)
        #expect(b.chip.read(.data, at: b.now) == 0xA5)
        #expect(!b.chip.auxiliaryInterrupt && b.status & 0x21 == 0)
    }

    @Test func interruptsNeedTheirEnables() {
        var b = Bench()
        b.command(0x60)
        b.data(0x04)
        b.command(0xD2)
        b.data(0x11)
        #expect(!b.chip.keyboardInterrupt)
        b.command(0x60)
        b.data(0x05)
        #expect(b.chip.keyboardInterrupt)
    }

    @Test func lastByteStaysReadable() {
        var b = Bench()
        b.press(30)
        #expect(b.take() == [0x1E])
        #expect(b.chip.read(.data, at: b.now) == 0x1E)
        #expect(b.status & 0x01 == 0)
    }

    @Test func nextByteTakesItsTime() {
        var b = Bench()
        b.press(30)
        b.release(30)
        #expect(b.chip.nextEvent(at: 0) == 880_000)
        #expect(b.status & 1 == 0)
        b.now = 880_000
        #expect(b.status & 1 == 1 && b.chip.keyboardInterrupt)
        #expect(b.chip.read(.data, at: b.now) == 0x1E)
        #expect(!b.chip.keyboardInterrupt, "the line falls between two bytes")
        #expect(b.chip.read(.data, at: b.now) == 0x1E, "a second handler sees the same byte")
        b.now += 879_999
        #expect(b.status & 1 == 0)
        b.now += 1
        #expect(b.chip.read(.data, at: b.now) == 0x9E)
    }

    @Test func disabledInterfacesHoldTheirBytes() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF4) == [0xFA])
        b.command(0xAD)
        b.command(0xA7)
        b.press(30)
        b.chip.mouse(x: 1, at: b.now)
        #expect(b.next() == nil)
        b.command(0xA8)
        #expect(b.take(auxiliary: true) == [0x08, 0x01, 0x00])
        b.command(0xAE)
        #expect(b.take() == [0x1E])
    }

    @Test func keyboardGoesBeforeTheMouse() {
        var b = Bench.withMouse()
        #expect(b.mouse(0xF4) == [0xFA])
        b.chip.mouse(x: 1, at: b.now)
        b.press(30)
        #expect(b.next()?.isAuxiliary == false)
        #expect(b.next()?.isAuxiliary == true)
    }

    @Test func controllersAnswerWaitsForTheBuffer() {
        var b = Bench()
        b.press(30)
        b.now = 1_000_000
        #expect(b.status & 1 == 1)
        b.command(0xAA)
        #expect(b.chip.read(.data, at: b.now) == 0x1E)
        #expect(b.chip.read(.data, at: b.now) == 0x55)
    }

    @Test func writingToADeviceTurnsItOn() {
        var b = Bench()
        b.command(0xAD)
        #expect(b.keyboard(0xEE) == [0xEE])
        #expect(b.mouse(0xE6) == [0xFA])
        #expect(b.ask(0x20) == 0x45)
    }

    @Test func passwordTakesItsBytes() {
        var b = Bench()
        b.command(0xA5)
        b.data(0x10)
        b.data(0xEE)
        b.data(0x00)
        #expect(b.next() == nil)
        #expect(b.keyboard(0xEE) == [0xEE])
    }
}
