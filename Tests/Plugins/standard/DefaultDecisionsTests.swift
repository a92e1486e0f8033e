import PluginKit
import Testing

@testable import StandardDecisions

@Suite struct HaltTests {
    @Test func haltWithInterruptsDisabledPowersOff() {
        var decisions = DefaultDecisions()
        let decision = decisions.decide(exit(hlt, rip: 0x1000f3))
        #expect(decision.verdict == .stop(status: 0))
        #expect(decision.reason == nil)
        #expect(decision.note?.text == "guest halted with interrupts disabled at rip 0x1000f3: powering off")
    }

    @Test func haltWithInterruptsEnabledIsNoneOfItsBusiness() {
        var decisions = DefaultDecisions { $0.haltForever = .stop }
        #expect(decisions.decide(exit(hlt, flags: interruptsEnabled)) == .continue)
    }

    @Test func haltCanStopTheMachineWithStatusSix() {
        var decisions = DefaultDecisions { $0.haltForever = .stop }
        let decision = decisions.decide(exit(hlt, flags: ripPast, rip: 0x1000f4))
        #expect(decision.verdict == .stop(status: 6))
        #expect(
            decision.reason
                == "guest halted with interrupts disabled just before rip 0x1000f4: nothing can wake it")
    }

    @Test func haltThatWaitsGoesOnSleeping() {
        var decisions = DefaultDecisions { $0.haltForever = .wait }
        #expect(decisions.decide(exit(hlt)) == .continue)
    }
}

@Suite struct TripleFaultTests {
    @Test func tripleFaultResets() {
        var decisions = DefaultDecisions()
        let decision = decisions.decide(exit(tripleFault, rip: 0x7c00))
        #expect(decision.verdict == .reset)
        #expect(decision.note?.level == .debug)
    }

    @Test func tripleFaultCanStopAndNamesRIP() {
        var decisions = DefaultDecisions { $0.tripleFault = .stop }
        let decision = decisions.decide(exit(tripleFault, rip: 0x7c2a))
        #expect(decision.verdict == .stop(status: 6))
        #expect(decision.reason == "triple fault at rip 0x7c2a")
    }

    @Test func tripleFaultCanPowerOff() {
        var decisions = DefaultDecisions { $0.tripleFault = .powerOff }
        #expect(decisions.decide(exit(tripleFault)).verdict == .stop(status: 0))
    }
}

@Suite struct ResetLoopTests {
    private func limited(_ limit: Int) -> DefaultDecisions {
        DefaultDecisions {
            $0.resetLimit = limit
            $0.resetWindow = 10 * second
        }
    }

    @Test func noLimitLetsAnyNumberPass() {
        var decisions = DefaultDecisions()
        for _ in 0..<10_000 {
            #expect(decisions.decide(exit(tripleFault)).verdict == .reset)
            #expect(decisions.didReset(at: 0) == nil)
        }
    }

    @Test func oneMoreThanTheLimitStops() {
        var decisions = limited(3)
        for time in 0..<3 {
            #expect(decisions.decide(exit(tripleFault, time: UInt64(time) * second)).verdict == .reset)
            #expect(decisions.didReset(at: UInt64(time) * second) == nil)
        }
        let decision = decisions.decide(exit(tripleFault, rip: 0xfff0, time: 3 * second))
        #expect(decision.verdict == .stop(status: 6))
        #expect(
            decision.reason == "guest is in a reset loop: 4 resets within 10 s where reset-limit is 3, the last by a "
                + "triple fault at rip 0xfff0")
    }

    @Test func resetsOutsideTheWindowDoNotCount() {
        var decisions = limited(1)
        for index in 0..<20 {
            #expect(decisions.didReset(at: UInt64(index) * 10 * second) == nil)
        }
        #expect(decisions.didReset(at: 190 * second + 1) != nil)
    }

    @Test func resetsByOtherMeansCountToo() {
        var decisions = limited(2)
        #expect(decisions.didReset(at: 1) == nil)
        #expect(decisions.decide(exit(tripleFault, time: 2)).verdict == .reset)
        #expect(decisions.didReset(at: 2) == nil)
        #expect(
            decisions.didReset(at: 3) == "guest is in a reset loop: 3 resets within 10 s where reset-limit is 2")
    }

    /// A snapshot that was loaded may put the clock back.
    @Test func timesFromTheFutureAreForgotten() {
        var decisions = limited(1)
        #expect(decisions.didReset(at: UInt64.max) == nil)
        #expect(decisions.didReset(at: 5) == nil)
        #expect(decisions.didReset(at: 6) != nil)
    }

    @Test func limitMayBeSetLater() {
        var decisions = DefaultDecisions()
        #expect(decisions.decide(exit(tripleFault)).verdict == .reset)
        #expect(decisions.didReset(at: 0) == nil)
        var settings = decisions.settings
        settings.resetLimit = 1
        decisions.apply(settings)
        #expect(decisions.didReset(at: 1) == nil)
        #expect(decisions.didReset(at: 2) != nil)
    }
}

@Suite struct UnclaimedTests {
    @Test func unclaimedAddressesFloat() {
        var decisions = DefaultDecisions()
        #expect(decisions.decide(exit(io, flags: unclaimed, width: 1, address: 0x80)) == .continue)
        #expect(decisions.decide(exit(eptViolation, flags: unclaimed, width: 4, address: 0xfee0_0000)) == .continue)
    }

    @Test func eachPortIsLoggedOnce() {
        var decisions = DefaultDecisions { $0.unclaimedPort = .log }
        let access = exit(io, flags: unclaimed | write, width: 1, rip: 0x1000f3, address: 0x80, value: 0x41)
        let first = decisions.decide(access)
        #expect(first.verdict == .continue)
        #expect(first.note?.level == .info)
        #expect(
            first.note?.text == "guest wrote 0x41 (1 byte) to port 0x80 at rip 0x1000f3: nothing claims it")
        #expect(decisions.decide(access).note == nil)
        #expect(decisions.decide(exit(io, flags: unclaimed, width: 2, address: 0x81)).note != nil)
    }

    @Test func all65536PortsCanBeLogged() {
        var decisions = DefaultDecisions { $0.unclaimedPort = .log }
        for port in 0..<0x10000 as Range<UInt64> {
            #expect(decisions.decide(exit(io, flags: unclaimed, width: 1, address: port)).note != nil)
        }
        for port in 0..<0x10000 as Range<UInt64> {
            #expect(decisions.decide(exit(io, flags: unclaimed, width: 1, address: port)).note == nil)
        }
    }

    @Test func eachPageIsLoggedOnce() {
        var decisions = DefaultDecisions { $0.unclaimedMemory = .log }
        let first = decisions.decide(exit(eptViolation, flags: unclaimed, width: 4, rip: 1, address: 0xfee0_0020))
        #expect(first.note?.text == "guest read 4 bytes from memory 0xfee00020 at rip 0x1: nothing claims it")
        #expect(decisions.decide(exit(eptViolation, flags: unclaimed, width: 4, address: 0xfee0_0ff8)).note == nil)
        #expect(decisions.decide(exit(eptViolation, flags: unclaimed, width: 4, address: 0xfee0_1000)).note != nil)
    }

    /// The guest chooses the addresses: neither memory nor log grows with them for ever.
    @Test func loggedPagesAreBoundedAndTheLastSaysSo() {
        var decisions = DefaultDecisions { $0.unclaimedMemory = .log }
        var notes: [String] = []
        for page in 0..<10_000 as Range<UInt64> {
            let decision = decisions.decide(exit(eptViolation, flags: unclaimed, width: 1, address: page << 12))
            #expect(decision.verdict == .continue)
            if let note = decision.note { notes.append(note.text) }
        }
        #expect(notes.count == 4096)
        #expect(notes.last?.hasSuffix("further pages are not logged") == true)
        #expect(notes.dropLast().allSatisfy { !$0.contains("further") })
    }

    @Test func unclaimedPortCanStopTheMachineWithStatusEight() {
        var decisions = DefaultDecisions { $0.unclaimedPort = .stop }
        let decision = decisions.decide(exit(io, flags: unclaimed, width: 2, rip: 0x1000, address: 0x2f8))
        #expect(decision.verdict == .stop(status: 8))
        #expect(decision.reason == "guest read 2 bytes from port 0x2f8 at rip 0x1000: nothing claims it")
        #expect(decisions.decide(exit(eptViolation, flags: unclaimed, width: 2)) == .continue)
    }

    /// Another policy may want all I/O, and the record comes here too.
    @Test func claimedPortsAreLeftAlone() {
        var decisions = DefaultDecisions {
            $0.unclaimedPort = .stop
            $0.unclaimedMemory = .stop
        }
        #expect(decisions.decide(exit(io, width: 1, address: 0x3f8)) == .continue)
        #expect(decisions.decide(exit(eptViolation, width: 1, address: 0xb8000)) == .continue)
    }

    @Test func loggingAgainListsAgain() {
        var decisions = DefaultDecisions { $0.unclaimedPort = .log }
        let access = exit(io, flags: unclaimed, width: 1, address: 0x80)
        #expect(decisions.decide(access).note != nil)
        for action in [Settings.Unclaimed.float, .log] {
            var settings = decisions.settings
            settings.unclaimedPort = action
            decisions.apply(settings)
        }
        #expect(decisions.decide(access).note != nil)
    }
}

@Suite struct MSRTests {
    @Test func unknownMSRFaultsAsTheCPUDoes() {
        var decisions = DefaultDecisions()
        #expect(decisions.decide(exit(rdmsr, flags: unclaimed, address: 0xc001_1029)) == .continue)
    }

    @Test func ignoredMSRReadsAsZero() {
        var decisions = DefaultDecisions { $0.unhandledMSR = .ignore }
        var read = exit(rdmsr, flags: unclaimed, address: 0x611, value: 0xdead)
        #expect(decisions.decide(&read) == .init(verdict: .handled))
        #expect(read.value == 0)
        #expect(decisions.decide(exit(wrmsr, flags: unclaimed | write, address: 0x611)).verdict == .handled)
    }

    /// EFER and its like exist: to answer for them would break the guest.
    @Test func msrThatTheCPUHasIsLeftAlone() {
        var decisions = DefaultDecisions { $0.unhandledMSR = .ignore }
        var read = exit(rdmsr, address: 0xc000_0080, value: 0xd01)
        #expect(decisions.decide(&read) == .continue)
        #expect(read.value == 0xd01)
    }

    @Test func eachMSRIsLoggedOnce() {
        var decisions = DefaultDecisions { $0.unhandledMSR = .log }
        let written = exit(wrmsr, flags: unclaimed | write, rip: 0x10, address: 0x611, value: 7)
        let first = decisions.decide(written)
        #expect(first.verdict == .handled)
        #expect(first.note?.text == "guest wrote 0x7 to MSR 0x611 at rip 0x10: not there, the write is dropped")
        let second = decisions.decide(written)
        #expect(second.verdict == .handled)
        #expect(second.note == nil)
        let read = decisions.decide(exit(rdmsr, flags: unclaimed, rip: 0x12, address: 0x34))
        #expect(read.note?.text == "guest read MSR 0x34 at rip 0x12: not there, reads as zero")
    }

    @Test func loggedMSRsAreBounded() {
        var decisions = DefaultDecisions { $0.unhandledMSR = .log }
        var notes = 0
        for register in 0..<5000 as Range<UInt64> {
            let decision = decisions.decide(exit(rdmsr, flags: unclaimed, address: register))
            #expect(decision.verdict == .handled)
            if decision.note != nil { notes += 1 }
        }
        #expect(notes == 1024)
    }
}

@Suite struct PowerRequestTests {
    @Test func requestWithoutAPowerButtonPowersOff() {
        var decisions = DefaultDecisions()
        let decision = decisions.decide(exit(0, flags: askPower))
        #expect(decision.verdict == .stop(status: 0))
        #expect(decision.note?.text.contains("no instance has a power button") == true)
    }

    @Test func ignoredRequestIsAnswered() {
        var decisions = DefaultDecisions { $0.powerRequest = .ignore }
        let decision = decisions.decide(exit(0, flags: askPower))
        #expect(decision.verdict == .handled)
        #expect(decision.note != nil)
    }

    @Test func exceptionIsNoRequest() {
        var decisions = DefaultDecisions()
        #expect(decisions.decide(exit(0, address: 14)) == .continue)
    }
}

@Suite struct WantTests {
    private func reasons(_ change: (inout Settings) -> Void) -> [Int] {
        DefaultDecisions(change).wants.map(\.reason)
    }

    @Test func defaultsNeedOnlyHaltsAndTripleFaults() {
        #expect(reasons { _ in } == [2, 12])
    }

    @Test func waitingNeedsNoHalts() {
        #expect(reasons { $0.haltForever = .wait } == [2])
    }

    @Test func unclaimedAddressesAreWantedOnlyWhereNothingClaims() {
        let decisions = DefaultDecisions {
            $0.unclaimedPort = .log
            $0.unclaimedMemory = .stop
            $0.unhandledMSR = .ignore
        }
        #expect(decisions.wants.map(\.reason) == [2, 12, 30, 48, 31, 32])
        // BP_WANT_DECIDE and BP_WANT_UNCLAIMED.
        #expect(decisions.wants.dropFirst(2).allSatisfy { $0.options.rawValue == 2 | 8 })
    }

    @Test func durationsAreWrittenInTheLargestWholeUnit() {
        #expect(durationText(10 * second) == "10 s")
        #expect(durationText(1_500_000_000) == "1500 ms")
        #expect(durationText(250_000) == "250 us")
        #expect(durationText(1001) == "1001 ns")
        #expect(durationText(0) == "0 ns")
    }
}
