import CBackplane
import Core
import Testing

@testable import EngineKVM

struct InterruptTests {
    @Test(arguments: EngineKind.here) func haltComesBackWithTheInterruptFlag(engine: EngineKind) throws {
        let closed = try GuestBench([0xfa, 0xf4], .real, engine)  // cli; hlt
        guard case .halted(false, 0x1002) = closed.cpu.run() else {
            return #expect(Bool(false), "not halted at 0x1002")
        }
        let open = try GuestBench([0xfb, 0xf4], .real, engine)  // sti; hlt
        guard case .halted(true, 0x1002) = open.cpu.run() else { return #expect(Bool(false), "not halted at 0x1002") }
    }

    /// STI's shadow covers one instruction: OUT 0x82 comes before the handler's OUT 0x90.
    @Test(arguments: EngineKind.here) func interruptWaitsForTheWindow(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.window16, .real, engine)
        bench.installInterrupts(handler: Guests.handler16)
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { [exits = bench.exits] port, _, _ in
            ports.append(port)
            if port == 0x80 { exits.set(ch_interrupt_bit) }
        }
        bench.exits.onAcknowledge = { [exits = bench.exits] in
            exits.clear(ch_interrupt_bit)
            return 0x30
        }
        try bench.runToHalt()
        #expect(ports == [0x80, 0x81, 0x82, 0x90, 0x83])
    }

    @Test(arguments: EngineKind.here) func haltedGuestIsWokenByAnInterrupt(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.idle16, .real, engine)
        bench.installInterrupts(handler: Guests.handler16)
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        bench.exits.onAcknowledge = { [exits = bench.exits] in
            exits.clear(ch_interrupt_bit)
            return 0x20
        }
        for _ in 0..<3 {
            guard case .halted(true, _) = bench.cpu.run() else { return #expect(Bool(false), "not halted") }
            bench.exits.set(ch_interrupt_bit)
        }
        guard case .halted(true, _) = bench.cpu.run() else { return #expect(Bool(false), "not halted") }
        #expect(ports == [0x90, 0x81, 0x90, 0x81, 0x90, 0x81])
    }

    /// INTR is high and nobody answers the INTA cycle: the guest goes on as if it were low.
    @Test(.timeLimit(.minutes(30)), arguments: EngineKind.here) func unansweredInterruptDoesNotStopTheGuest(
        engine: EngineKind
    ) throws {
        let bench = try GuestBench(Guests.idle16, .real, engine)
        bench.installInterrupts(handler: Guests.handler16)
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        guard case .halted = bench.cpu.run() else { return #expect(Bool(false), "not halted") }
        bench.exits.takeControllerOffline()
        bench.exits.set(ch_interrupt_bit)
        guard case .halted = bench.cpu.run() else { return #expect(Bool(false), "not halted") }
        #expect(ports == [0x81])
    }

    @Test(arguments: EngineKind.here) func nmiIsTakenWithInterruptsOff(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.window16, .real, engine)
        bench.installInterrupts(handler: Guests.handler16)
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { [exits = bench.exits] port, _, _ in
            ports.append(port)
            if port == 0x80 { exits.set(ch_nmi_bit) }
        }
        try bench.runToHalt()
        #expect(ports == [0x80, 0x90, 0x81, 0x82, 0x83])
        #expect(!bench.exits.vcpu.needsAttention)
    }

    // MARK: Kicks

    /// A guest that never exits comes back for every kick. One lost kick hangs this test.
    @Test(.timeLimit(.minutes(30)), arguments: [Guests.spin32, Guests.outs32], EngineKind.here) func noKickIsLost(
        guest: [UInt8], engine: EngineKind
    ) async throws {
        let bench = try GuestBench(guest, .protected, engine)
        let rounds = 5000
        let taken = KickCounter()
        let runner = OnThread {
            for _ in 0..<rounds {
                guard case .attention = bench.cpu.run() else { return false }
                bench.exits.clear(ch_leave_bit)
                taken.add()
            }
            return true
        }
        for round in 0..<rounds {
            // At moments that differ: the vCPU may be anywhere between its look at the word and the guest.
            for _ in 0..<round % 97 { taken.look() }
            bench.exits.set(ch_leave_bit)
            bench.cpu.kick()
            while taken.look() <= round { spin() }
        }
        #expect(runner.join())
    }

    @Test(.timeLimit(.minutes(30)), arguments: EngineKind.here) func kickBringsAnInterruptIntoARunningGuest(
        engine: EngineKind
    ) async throws {
        // mov $0x9000,%sp; sti; the loop
        let bench = try GuestBench([0xbc, 0x00, 0x90, 0xfb] + Guests.spin32, .real, engine)
        bench.installInterrupts(handler: Guests.handler16)
        let taken = KickCounter()
        bench.exits.onPortWrite = { port, _, _ in if port == 0x90 { taken.add() } }
        bench.exits.onAcknowledge = { [exits = bench.exits] in
            exits.clear(ch_interrupt_bit)
            return 0x21
        }
        let runner = OnThread { if case .attention = bench.cpu.run() { true } else { false } }
        for round in 0..<200 {
            bench.exits.set(ch_interrupt_bit)
            bench.cpu.kick()
            while taken.look() <= round { spin() }
        }
        bench.exits.set(ch_leave_bit)
        bench.cpu.kick()
        #expect(runner.join())
    }

    /// While the guest loops in its RAM, the map around it changes; the guest never sees a hole.
    @Test(.timeLimit(.minutes(30)), arguments: EngineKind.here) func memoryMapChangesUnderARunningGuest(
        engine: EngineKind
    ) async throws {
        let bench = try GuestBench(Guests.spin32, .protected, engine)
        let runner = OnThread { if case .attention = bench.cpu.run() { true } else { false } }
        let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { page.deallocate() }
        let whole = MappedMemory(address: 0, length: UInt64(GuestBench.ramBytes), host: bench.ram, isReadOnly: false)
        let low = MappedMemory(address: 0, length: 0x8000, host: bench.ram, isReadOnly: false)
        let other = MappedMemory(address: 0x8000, length: 4096, host: page, isReadOnly: true)
        for _ in 0..<200 {
            try bench.engine.setMemory([low, other])
            try bench.engine.setMemory([whole])
        }
        bench.exits.set(ch_leave_bit)
        bench.cpu.kick()
        #expect(runner.join())
    }
}
