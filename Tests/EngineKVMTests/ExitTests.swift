import CBackplane
import CHost
import Core
import Testing

@testable import EngineKVM

/// MSRs, the debugger, and the ends of a run.
@Suite(.enabled(if: kvmIsHere, needsKVM))
struct ExitTests {
    // MARK: MSRs

    @Test func interceptedMSRsComeOut() throws {
        let bench = try GuestBench(Guests.msrs32, .protected)
        try bench.engine.setIntercepts(
            Intercepts(ranges: [
                .init(reason: 31, first: 0x174, last: 0x174), .init(reason: 32, first: 0x174, last: 0x174),
            ]))
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { exit in
            seen.append([UInt64(exit.reason), exit.address, exit.value])
            exit.value = 0x1111_2222_3333_4444
            return .handled
        }
        try bench.runToHalt()
        #expect(seen.map { [$0[0], $0[1]] } == [[31, 0x174], [32, 0x174]])
        #expect(seen.last?[2] == 0x5566_7788)
        #expect(bench.word64(0x700) == 0x1111_2222_3333_4444)
        #expect(bench.word32(0x708) == 0x1234, "0x175 was not asked for")
    }

    /// A policy that only looks does not change what the guest gets.
    @Test func unhandledMSRIsTheCPUsOwn() throws {
        let bench = try GuestBench(Guests.msrs32, .protected)
        #expect(ch_kvm_set_msr(bench.cpu.core.pointee.fd, 0x174, 0x10) == 0)
        try bench.engine.setIntercepts(
            Intercepts(ranges: [.init(reason: 31, first: 0, last: .max), .init(reason: 32, first: 0, last: .max)]))
        var seen = 0
        bench.exits.onEvent = { _ in
            seen += 1
            return .unhandled
        }
        try bench.runToHalt()
        #expect(seen == 4)
        #expect(bench.word64(0x700) == 0x10)
        #expect(bench.word32(0x708) == 0x1234)
        var value: UInt64 = 0
        #expect(ch_kvm_get_msr(bench.cpu.core.pointee.fd, 0x174, &value) == 0)
        #expect(value == 0x5566_7788)
    }

    /// 0x1234 is no MSR of any CPU; 0x174 is one, and is not shown.
    @Test func unknownMSRsComeOutAsUnclaimed() throws {
        let bench = try GuestBench(Guests.unknownMSR32, .protected)
        try bench.engine.setIntercepts(
            Intercepts(ranges: [
                .init(reason: 31, first: 0, last: .max, isUnclaimedOnly: true),
                .init(reason: 32, first: 0, last: .max, isUnclaimedOnly: true),
            ]))
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { exit in
            seen.append([UInt64(exit.reason), exit.address, UInt64(exit.flags & 4)])
            if exit.reason == 31 { exit.value = 0 }
            return .handled
        }
        try bench.runToHalt()
        #expect(seen == [[31, 0x1234, 4], [32, 0x1234, 4]])
        #expect(bench.word32(0x700) == 0, "reads as the policy says")
        #expect(bench.word32(0x704) == 0x10, "0x174 is the CPU's own")
    }

    /// A policy that wants every MSR, beside one that wants those that are not there: each access comes once.
    @Test func unknownMSRsAreFlaggedAmongFilteredOnes() throws {
        let bench = try GuestBench(Guests.unknownMSR32, .protected)
        try bench.engine.setIntercepts(
            Intercepts(ranges: [
                .init(reason: 31, first: 0, last: .max), .init(reason: 32, first: 0, last: .max),
                .init(reason: 31, first: 0, last: .max, isUnclaimedOnly: true),
                .init(reason: 32, first: 0, last: .max, isUnclaimedOnly: true),
            ]))
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { exit in
            seen.append([UInt64(exit.reason), exit.address, UInt64(exit.flags & 4)])
            return exit.flags & 4 != 0 ? .handled : .unhandled
        }
        try bench.runToHalt()
        #expect(seen == [[31, 0x1234, 4], [32, 0x1234, 4], [32, 0x174, 0], [31, 0x174, 0]])
    }

    @Test func injectedFaultReachesTheGuest() throws {
        let bench = try GuestBench(Guests.fault16, .real)
        bench.installInterrupts(handler: [0xe6, 0x90, 0xf4])  // out %al,$0x90; hlt
        try bench.engine.setIntercepts(Intercepts(ranges: [.init(reason: 31, first: 0x174, last: 0x174)]))
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        bench.exits.onEvent = { _ in .inject(vector: 13, errorCode: 0) }
        try bench.runToHalt()
        #expect(ports == [0x90])
    }

    @Test func interceptsCanBeTakenBack() throws {
        let bench = try GuestBench(Guests.msrs32, .protected)
        try bench.engine.setIntercepts(Intercepts(ranges: [.init(reason: 31, first: 0x174, last: 0x174)]))
        try bench.engine.setIntercepts(Intercepts())
        bench.exits.onEvent = { _ in
            Issue.record("an exit that nobody wants")
            return .handled
        }
        try bench.runToHalt()
    }

    // MARK: Debugger

    @Test func singleStepStopsAfterEachInstruction() throws {
        let bench = try GuestBench(Guests.step32, .protected)
        try bench.cpu.setDebug(DebugControl(singleStep: true))
        var stops: [UInt64] = []
        for _ in 0..<3 {
            guard case .debug(let event) = bench.cpu.run() else { return #expect(Bool(false), "no stop") }
            #expect(event.kind == .singleStep && event.dr6 & 0x4000 != 0)
            stops.append(event.rip)
        }
        #expect(stops == [0x1001, 0x1006, 0x1007])
        try bench.cpu.setDebug(DebugControl())
        try bench.runToHalt()
    }

    @Test func hardwareBreakpointsStop() throws {
        let bench = try GuestBench(Guests.step32, .protected)
        try bench.cpu.setDebug(DebugControl(hardware: [.init(address: 0x1006, length: 1, kind: .execute)]))
        guard case .debug(let event) = bench.cpu.run() else { return #expect(Bool(false), "no stop") }
        #expect(event.kind == .hardwareBreakpoint && event.rip == 0x1006 && event.dr6 & 15 == 1)
        #expect(throws: EngineError.self) {
            try bench.cpu.setDebug(DebugControl(hardware: [.init(address: 0x1001, length: 4, kind: .write)]))
        }
    }

    @Test func breakpointInstructionComesBackToTheDebugger() throws {
        let bench = try GuestBench(Guests.int3_32, .protected)
        try bench.cpu.setDebug(DebugControl(softwareBreakpoints: true))
        guard case .debug(let event) = bench.cpu.run() else { return #expect(Bool(false), "no stop") }
        #expect(event.kind == .softwareBreakpoint && event.rip == 0x1001)
    }

    // MARK: Ends

    @Test func tripleFaultIsAShutdown() throws {
        let bench = try GuestBench(Guests.triple32, .protected)
        var state = try bench.cpu.registers()
        state.idtr_limit = 0
        try bench.cpu.setRegisters(state)
        guard case .shutdown = bench.cpu.run() else { return #expect(Bool(false), "no shutdown") }
        try bench.cpu.reset()
        #expect(try bench.cpu.registers().rip == 0xfff0)
    }

    /// KVM emulates every access to memory that is not there, and does not know FBLD.
    @Test func failureNamesReasonRegistersAndCode() throws {
        // nop; fbld 0xd0000
        let bench = try GuestBench([0x90, 0xdf, 0x25, 0x00, 0x00, 0x0d, 0x00], .protected)
        guard case .failed(let error) = bench.cpu.run() else { return #expect(Bool(false), "no failure") }
        #expect(error.description.contains("KVM could not emulate an instruction"))
        #expect(error.description.contains("RIP 0000000000001001"))
        #expect(error.description.contains("CS   0008  base 0000000000000000  limit ffffffff  attributes c09b"))
        #expect(error.description.contains("CR0 00000011"))
        #expect(error.description.contains("code at 0x1001: df 25 00 00 0d 00"))
    }

    // MARK: Calibration and availability

    @Test func supervisorSpeedIsMeasuredInMilliseconds() throws {
        let begin = ch_monotonic()
        let speed = try #require(KVMEngine.supervisorSpeed())
        #expect(speed > 100_000 && speed < 100_000_000_000)
        #expect(ch_monotonic() - begin < 500_000_000)
    }

    @Test func tooManyCPUsAreRefused() {
        #expect(throws: EngineError.self) { try KVMEngine(cpuCount: 0) }
        #expect(throws: EngineError.self) { try KVMEngine(cpuCount: 1_000_000) }
    }
}

struct MSRInterceptTests {
    @Test func fewRangesAreDeniedExactly() {
        let wanted = MSRIntercepts(
            Intercepts(ranges: [.init(reason: 31, first: 0x10, last: 0x11), .init(reason: 32, first: 0x10, last: 0x10)])
        )
        let plan = wanted.plan()
        #expect(!plan.denyOthers && plan.blocks.count == 2)
        #expect(plan.blocks[0].first == 0x10 && plan.blocks[0].count == 2 && plan.blocks[0].bitmap[0] & 3 == 0)
        #expect(plan.blocks.allSatisfy { $0.bitmap.count % 8 == 0 })
        #expect(wanted.wants(0x11, write: false) && !wanted.wants(0x11, write: true))
    }

    @Test func everythingFitsTheLimitsOfKVM() {
        let wanted = MSRIntercepts(Intercepts(ranges: [.init(reason: 31, first: 0, last: .max)]))
        let plan = wanted.plan()
        #expect(plan.denyOthers && plan.blocks.count <= 16)
        #expect(plan.blocks.allSatisfy { $0.count <= 0x600 * 8 })
        let reads = plan.blocks.filter { $0.flags == 1 }
        let writes = plan.blocks.filter { $0.flags == 2 }
        #expect(reads.allSatisfy { $0.bitmap.prefix(Int($0.count) / 8).allSatisfy { $0 == 0 } })
        #expect(writes.allSatisfy { $0.bitmap.allSatisfy { $0 == 0xff } })
    }

    @Test func hostileRangesAreHarmless() {
        let wanted = MSRIntercepts(
            Intercepts(ranges: [.init(reason: 31, first: 9, last: 3), .init(reason: 31, first: .max, last: .max)]))
        #expect(wanted == MSRIntercepts())
    }
}
