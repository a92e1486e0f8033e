import CBackplane
import Core
import EngineSoft
import Testing

/// Exits that only a CPU in software delivers to policies. Reasons: SDM volume 3, appendix C.
struct SoftExitTests {
    static let engines: [EngineKind] = [.soft, .softByInstruction]

    // MARK: Instructions with a result

    /// mov $leaf,%eax; mov $5,%ecx; cpuid; EBX, ECX, EDX and EAX to 0x700; hlt
    private func cpuid(_ leaf: UInt8) -> [UInt8] {
        [
            0xb8, leaf, 0, 0, 0, 0xb9, 5, 0, 0, 0, 0x0f, 0xa2, 0x89, 0x1d, 0, 7, 0, 0, 0x89, 0x0d, 4, 7, 0, 0, 0x89,
            0x15, 8, 7, 0, 0, 0xa3, 0x0c, 7, 0, 0, 0xf4,
        ]
    }

    @Test(arguments: engines) func cpuidIsAnsweredByItsLeaf(engine: EngineKind) throws {
        let bench = try GuestBench(cpuid(1), .protected, engine)
        try bench.intercept(10, first: 1, last: 1)
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { exit in
            seen.append([UInt64(exit.reason), exit.address, exit.extra.0, exit.rip, UInt64(exit.width)])
            exit.value = 0x0a0a_0a0a
            exit.extra = (5, 0x0b0b_0b0b, 0x0c0c_0c0c, 0x0d0d_0d0d)
            return .handled
        }
        try bench.runToHalt()
        #expect(seen == [[10, 1, 5, 0x100a, 2]])
        #expect(bench.word64(0x700) == 0x0c0c_0c0c_0b0b_0b0b)
        #expect(bench.word64(0x708) == 0x0a0a_0a0a_0d0d_0d0d)
    }

    /// What a policy is shown is what the CPU would say, and it may change a part of it.
    @Test(arguments: engines) func cpuidShowsWhatTheCPUSays(engine: EngineKind) throws {
        let plain = try GuestBench(cpuid(0), .protected, engine)
        try plain.intercept(10, first: 1, last: .max)
        plain.exits.onEvent = { exit in
            Issue.record("leaf \(exit.address) was not asked for")
            return .handled
        }
        try plain.runToHalt()
        let bench = try GuestBench(cpuid(0), .protected, engine)
        try bench.intercept(10)
        var shown: [UInt64] = []
        bench.exits.onEvent = { exit in
            shown = [exit.extra.1, exit.extra.2, exit.extra.3, exit.value]
            exit.value = 0x55
            return .handled
        }
        try bench.runToHalt()
        let own = stride(from: 0x700, to: 0x710, by: 4).map { UInt64(plain.word32($0)) }
        #expect(shown == own && own[3] >= 1)
        #expect(bench.word64(0x700) == plain.word64(0x700))
        #expect(bench.word32(0x70c) == 0x55)
    }

    /// rdtsc; EAX and EDX to 0x700; hlt
    @Test(arguments: engines) func rdtscIsAnswered(engine: EngineKind) throws {
        let code: [UInt8] = [0x0f, 0x31, 0xa3, 0, 7, 0, 0, 0x89, 0x15, 4, 7, 0, 0, 0xf4]
        let bench = try GuestBench(code, .protected, engine)
        try bench.intercept(16)
        bench.exits.onEvent = { exit in
            exit.value = 0x1122_3344_5566_7788
            return .handled
        }
        try bench.runToHalt()
        #expect(bench.word64(0x700) == 0x1122_3344_5566_7788)
    }

    /// mov $0x12345000,%eax; mov %eax,%cr3; mov %cr3,%ebx; mov %ebx,0x700; mov %cr0,%ecx; mov %ecx,0x704; hlt
    private static let control: [UInt8] = [
        0xb8, 0, 0x50, 0x34, 0x12, 0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xdb, 0x89, 0x1d, 0, 7, 0, 0, 0x0f, 0x20, 0xc1, 0x89,
        0x0d, 4, 7, 0, 0, 0xf4,
    ]

    @Test(arguments: engines) func movesToAndFromAControlRegisterAreSeen(engine: EngineKind) throws {
        let bench = try GuestBench(Self.control, .protected, engine)
        try bench.intercept(28, first: 3, last: 3)
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { exit in
            seen.append([exit.address, UInt64(exit.flags & 1), exit.value, exit.rip])
            return .unhandled
        }
        try bench.runToHalt()
        #expect(seen == [[3, 1, 0x1234_5000, 0x1005], [3, 0, 0x1234_5000, 0x1008]])
        #expect(bench.word32(0x700) == 0x1234_5000)
    }

    @Test(arguments: engines) func aPolicyKeepsAControlRegisterForItself(engine: EngineKind) throws {
        let bench = try GuestBench(Self.control, .protected, engine)
        try bench.intercept(28, first: 3, last: 3)
        bench.exits.onEvent = { exit in
            if exit.flags & 1 == 0 { exit.value = 0xabc_d000 }
            return .handled
        }
        try bench.runToHalt()
        #expect(bench.word32(0x700) == 0xabc_d000)
        #expect(bench.word32(0x704) == 0x11, "CR0 is the CPU's own")
        #expect(try bench.cpu.registers().cr3 == 0)
    }

    // MARK: Every other instruction

    struct Asked: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var reason: Int
        var code: [UInt8]
        init(_ text: String, _ reason: Int, _ code: [UInt8]) {
            (testDescription, self.reason, self.code) = (text, reason, code)
        }
    }

    static let instructions = [
        Asked("invlpg (%ebx)", 14, [0x0f, 0x01, 0x3b]), Asked("rdpmc", 15, [0x0f, 0x33]),
        Asked("vmcall", 18, [0x0f, 0x01, 0xc1]), Asked("vmlaunch", 20, [0x0f, 0x01, 0xc2]),
        Asked("vmresume", 24, [0x0f, 0x01, 0xc3]), Asked("vmxoff", 26, [0x0f, 0x01, 0xc4]),
        Asked("vmclear (%ebx)", 19, [0x66, 0x0f, 0xc7, 0x33]), Asked("vmptrld (%ebx)", 21, [0x0f, 0xc7, 0x33]),
        Asked("vmxon (%ebx)", 27, [0xf3, 0x0f, 0xc7, 0x33]), Asked("vmread %eax,%ecx", 23, [0x0f, 0x78, 0xc1]),
        Asked("mov %dr7,%eax", 29, [0x0f, 0x21, 0xf8]), Asked("mov %eax,%dr0", 29, [0x0f, 0x23, 0xc0]),
        Asked("mwait", 36, [0x0f, 0x01, 0xc9]), Asked("monitor", 39, [0x0f, 0x01, 0xc8]),
        Asked("pause", 40, [0xf3, 0x90]), Asked("lgdt (%ebx)", 46, [0x0f, 0x01, 0x13]),
        Asked("sidt (%ebx)", 46, [0x0f, 0x01, 0x0b]), Asked("sldt %eax", 47, [0x0f, 0x00, 0xc0]),
        Asked("rdtscp", 51, [0x0f, 0x01, 0xf9]), Asked("wbinvd", 54, [0x0f, 0x09]), Asked("clts", 28, [0x0f, 0x06]),
        Asked("rdrand %eax", 57, [0x0f, 0xc7, 0xf0]), Asked("rdseed %eax", 61, [0x0f, 0xc7, 0xf8]),
        Asked("invpcid (%ebx),%eax", 58, [0x66, 0x0f, 0x38, 0x82, 0x03]),
    ]

    /// The policy has done it: the guest goes on behind it.
    @Test(arguments: instructions, engines) func instructionIsAskedAboutOnce(asked: Asked, engine: EngineKind) throws {
        // nop; the instruction; hlt
        let bench = try GuestBench([0x90] + asked.code + [0xf4], .protected, engine)
        var state = try bench.cpu.registers()
        state.general.3 = 0x6000  // EBX
        try bench.cpu.setRegisters(state)
        try bench.intercept(asked.reason)
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { [unowned bench] exit in
            seen.append([UInt64(exit.reason), exit.rip, UInt64(exit.width)])
            #expect((try? bench.cpu.registers().rip) == 0x1001)
            return .handled
        }
        guard case .halted(_, let rip) = bench.cpu.run() else { return #expect(Bool(false), "\(seen)") }
        #expect(seen == [[UInt64(asked.reason), 0x1001, UInt64(asked.code.count)]])
        #expect(rip == UInt64(0x1002 + asked.code.count))
    }

    @Test(arguments: instructions, engines) func anInjectedFaultIsAtTheInstruction(asked: Asked, engine: EngineKind)
        throws
    {
        let bench = try GuestBench([0x90] + asked.code + [0xf4], .protected, engine)
        try bench.intercept(asked.reason, 0)
        var faults: [[UInt64]] = []
        bench.exits.onEvent = { [exits = bench.exits] exit in
            if exit.reason != 0 { return .inject(vector: 13, errorCode: 0x18) }
            faults.append([exit.address, exit.value, UInt64(exit.flags & 32), exit.rip])
            exits.set(ch_leave_bit)
            return .handled
        }
        guard case .attention = bench.cpu.run() else { return #expect(Bool(false), "\(faults)") }
        #expect(faults == [[13, 0x18, 32, 0x1001]])
    }

    // MARK: Exceptions

    /// Real mode: the handler of all vectors does OUT 0x90, that of #GP OUT 0x91.
    private func exceptions(_ code: [UInt8], _ engine: EngineKind) throws -> (GuestBench, ports: () -> [UInt16]) {
        let bench = try GuestBench([0xbc, 0x00, 0x90] + code, .real, engine)  // mov $0x9000,%sp
        bench.installInterrupts(handler: [0xe6, 0x90, 0xf4])
        bench.store([0xe6, 0x91, 0xf4], at: 0x5100)
        bench.store([0x00, 0x51, 0x00, 0x00], at: 13 * 4)
        let ports = Ports()
        bench.exits.onPortWrite = { port, _, _ in ports.list.append(port) }
        return (bench, { ports.list })
    }

    private final class Ports { var list: [UInt16] = [] }

    @Test(arguments: engines) func exceptionsComeByVector(engine: EngineKind) throws {
        // ud2 with only #DE asked for; then with #UD
        for (vector, count) in [(0, 0), (6, 1)] as [(UInt64, Int)] {
            let (bench, ports) = try exceptions([0x0f, 0x0b], engine)
            try bench.intercept(0, first: vector, last: vector)
            var seen: [[UInt64]] = []
            bench.exits.onEvent = { exit in
                seen.append([exit.address, exit.rip, UInt64(exit.flags & 32)])
                return .unhandled
            }
            try bench.runToHalt()
            #expect(seen == Array(repeating: [6, 0x1003, 0], count: count))
            #expect(ports() == [0x90], "the guest gets it too")
        }
    }

    /// An external interrupt becomes #GP where there is no IDT: three faults, and the CPU shuts down.
    @Test(arguments: engines) func anInjectionThatTripleFaultsShutsDown(engine: EngineKind) throws {
        // sti; nop; jmp to the nop
        let bench = try GuestBench([0xfb, 0x90, 0xeb, 0xfd], .protected, engine)
        try bench.intercept(1)
        bench.exits.onAcknowledge = { [exits = bench.exits] in
            exits.clear(ch_interrupt_bit)
            return 0x30
        }
        bench.exits.onEvent = { _ in .inject(vector: 13, errorCode: 0) }
        bench.exits.set(ch_interrupt_bit)
        guard case .shutdown = bench.cpu.run() else { return #expect(Bool(false), "no shutdown") }
    }

    /// A page table in a device: the exit of the walk is one of the instruction whose operand it is for, not of its block's first.
    @Test(arguments: engines) func anExitOfAPageWalkIsOfItsInstruction(engine: EngineKind) throws {
        // nop; mov 0x400010,%eax; hlt
        let bench = try GuestBench([0x90, 0xa1, 0x10, 0, 0x40, 0, 0xf4], .protected, engine)
        var state = try bench.cpu.registers()
        (state.cr3, state.cr0) = (0x10000, 0x8000_0011)
        func store(_ value: UInt32, at address: Int) {
            bench.ram.storeBytes(of: value, toByteOffset: address, as: UInt32.self)
        }
        store(0x11003, at: 0x10000)
        store(0xd0003, at: 0x10004)
        for page in 0..<16 { store(UInt32(page << 12) | 3, at: 0x11000 + page * 4) }
        store(0x1234_5678, at: 0x9010)
        try bench.cpu.setRegisters(state)
        try bench.intercept(48)
        var seen: [UInt64] = []
        bench.exits.onEvent = { exit in
            seen += [exit.address, exit.rip]
            return .unhandled
        }
        bench.exits.onMemoryRead = { _, _ in 0x9063 }
        try bench.runToHalt()
        #expect(seen == [0xd0000, 0x1001])
        #expect(try bench.cpu.registers().general.0 == 0x1234_5678)
    }

    @Test(arguments: engines) func aPolicyEmulatesAnOpcode(engine: EngineKind) throws {
        // ud2; out %al,$0x80; hlt
        let (bench, ports) = try exceptions([0x0f, 0x0b, 0xe6, 0x80, 0xf4], engine)
        try bench.intercept(0, first: 6, last: 6)
        bench.exits.onEvent = { [unowned bench] exit in
            do {
                var state = try bench.cpu.registers()
                state.rip += 2
                try bench.cpu.setRegisters(state)
            } catch { Issue.record(error) }
            return .handled
        }
        try bench.runToHalt()
        #expect(ports() == [0x80])
    }

    @Test(arguments: engines) func anExceptionBecomesAnother(engine: EngineKind) throws {
        let (bench, ports) = try exceptions([0x0f, 0x0b], engine)
        try bench.intercept(0, first: 6, last: 6)
        bench.exits.onEvent = { _ in .inject(vector: 13, errorCode: 0) }
        try bench.runToHalt()
        #expect(ports() == [0x91])
    }

    /// mov 0x40000000,%rax: behind the tables. The bits of the code: not present, read, supervisor.
    @Test(arguments: engines) func pageFaultCarriesItsCodeAndAddress(engine: EngineKind) throws {
        let bench = try GuestBench([0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0x40, 0xf4], .long, engine)
        try bench.intercept(0, first: 14, last: 14)
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { exit in
            seen.append([exit.address, exit.value, UInt64(exit.flags & 32), exit.extra.0, exit.rip])
            return .unhandled
        }
        guard case .shutdown = bench.cpu.run() else { return #expect(Bool(false), "there is no IDT") }
        #expect(seen == [[14, 0, 32, 0x4000_0000, 0x1000]])
    }

    // MARK: Interrupts

    @Test(arguments: engines, [true, false]) func externalInterruptIsThePolicysOrTheGuests(
        engine: EngineKind, takes: Bool
    ) throws {
        let bench = try GuestBench(Guests.idle16, .real, engine)
        bench.installInterrupts(handler: Guests.handler16)
        try bench.intercept(1, first: 0x20, last: 0x20)
        var ports: [UInt16] = []
        var vectors: [UInt64] = []
        var vector: UInt8 = 0x20
        bench.exits.onPortWrite = { port, _, _ in ports.append(port) }
        bench.exits.onAcknowledge = { [exits = bench.exits] in
            exits.clear(ch_interrupt_bit)
            return vector
        }
        bench.exits.onEvent = { exit in
            vectors.append(exit.address)
            return takes ? .handled : .unhandled
        }
        try bench.runToHalt()
        // The second one was not asked for.
        for next in [0x20, 0x21] as [UInt8] {
            vector = next
            bench.exits.set(ch_interrupt_bit)
            try bench.runToHalt()
        }
        #expect(vectors == [0x20])
        #expect(ports.filter { $0 == 0x90 }.count == (takes ? 1 : 2))
    }

    // MARK: Precise injection

    /// After OUT, KVM's RIP is past it; here the fault is at the instruction, which has not happened.
    @Test(arguments: engines) func generalProtectionAtAnOutIsPrecise(engine: EngineKind) throws {
        // out %al,$0x80; hlt. The handler of #GP: pop %ax; mov %ax,0x700; hlt
        let (bench, ports) = try exceptions([0xe6, 0x80, 0xf4], engine)
        bench.store([0x58, 0xa3, 0x00, 0x07, 0xf4], at: 0x5100)
        bench.exits.want([30])
        var seen: [[UInt64]] = []
        bench.exits.onEvent = { exit in
            seen.append([exit.address, UInt64(exit.flags & 1), exit.rip])
            return .inject(vector: 13, errorCode: 0)
        }
        try bench.runToHalt()
        #expect(seen == [[0x80, 1, 0x1003]])
        #expect(bench.word32(0x700) & 0xffff == 0x1003, "what the handler returns to")
        #expect(ports() == [], "the access did not happen")
    }
}
