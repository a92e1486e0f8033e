@testable import DebugConsole
import Testing

@Suite struct DebugConsoleTests {
    @Test func thePortReadsAsItsReadback() {
        #expect(DebugConsole(readback: 0xE9).read() == 0xE9)
        #expect(DebugConsole(readback: 0).read() == 0)
    }

    @Test func bytesAreSentWhileThereIsRoom() {
        var chip = DebugConsole(readback: 0xE9)
        let outcomes = [chip.write(0x41, token: 7), chip.write(0x42, token: 0)]
        #expect(outcomes == [.send, .send])
        #expect(chip.bulk(512) == 512)
        #expect(chip.waiting.isEmpty)
    }

    @Test func writesWaitWhileTheStreamIsFullAndEndInOrder() {
        var chip = DebugConsole(readback: 0xE9)
        let none = chip.throttle(true)
        #expect(none.isEmpty)
        let outcomes = [chip.write(0x41, token: 7), chip.write(0x42, token: 9)]
        #expect(outcomes == [.wait, .wait])
        #expect(chip.bulk(512) == 0)
        let ended = chip.throttle(false)
        #expect(ended == [.init(token: 7, byte: 0x41), .init(token: 9, byte: 0x42)])
        #expect(chip.waiting.isEmpty)
        let outcome = chip.write(0x43, token: 11)
        #expect(outcome == .send)
    }

    @Test func whatCannotWaitIsDroppedAndCounted() {
        var chip = DebugConsole(readback: 0xE9)
        _ = chip.throttle(true)
        let outcomes = [chip.write(0x41, token: 0), chip.write(0x42, token: 0)]
        #expect(outcomes == [.drop, .drop])
        #expect(chip.dropped == 2)
        #expect(chip.waiting.isEmpty)
    }

    @Test func resetEndsWhatWaitsAndTheStreamStaysFull() {
        var chip = DebugConsole(readback: 0xE9)
        _ = chip.throttle(true)
        _ = chip.write(0x41, token: 7)
        let ended = chip.release()
        #expect(ended == [.init(token: 7, byte: 0x41)])
        #expect(chip.isThrottled)
        let again = chip.throttle(false)
        #expect(again.isEmpty)
    }
}
