import Testing

@testable import Core

@Suite struct VirtualClockTests {
    /// 1 ns for each instruction, and what was skipped.
    @Test func aCountedClockIsInstructionsAndSkippedTime() {
        let clock = VirtualClock(.counted)
        #expect(clock.now == 0)
        clock.retired.pointee = 1000
        #expect(clock.now == 1000)
        clock.advance(to: 5000)
        #expect(clock.now == 5000)
        clock.retired.pointee = 1001
        #expect(clock.now == 5001)
        #expect(clock.instructions(at: 5100) == 1100)
        #expect(clock.instructions(at: .max) == UInt64.max - 4000)
    }

    @Test func aCountedClockNeverGoesBackAndKnowsNoPause() {
        let clock = VirtualClock(.counted)
        clock.retired.pointee = 10
        clock.advance(to: 3)
        #expect(clock.now == 10)
        #expect(clock.resume() == 0)
        clock.pause()
        clock.retired.pointee = 11
        #expect(clock.now == 11)
        #expect(clock.hostTime(of: 20) == nil)
        // Before anything was skipped.
        #expect(clock.instructions(at: 20) == 20)
    }
}
