import Glibc
import Testing

@testable import Control

@Suite struct SignalPolicyTests {
    private let second: UInt64 = 1_000_000_000

    @Test func firstAsksSecondEndsThirdLeaves() {
        var policy = SignalPolicy()
        #expect(policy.receive(SIGTERM, at: 5 * second) == .powerOff)
        let end = SignalPolicy.Action.end(status: 143, reason: "ended by a second signal, SIGTERM")
        #expect(policy.receive(SIGTERM, at: 6 * second) == end)
        guard case .exitNow(143, _) = policy.receive(SIGTERM, at: 7 * second) else {
            Issue.record("a third SIGTERM leaves the process")
            return
        }
    }

    @Test func aSecondOneAtOnceIsTheSameRequest() {
        var policy = SignalPolicy()
        #expect(policy.receive(SIGTERM, at: 0) == .powerOff)
        #expect(policy.receive(SIGTERM, at: 20_000) == .nothing)
        #expect(policy.receive(SIGTERM, at: 499_000_000) == .nothing)
        let end = SignalPolicy.Action.end(status: 130, reason: "ended by a second signal, SIGINT")
        #expect(policy.receive(SIGINT, at: 600_000_000) == end)
        #expect(policy.receive(SIGINT, at: 600_100_000) == .nothing)
    }

    @Test func hangUpEndsAtOnce() {
        var policy = SignalPolicy()
        #expect(policy.receive(SIGHUP, at: 0) == .end(status: 129, reason: "ended by SIGHUP"))
        #expect(policy.receive(SIGTERM, at: 1000) == .nothing)
    }
}
