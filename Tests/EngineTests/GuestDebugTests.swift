import CBackplane
import CHost
import Core
import Glibc
import Testing

@testable import EngineKVM

/// What the guest does to debug itself: TF and DR0 to DR7. Source: SDM volume 3, chapter 17. Where KVM emulates supervisor code it does not keep
/// to it, and is not asked.
struct GuestDebugTests {
    static let engines = EngineKind.here.filter { $0 != .kvm || KVMHost.runsSupervisorCode }

    /// Real mode, with a stack; #DB's handler counts at 0x700, keeps IP at 0x704 and DR6 at 0x708, clears both and DR7, and returns.
    private func bench(_ code: [UInt8], _ engine: EngineKind) throws -> GuestBench {
        let bench = try GuestBench([0xbc, 0x00, 0x90] + code, .real, engine)  // mov $0x9000,%sp
        bench.installInterrupts(handler: [
            0x66, 0x50, 0x55,  // push %eax; push %bp
            0x89, 0xe5, 0x8b, 0x46, 0x06,  // mov %sp,%bp; mov 6(%bp),%ax
            0xa3, 0x04, 0x07,  // mov %ax,0x704
            0x0f, 0x21, 0xf0, 0x66, 0xa3, 0x08, 0x07,  // mov %dr6,%eax; mov %eax,0x708
            0x66, 0x31, 0xc0, 0x0f, 0x23, 0xf0, 0x0f, 0x23, 0xf8,  // xor %eax,%eax; mov %eax,%dr6; mov %eax,%dr7
            0xfe, 0x06, 0x00, 0x07,  // incb 0x700
            0x5d, 0x66, 0x58, 0xcf,  // pop %bp; pop %eax; iret
        ])
        bench.ram.storeBytes(of: 0, toByteOffset: 0x700, as: UInt64.self)
        return bench
    }

    /// pushf; pop %ax; or $1,%ah; push %ax; popf
    private static let setTF: [UInt8] = [0x9c, 0x58, 0x80, 0xcc, 0x01, 0x50, 0x9d]
    private static let clearTF: [UInt8] = [0x9c, 0x58, 0x80, 0xe4, 0xfe, 0x50, 0x9d]  // the same with and $0xfe,%ah

    /// Each instruction that begins with TF set ends in a trap: what stands between, and the five that clear it. Those that leave the guest are
    /// no exception.
    @Test(
        arguments: engines,
        [
            ([0x90, 0x90, 0x90], 3),  // nop
            ([0xe6, 0x80, 0xe4, 0x61, 0x90], 3),  // out %al,$0x80; in $0x61,%al; nop
            ([0x0f, 0xa2, 0x90], 2),  // cpuid; nop
            ([0x66, 0xb9, 0x74, 0x01, 0x00, 0x00, 0x0f, 0x32], 2),  // mov $0x174,%ecx; rdmsr
            ([0x8e, 0xd3, 0x90, 0x90], 2),  // mov %bx,%ss, whose trap waits for the next one; nop; nop
        ] as [([UInt8], Int)])
    func trapsComeAfterEachInstruction(engine: EngineKind, code: ([UInt8], Int)) throws {
        let bench = try bench(Self.setTF + code.0 + Self.clearTF + [0xf4], engine)
        try bench.runToHalt()
        #expect(bench.word32(0x700) == code.1 + 5)
        #expect(bench.word32(0x708) & 0xe00f == 0x4000, "BS alone")
        #expect(bench.word32(0x704) == 0x1003 + 7 + code.0.count + 7, "behind the POPF that cleared it")
    }

    /// A fault at the instruction, whose address is pushed.
    @Test(arguments: engines) func instructionBreakpointsAreFaults(engine: EngineKind) throws {
        // mov $0x1016,%eax; mov %eax,%dr0; mov $0x402,%eax; mov %eax,%dr7; nop; nop; hlt
        let code: [UInt8] = [
            0x66, 0xb8, 0x16, 0x10, 0, 0, 0x0f, 0x23, 0xc0, 0x66, 0xb8, 0x02, 0x04, 0, 0, 0x0f, 0x23, 0xf8, 0x90, 0x90,
            0xf4,
        ]
        let bench = try bench(code, engine)
        try bench.runToHalt()
        #expect(bench.word32(0x700) == 1)
        #expect(bench.word32(0x704) == 0x1016)
        #expect(bench.word32(0x708) & 0xe00f == 1)
    }

    /// A trap behind the instruction that wrote.
    @Test(arguments: engines) func dataBreakpointsAreTraps(engine: EngineKind) throws {
        // mov $0x802,%eax; mov %eax,%dr1; mov $0x100408,%eax: DR1 is global, writes, 1 byte; mov %eax,%dr7;
        // mov 0x802,%al; mov %al,0x800; mov %ax,0x801; nop; hlt
        let code: [UInt8] = [
            0x66, 0xb8, 0x02, 0x08, 0, 0, 0x0f, 0x23, 0xc8, 0x66, 0xb8, 0x08, 0x04, 0x10, 0, 0x0f, 0x23, 0xf8,
            0xa0, 0x02, 0x08, 0xa2, 0x00, 0x08, 0xa3, 0x01, 0x08, 0x90, 0xf4,
        ]
        let bench = try bench(code, engine)
        try bench.runToHalt()
        #expect(bench.word32(0x700) == 1)
        #expect(bench.word32(0x704) == 0x101e)
        #expect(bench.word32(0x708) & 0xe00f == 2)
    }

    /// F1 is a trap: IP is behind it, and no bit of DR6 says why.
    @Test(arguments: engines) func icebpIsATrap(engine: EngineKind) throws {
        let bench = try bench([0xf1, 0x90, 0xf4], engine)
        // Any other vector halts at once.
        bench.store([0xf4], at: 0x5100)
        for vector in 0..<256 where vector != 1 {
            bench.ram.storeBytes(of: 0x5100, toByteOffset: vector * 4, as: UInt32.self)
        }
        try bench.runToHalt()
        withKnownIssue("QEMU's TCG (7.2) raises #UD for it, with and without KVM") {
            #expect(bench.word32(0x700) == 1)
            #expect(bench.word32(0x704) == 0x1004)
            #expect(bench.word32(0x708) & 0xe00f == 0)
        } when: {
            engine == .kvm && KVMHost.box == "tcg"
        }
    }

    /// While a debugger has debug registers in use, #DB leaves the guest: what is the guest's own is given back to it.
    @Test(arguments: engines) func theGuestsOwnTrapsAreItsOwnUnderADebugger(engine: EngineKind) throws {
        let bench = try bench(Self.setTF + [0x90, 0x90] + Self.clearTF + [0xf4], engine)
        try bench.cpu.setDebug(DebugControl(hardware: [.init(address: 0x8_0000, length: 4, kind: .write)]))
        var given = 0
        while true {
            let end = bench.cpu.run()
            if case .halted = end { break }
            guard case .debug(let event) = end, given < 20 else { throw GuestBench.UnexpectedEnd(end: end) }
            #expect(event.kind == .singleStep && event.dr6 & 0x4000 != 0)
            try bench.cpu.giveBack(.trap(dr6: event.dr6))
            given += 1
        }
        #expect(bench.word32(0x700) == 7)
        #expect(given == (engine == .kvm ? 7 : 0))
    }
}

/// What this host's KVM is, of which tests speak.
enum KVMHost {
    /// The host in a box (scripts/kvm-box.sh): "tcg"; nil: none.
    static let box: String? = getenv("BACKPLANE_BOX").map { String(cString: $0) }
    /// False: it emulates supervisor code, an instruction at a time.
    static let runsSupervisorCode = kvmIsHere && (box != nil || (KVMEngine.supervisorSpeed() ?? 0) >= 200e6)

    /// What needs a debugger's breakpoints: a known issue where they do not work, which a KVM that has them shows by failing the test. The same for
    /// its data breakpoints alone.
    static func withBreakpoints(_ engine: EngineKind, data: Bool = false, _ body: () throws -> Void) throws {
        try withKnownIssue(
            box == "tcg"
                ? "QEMU's TCG (7.2) loads DR7 at VMRUN without its breakpoints, and does not ask for #BP of INT3"
                : "a KVM that emulates supervisor code lets no data breakpoint through",
            isIntermittent: box == nil
        ) {
            try body()
        } when: {
            engine == .kvm && (box == "tcg" || data && !runsSupervisorCode)
        }
    }

    /// A TR that is busy, as every loaded one is (SDM volume 3, 7.2.2), ends QEMU's TCG (7.2) with "invalid tss type" at the first transfer between rings,
    /// because its own LTR leaves it available: there a guest starts so.
    static func prepareTask(_ cpu: any CPU) throws {
        guard box == "tcg", let cpu = cpu as? KVMCPU else { return }
        var system = kvm_sregs()
        try #require(ch_kvm_get_sregs(cpu.core.pointee.fd, &system) == 0)
        system.tr.type = 9
        try #require(ch_kvm_set_sregs(cpu.core.pointee.fd, &system) == 0)
    }
}
