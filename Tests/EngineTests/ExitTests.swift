import CBackplane
import CHost
import Core
import Testing

/// MSRs, the debugger, and the ends of a run.
struct ExitTests {
    // MARK: MSRs

    @Test(arguments: EngineKind.here) func interceptedMSRsComeOut(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.msrs32, .protected, engine)
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
    @Test(arguments: EngineKind.here) func unhandledMSRIsTheCPUsOwn(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.msrs32, .protected, engine)
        try bench.engine.setIntercepts(
            Intercepts(ranges: [.init(reason: 31, first: 0, last: .max), .init(reason: 32, first: 0, last: .max)]))
        var seen = 0
        bench.exits.onEvent = { _ in
            seen += 1
            return .unhandled
        }
        // What the first run has written, the second one reads.
        for value in [0, 0x5566_7788] as [UInt64] {
            try bench.runToHalt()
            #expect(bench.word64(0x700) == value)
            #expect(bench.word32(0x708) == 0x1234)
            var state = try bench.cpu.registers()
            state.rip = 0x1000
            try bench.cpu.setRegisters(state)
        }
        #expect(seen == 8)
    }

    /// 0x1234 is no MSR of any CPU; 0x174 is one, and is not shown.
    @Test(arguments: EngineKind.here) func unknownMSRsComeOutAsUnclaimed(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.unknownMSR32, .protected, engine)
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
    @Test(arguments: EngineKind.here) func unknownMSRsAreFlaggedAmongFilteredOnes(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.unknownMSR32, .protected, engine)
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

    @Test(arguments: EngineKind.here) func injectedFaultReachesTheGuest(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.fault16, .real, engine)
        bench.installInterrupts(handler: [0xe6, 0x90, 0xf4])  // out %al,$0x90; hlt
        try bench.engine.setIntercepts(Intercepts(ranges: [.init(reason: 31, first: 0x174, last: 0x174)]))
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        bench.exits.onEvent = { _ in .inject(vector: 13, errorCode: 0) }
        try bench.runToHalt()
        #expect(ports == [0x90])
    }

    @Test(arguments: EngineKind.here) func interceptsCanBeTakenBack(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.msrs32, .protected, engine)
        try bench.engine.setIntercepts(Intercepts(ranges: [.init(reason: 31, first: 0x174, last: 0x174)]))
        try bench.engine.setIntercepts(Intercepts())
        bench.exits.onEvent = { _ in
            Issue.record("an exit that nobody wants")
            return .handled
        }
        try bench.runToHalt()
    }

    // MARK: Debugger

    @Test(arguments: EngineKind.here) func singleStepStopsAfterEachInstruction(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.step32, .protected, engine)
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

    @Test(arguments: EngineKind.here) func hardwareBreakpointsStop(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.step32, .protected, engine)
        try bench.cpu.setDebug(DebugControl(hardware: [.init(address: 0x1006, length: 1, kind: .execute)]))
        try KVMHost.withBreakpoints(engine) {
            let end = bench.cpu.run()
            guard case .debug(let event) = end else { throw GuestBench.UnexpectedEnd(end: end) }
            #expect(event.kind == .hardwareBreakpoint && event.rip == 0x1006 && event.dr6 & 15 == 1)
        }
        #expect(throws: EngineError.self) {
            try bench.cpu.setDebug(DebugControl(hardware: [.init(address: 0x1001, length: 4, kind: .write)]))
        }
    }

    @Test(arguments: EngineKind.here) func breakpointInstructionComesBackToTheDebugger(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.int3_32, .protected, engine)
        try bench.cpu.setDebug(DebugControl(softwareBreakpoints: true))
        try KVMHost.withBreakpoints(engine) {
            let end = bench.cpu.run()
            guard case .debug(let event) = end else { throw GuestBench.UnexpectedEnd(end: end) }
            #expect(event.kind == .softwareBreakpoint && event.rip == 0x1001)
        }
    }

    // MARK: Ends

    @Test(arguments: EngineKind.here) func tripleFaultIsAShutdown(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.triple32, .protected, engine)
        var state = try bench.cpu.registers()
        state.idtr_limit = 0
        try bench.cpu.setRegisters(state)
        guard case .shutdown = bench.cpu.run() else { return #expect(Bool(false), "no shutdown") }
        try bench.cpu.reset()
        #expect(try bench.cpu.registers().rip == 0xfff0)
    }
}
