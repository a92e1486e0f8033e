import CBackplane
import CHost
import Core
import Testing

/// What engines do for a debugger, beside what ExitTests shows. Source: SDM volume 3, chapter 17.
struct DebuggerTests {
    private static let softKinds: [EngineKind] = [.soft, .softByInstruction]

    private func debugEvent(_ bench: GuestBench) throws -> DebugEvent {
        let end = bench.cpu.run()
        guard case .debug(let event) = end else { throw GuestBench.UnexpectedEnd(end: end) }
        return event
    }

    // MARK: Breakpoints of the software engine

    /// 0x201000 is another mapping of 0x1000: decoded blocks belong to the page, the breakpoint to the address.
    @Test(arguments: softKinds) func breakpointsAreOfLinearAddresses(engine: EngineKind) throws {
        let bench = try GuestBench([0x90, 0x90, 0x90, 0xf4], .long, engine)  // nop; nop; nop; hlt
        bench.ram.storeBytes(of: 0x83, toByteOffset: 0x4008, as: UInt64.self)
        try bench.runToHalt()
        try bench.cpu.setDebug(DebugControl(breakpoints: [0x20_1001]))
        var state = try bench.cpu.registers()
        state.rip = 0x1000
        try bench.cpu.setRegisters(state)
        try bench.runToHalt()
        state.rip = 0x20_1000
        try bench.cpu.setRegisters(state)
        let event = try debugEvent(bench)
        #expect(event.kind == .softwareBreakpoint && event.rip == 0x20_1001)
        #expect(try bench.cpu.registers().rip == 0x20_1001)
        try bench.cpu.setDebug(DebugControl())
        try bench.runToHalt()
        #expect(try bench.cpu.registers().rip == 0x20_1004)
    }

    /// The breakpoint comes before the fault of the fetch (SDM volume 3, table 6-2).
    @Test(arguments: softKinds) func aBreakpointComesBeforeThePageFaultOfItsInstruction(engine: EngineKind) throws {
        // movabs $0x40000000,%rax; jmp *%rax
        let code: [UInt8] = [0x48, 0xb8, 0, 0, 0, 0x40, 0, 0, 0, 0, 0xff, 0xe0]
        let bench = try GuestBench(code, .long, engine)
        try bench.cpu.setDebug(DebugControl(breakpoints: [0x4000_0000]))
        #expect(try debugEvent(bench).rip == 0x4000_0000)
        #expect(try bench.cpu.registers().cr2 == 0)
    }

    /// A loop that is decoded and chained already; each of its addresses in turn.
    @Test(arguments: softKinds) func breakpointsAreSeenInCodeThatHasRun(engine: EngineKind) throws {
        // mov $5,%ecx; l: inc %eax; inc %edx; loop l; hlt
        let code: [UInt8] = [0xb9, 0x05, 0, 0, 0, 0x40, 0x42, 0xe2, 0xfc, 0xf4]
        for address in [0x1005, 0x1006, 0x1007] as [UInt64] {
            let bench = try GuestBench(code, .protected, engine)
            try bench.runToHalt()
            var state = try bench.cpu.registers()
            state.rip = 0x1000
            state.general.0 = 0
            try bench.cpu.setRegisters(state)
            for round in 0..<5 as Range<UInt64> {
                try bench.cpu.setDebug(DebugControl(breakpoints: [address, 0x1800]))
                let event = try debugEvent(bench)
                #expect(event.kind == .softwareBreakpoint && event.rip == address)
                #expect(try bench.cpu.registers().general.0 == round + (address > 0x1005 ? 1 : 0))
                try bench.cpu.setDebug(DebugControl(singleStep: true))
                #expect(try debugEvent(bench).kind == .singleStep)
            }
            try bench.cpu.setDebug(DebugControl(breakpoints: [address]))
            try bench.runToHalt()
        }
    }

    // MARK: Steps

    /// Each round of a repeated instruction ends a step, and the last one ends the instruction.
    @Test(arguments: softKinds) func repeatedInstructionsAreSteppedRoundByRound(engine: EngineKind) throws {
        // mov $0x700,%esi; mov $0x800,%edi; mov $3,%ecx; rep movsb; hlt
        let code: [UInt8] = [
            0xbe, 0, 7, 0, 0, 0xbf, 0, 8, 0, 0, 0xb9, 3, 0, 0, 0, 0xf3, 0xa4, 0xf4,
        ]
        let bench = try GuestBench(code, .protected, engine)
        bench.store([1, 2, 3], at: 0x700)
        try bench.cpu.setDebug(DebugControl(singleStep: true))
        for _ in 0..<3 { _ = try debugEvent(bench) }
        for left in [2, 1] as [UInt64] {
            #expect(try debugEvent(bench).rip == 0x100f)
            #expect(try bench.cpu.registers().general.1 == left)
        }
        #expect(try debugEvent(bench).rip == 0x1011)
        #expect(bench.word32(0x800) == 0x0003_0201)
    }

    /// A watchpoint in the middle of a repeated instruction stops it there.
    @Test(arguments: softKinds) func watchpointsStopRepeatedInstructions(engine: EngineKind) throws {
        // mov $0x800,%edi; mov $8,%ecx; rep stosb; hlt
        let bench = try GuestBench([0xbf, 0, 8, 0, 0, 0xb9, 8, 0, 0, 0, 0xf3, 0xaa, 0xf4], .protected, engine)
        try bench.cpu.setDebug(DebugControl(hardware: [.init(address: 0x804, length: 2, kind: .write)]))
        for left in [3, 2] as [UInt64] {
            let event = try debugEvent(bench)
            #expect(event.kind == .hardwareBreakpoint && event.dr6 & 15 == 1 && event.rip == 0x100a)
            #expect(try bench.cpu.registers().general.1 == left)
        }
        try bench.runToHalt()
    }

    /// An instruction that raises an exception, and INT n: the step ends at the first instruction of the handler.
    @Test(arguments: softKinds, [[0x0f, 0x0b], [0xcd, 0x20], [0xcc]] as [[UInt8]])
    func stepsGoIntoHandlers(engine: EngineKind, code: [UInt8]) throws {
        let bench = try GuestBench(code + [0xf4], .real, engine)
        bench.installInterrupts(handler: [0x90, 0xcf])
        var state = try bench.cpu.registers()
        state.general.4 = 0x9000
        try bench.cpu.setRegisters(state)
        try bench.cpu.setDebug(DebugControl(singleStep: true, holdsInterrupts: true))
        #expect(try debugEvent(bench).rip == 0x5000)
        #expect(try debugEvent(bench).rip == 0x5001)
    }

    /// An interrupt that waits: held, the step is of the code that runs; not held, it ends at the handler.
    @Test(arguments: EngineKind.here) func heldInterruptsWaitForTheEndOfTheStep(engine: EngineKind) throws {
        let bench = try GuestBench([0x90, 0x90, 0x90, 0xf4], .real, engine)
        bench.installInterrupts(handler: [0xe6, 0x90, 0xf4])  // out %al,$0x90; hlt
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        bench.exits.onAcknowledge = {
            bench.exits.clear(ch_attention_interrupt)
            return 0x20
        }
        var state = try bench.cpu.registers()
        state.rflags |= 0x200
        state.general.4 = 0x9000
        try bench.cpu.setRegisters(state)
        bench.exits.set(ch_attention_interrupt)
        try bench.cpu.setDebug(DebugControl(singleStep: true, holdsInterrupts: true))
        #expect(try debugEvent(bench).rip == 0x1001)
        #expect(try debugEvent(bench).rip == 0x1002)
        #expect(ports.isEmpty)
        if engine != .kvm {
            try bench.cpu.setDebug(DebugControl(singleStep: true))
            #expect(try debugEvent(bench).rip == 0x5000)
        }
        try bench.cpu.setDebug(DebugControl())
        try bench.runToHalt()
        #expect(ports == [0x90])
    }

    /// TF is the guest's, the step the debugger's: the guest gets its #DB, and the step ends at its handler (SDM volume 3, 17.3.1.4).
    @Test(arguments: softKinds) func theGuestsOwnSingleStepIsDelivered(engine: EngineKind) throws {
        let bench = try GuestBench([0x90, 0x90, 0xf4], .real, engine)
        bench.installInterrupts(handler: [0xe6, 0x90, 0xf4])
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        var state = try bench.cpu.registers()
        state.rflags |= 0x100
        state.general.4 = 0x9000
        try bench.cpu.setRegisters(state)
        try bench.cpu.setDebug(DebugControl(singleStep: true))
        #expect(try debugEvent(bench).rip == 0x5000)
        #expect(try bench.cpu.registers().dr.6 & 0x4000 != 0)
        try bench.cpu.setDebug(DebugControl())
        try bench.runToHalt()
        #expect(ports == [0x90])
    }

    /// Both watch the same byte: the guest's #DB is delivered, and the debugger stops at its handler.
    @Test(arguments: softKinds) func guestAndDebuggerHaveDebugRegistersOfTheirOwn(engine: EngineKind) throws {
        // mov %al,0x700; hlt
        let bench = try GuestBench([0xa2, 0x00, 0x07, 0xf4], .real, engine)
        bench.installInterrupts(handler: [0xe6, 0x90, 0xf4])
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        var state = try bench.cpu.registers()
        state.general.4 = 0x9000
        state.dr.1 = 0x700
        state.dr.7 = 0x0010_0408  // G1, write, one byte
        try bench.cpu.setRegisters(state)
        try bench.cpu.setDebug(DebugControl(hardware: [.init(address: 0x700, length: 4, kind: .access)]))
        let event = try debugEvent(bench)
        #expect(event.kind == .hardwareBreakpoint && event.dr6 & 15 == 1 && event.rip == 0x5000)
        #expect(try bench.cpu.registers().dr.6 & 15 == 2)
        try bench.runToHalt()
        #expect(ports == [0x90])
    }

    /// SDM volume 3, 6.8.3: after MOV SS a step ends, but an interrupt still waits for the instruction behind it.
    @Test(arguments: softKinds) func aShadowOutlastsTheStop(engine: EngineKind) throws {
        // mov %ax,%ss; nop; nop; hlt
        let bench = try GuestBench([0x8e, 0xd0, 0x90, 0x90, 0xf4], .real, engine)
        bench.installInterrupts(handler: [0xf4])
        bench.exits.onAcknowledge = {
            bench.exits.clear(ch_attention_interrupt)
            return 0x20
        }
        var state = try bench.cpu.registers()
        state.rflags |= 0x200
        state.general.4 = 0x9000
        try bench.cpu.setRegisters(state)
        try bench.cpu.setDebug(DebugControl(singleStep: true))
        #expect(try debugEvent(bench).rip == 0x1002)
        bench.exits.set(ch_attention_interrupt)
        #expect(try debugEvent(bench).rip == 0x1003, "the NOP runs before the interrupt")
        #expect(try debugEvent(bench).rip == 0x5000)
    }

    /// 64-bit code in ring 3. There are KVMs that let no data breakpoint through (PVM, Linux 6.18): a known issue.
    @Test(arguments: EngineKind.here) func watchpointsStopUserCode(engine: EngineKind) throws {
        // nop; mov %eax,0x704; hlt, which faults in ring 3, and without an IDT shuts the CPU down
        let bench = try GuestBench([0x90, 0x89, 0x04, 0x25, 0x04, 0x07, 0x00, 0x00, 0xf4], .long, engine)
        for (place, entry) in [(0x2000, 0x3007), (0x3000, 0x4007), (0x4000, 0x87)] as [(Int, UInt64)] {
            bench.ram.storeBytes(of: entry, toByteOffset: place, as: UInt64.self)
        }
        var state = try bench.cpu.registers()
        state.cs.selector = 0x1b
        state.cs.attributes = 0xa0fb
        for path in [\bp_registers.ds, \bp_registers.es, \bp_registers.ss, \bp_registers.fs, \bp_registers.gs] {
            state[keyPath: path].selector = 0x13
            state[keyPath: path].attributes = 0xc0f3
        }
        state.idtr_limit = 0
        try bench.cpu.setRegisters(state)
        try bench.cpu.setDebug(
            DebugControl(hardware: [
                .init(address: 0x700, length: 4, kind: .write), .init(address: 0x704, length: 4, kind: .write),
            ]))
        try KVMHost.withBreakpoints(engine, data: true) {
            let end = bench.cpu.run()
            guard case .debug(let event) = end else { throw GuestBench.UnexpectedEnd(end: end) }
            #expect(event.kind == .hardwareBreakpoint && event.dr6 & 15 == 2 && event.rip == 0x1008)
        }
    }

    // MARK: Other registers

    @Test(arguments: EngineKind.here) func modelSpecificRegistersAreRead(engine: EngineKind) throws {
        let bench = try GuestBench([0xf4], .protected, engine)
        #expect(try bench.cpu.readMSR(0x174) == 0)
        #expect(try bench.cpu.readMSR(0x1234) == nil)
        #expect(try bench.cpu.floatingState().mxcsr == 0x1f80)
    }

    /// #BP and #DB that an engine has handed out, given back in real mode: the vector's handler runs.
    @Test(.enabled(if: kvmIsHere, needsKVM), arguments: [DebugException.breakpoint, .trap(dr6: 0x4000)])
    func anExceptionThatWasTheGuestsIsGivenBack(exception: DebugException) throws {
        // A #BP stands at its INT3: KVM finds out its length.
        let bench = try GuestBench([exception == .breakpoint ? 0xcc : 0x90, 0xf4], .real, .kvm)
        bench.installInterrupts(handler: [0xe6, 0x90, 0xf4])
        var ports: [UInt16] = []
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        var state = try bench.cpu.registers()
        state.general.4 = 0x9000
        try bench.cpu.setRegisters(state)
        try bench.cpu.giveBack(exception)
        try bench.runToHalt()
        #expect(ports == [0x90])
        #expect(try bench.cpu.registers().rip == 0x5003)
    }
}
