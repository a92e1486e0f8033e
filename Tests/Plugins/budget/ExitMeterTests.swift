import Testing

@testable import ExitMeter

@Suite struct ExitMeterTests {
    @Test func theFirstExitBeyondTheLimitIsTheEnd() {
        var meter = ExitMeter(limit: 3)
        let granted = (0..<3).map { _ in meter.note() }
        #expect(granted == [false, false, false])
        #expect(meter.left == 0)
        let beyond = (0..<2).map { _ in meter.note() }
        #expect(beyond == [true, true])
        meter.renew()
        #expect(meter.left == 3)
        let renewed = meter.note()
        #expect(!renewed)
    }

    @Test func zeroIsNoLimit() {
        var meter = ExitMeter(limit: 0)
        let isOver = (0..<1000).contains { _ in meter.note() }
        #expect(!isOver)
        #expect(meter.left == .max)
    }

    @Test func aSavedCountThatIsBeyondTheLimitLeavesNothing() {
        var meter = ExitMeter(limit: 2, used: .max)
        #expect(meter.left == 0)
        // It wraps, and nothing traps.
        let isOver = meter.note()
        #expect(!isOver)
    }
}
