import CBackplane
import CHost
import Core
import Testing

@testable import EngineKVM

@Suite(.enabled(if: kvmIsHere, needsKVM))
struct StateTests {
    // MARK: Reset

    /// SDM volume 3, table 11-1.
    @Test func resetIsTheStateOfThePowerOnTable() throws {
        let bench = try GuestBench(Guests.memory64, .long)
        try bench.runToHalt()
        try bench.cpu.reset()
        let state = try bench.cpu.registers()
        #expect(state.cs.selector == 0xf000 && state.cs.base == 0xffff_0000 && state.cs.limit == 0xffff)
        #expect(state.rip == 0xfff0 && state.rflags == 2)
        #expect(state.cr0 == 0x6000_0010 && state.cr3 == 0 && state.cr4 == 0 && state.efer == 0)
        #expect(state.ds.base == 0 && state.ds.limit == 0xffff && state.ss.attributes & 0xff == 0x93)
        #expect(state.idtr_limit == 0xffff && state.gdtr_limit == 0xffff)
        #expect(state.dr.6 == 0xffff_0ff0 && state.dr.7 == 0x400)
        #expect(state.general.0 == 0 && state.general.2 >> 8 & 15 >= 6)
        var area = [UInt8](repeating: 0, count: 4096)
        #expect(ch_kvm_get_xsave(bench.engine.vm, bench.cpu.core.pointee.fd, &area) == 0)
        #expect(area[0] == 0x40 && area[1] == 0, "FCW")
        #expect(area[24] == 0x80 && area[25] == 0x1f, "MXCSR")
        var xcr0: UInt64 = 0
        #expect(ch_kvm_get_xcr0(bench.cpu.core.pointee.fd, &xcr0) == 0)
        #expect(xcr0 == 1)
    }

    @Test func resetPutsMSRsBackAndDropsAWaitingInterrupt() throws {
        let bench = try GuestBench(Guests.spin32, .protected)
        let fd = bench.cpu.core.pointee.fd
        #expect(ch_kvm_set_msr(fd, 0x174, 0x1234) == 0)
        #expect(ch_kvm_interrupt(fd, 0x30) == 0)
        try bench.cpu.reset()
        var value: UInt64 = 1
        #expect(ch_kvm_get_msr(fd, 0x174, &value) == 0)
        #expect(value == 0)
        var events = kvm_vcpu_events()
        #expect(ch_kvm_get_events(fd, &events) == 0)
        #expect(events.interrupt.injected == 0)
    }

    @Test func guestStartsAgainAfterAResetOutOfLongMode() throws {
        let bench = try GuestBench(Guests.memory64, .long)
        let rom = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { rom.deallocate() }
        rom.initializeMemory(as: UInt8.self, repeating: 0x90, count: 4096)
        rom.storeBytes(of: 0xf4, toByteOffset: 0xff5, as: UInt8.self)
        let ram = MappedMemory(address: 0, length: UInt64(GuestBench.ramBytes), host: bench.ram, isReadOnly: false)
        try bench.engine.setMemory([ram, .init(address: 0xffff_f000, length: 4096, host: rom, isReadOnly: true)])
        for _ in 0..<3 {
            try bench.runToHalt()
            try bench.cpu.reset()
            guard case .halted(false, 0xfff6) = bench.cpu.run() else {
                Issue.record("not halted in the ROM")
                return
            }
            var state = try bench.cpu.registers()
            bench.enter(.long, &state)
            state.rip = 0x1000
            try bench.cpu.setRegisters(state)
        }
    }

    // MARK: Registers

    @Test(arguments: [GuestBench.Mode.real, .protected, .long])
    func registersComeBackAsSet(mode: GuestBench.Mode) throws {
        let bench = try GuestBench([0xf4], mode)
        var state = try bench.cpu.registers()
        state.general = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
        state.rflags = 0x8d7
        state.cr2 = 0x1234_5000
        state.cr8 = 5
        state.fs.base = 0x12_3450
        state.dr.0 = 0x4000
        state.dr.7 = 0x401
        state.idtr_base = 0x7000
        try bench.cpu.setRegisters(state)
        let back = try bench.cpu.registers()
        let differences = withUnsafeBytes(of: state) { a in
            withUnsafeBytes(of: back) { b in (0..<a.count).filter { a[$0] != b[$0] } }
        }
        #expect(differences == [])
    }

    @Test func registersOfARunningGuestAreAcceptedAgain() throws {
        for (guest, mode) in [
            (Guests.ports16, GuestBench.Mode.real), (Guests.memory32, .protected), (Guests.memory64, .long),
        ] {
            let bench = try GuestBench(guest, mode)
            try bench.runToHalt()
            try bench.cpu.setRegisters(bench.cpu.registers())
        }
    }

    /// A state that KVM alone would refuse is an error too, and leaves the old one.
    @Test func stateThatNoCPUHasIsRefused() throws {
        let bench = try GuestBench([0xf4], .protected)
        var state = try bench.cpu.registers()
        state.cr0 = 0x8000_0010
        #expect(throws: EngineError.self) { try bench.cpu.setRegisters(state) }
        #expect(try bench.cpu.registers().cr0 == 0x11)
    }

    /// Noise never traps: refused or taken, and then the CPU still runs or says why not.
    @Test func noiseInRegistersIsRefusedOrTaken() throws {
        let bench = try GuestBench([0xf4], .protected)
        let good = try bench.cpu.registers()
        var random = SystemRandomNumberGenerator()
        var refused = 0
        for round in 0..<2000 {
            var state = good
            withUnsafeMutableBytes(of: &state) { bytes in
                let fields = round % 2 == 0 ? 1 : 64
                for _ in 0..<fields {
                    bytes[Int.random(in: 8..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
            }
            // There is a KVM (PVM) that cannot hold CR0.PG outside of long mode, and is broken by the attempt.
            state.cr0 &= ~0x8000_0000
            do {
                try bench.cpu.setRegisters(state)
            } catch {
                refused += 1
            }
            try bench.cpu.setRegisters(good)
            let end = bench.cpu.run()
            guard case .halted = end else {
                Issue.record("\(end) after \(state.text)")
                return
            }
        }
        #expect(refused > 500)
    }

    // MARK: Address translation

    @Test func translationFollowsTheGuestsTables() throws {
        let bench = try GuestBench([0xf4], .long)
        bench.ram.storeBytes(of: 0x20_0083, toByteOffset: 0x4000 + 8, as: UInt64.self)
        bench.ram.storeBytes(of: 0, toByteOffset: 0x4000 + 16, as: UInt64.self)
        #expect(try bench.cpu.translate(0x1234) == 0x1234)
        #expect(try bench.cpu.translate(0x20_0010) == 0x20_0010)
        #expect(try bench.cpu.translate(0x40_0000) == nil)
    }

    // MARK: Time

    @Test func ticksOfAPause() {
        #expect(KVMCPU.ticks(nanoseconds: 1_000_000_000, kilohertz: 2_445_428) == 2_445_428_000)
        #expect(KVMCPU.ticks(nanoseconds: 3_600_000_000_000, kilohertz: 3_000_000) == 10_800_000_000_000)
        #expect(KVMCPU.ticks(nanoseconds: .max, kilohertz: 2_000_000) == nil)
    }

    /// There are KVMs that take a TSC offset and keep 0.
    static let tscMoves: Bool = {
        guard kvmIsHere, let bench = try? GuestBench([0xf4], .real) else { return false }
        let fd = bench.cpu.core.pointee.fd
        var offset: UInt64 = 0
        return ch_kvm_set_tsc_offset(fd, 12345) == 0 && ch_kvm_get_tsc_offset(fd, &offset) == 0 && offset == 12345
    }()

    @Test(.enabled(if: tscMoves, "this KVM does not let the TSC be moved")) func tscDoesNotShowAPause() throws {
        let bench = try GuestBench(Guests.tsc32, .protected)
        bench.exits.onPortWrite = { [exits = bench.exits] _, _, _ in exits.set(ch_leave_bit) }
        func sample() -> UInt64 {
            bench.exits.clear(ch_leave_bit)
            guard case .attention = bench.cpu.run() else { return 0 }
            return bench.word64(0x700)
        }
        _ = sample()
        let before = sample()
        // An hour that did not pass would show: a jump back.
        bench.cpu.didPause(nanoseconds: 3_600_000_000_000)
        let after = sample()
        let hour = UInt64(ch_kvm_get_tsc_khz(bench.cpu.core.pointee.fd)) * 3_600_000
        let jump = before &- after
        #expect(jump > hour - hour / 100 && jump < hour + hour / 100)
    }

    // MARK: CPUID

    @Test func cpuidNamesNothingThatTheMachineLacks() throws {
        let bench = try GuestBench(Guests.cpuid32, .protected)
        try bench.runToHalt()
        let (edx, ecx, ebx) = (bench.word32(0x700), bench.word32(0x704), bench.word32(0x708))
        #expect(edx & (1 << 9) == 0, "local APIC")
        #expect(ecx & (1 << 3 | 1 << 21 | 1 << 24) == 0, "MONITOR, x2APIC, TSC deadline")
        #expect(ecx & (1 << 31) != 0, "hypervisor")
        #expect(ebx >> 16 == 1, "APIC id 0, one thread")
        #expect(bench.word32(0x70c) == 0, "KVM's signature")
    }
}

struct CPUIDTests {
    @Test func oneThreadInOneCoreWithoutAnAPIC() {
        func leaf(_ function: UInt32, _ index: UInt32 = 0) -> kvm_cpuid_entry2 {
            var entry = kvm_cpuid_entry2(function: function, index: index)
            (entry.eax, entry.ebx, entry.ecx, entry.edx) = (.max, .max, .max, .max)
            return entry
        }
        let masked = GuestCPUID.masked([
            leaf(1), leaf(4), leaf(0xb), leaf(0xb, 1), leaf(0x4000_0001), leaf(0x8000_0008),
        ])
        #expect(masked.map(\.function) == [1, 4, 0xb, 0x8000_0008, 0x4000_0000])
        #expect(masked[0].edx == 0xefff_fdff, "APIC and HTT off")
        #expect(masked[0].ecx == 0xfedf_7fd7, "MONITOR, VMX, PDCM, x2APIC, TSC deadline off")
        #expect(masked[0].ebx == 0x0001_ffff)
        #expect(masked[1].eax >> 14 == 0, "cores and threads that share the cache")
        #expect(masked[2].eax == 0 && masked[2].ebx == 0)
        #expect(masked[3].ecx == 0)
        #expect(masked[4].eax == 0 && masked[4].ebx == 0)
    }
}

/// Rules that need no KVM.
struct RegisterRuleTests {
    private var good: bp_registers { PowerOn.registers(signature: 0) }

    @Test func stateAfterResetIsLegal() { #expect(RegisterRules.broken(by: good) == nil) }

    struct Broken: Sendable, CustomTestStringConvertible {
        var words: String
        var change: @Sendable (inout bp_registers) -> Void
        init(_ words: String, _ change: @escaping @Sendable (inout bp_registers) -> Void) {
            self.words = words
            self.change = change
        }
        var testDescription: String { words }
    }

    static let broken: [Broken] = [
        .init("PG without PE", { s in s.cr0 = 0x8000_0010 }),
        .init("NW without CD", { s in s.cr0 = 0x2000_0010 }),
        .init("CR0 0x100000010 has reserved bits", { s in s.cr0 = 0x1_0000_0010 }),
        .init("CR8 0x10 is above 15", { s in s.cr8 = 16 }),
        .init("EFER.LMA is not", { s in s.efer = 0x400 }),
        .init("RFLAGS 0x8002 has reserved bits", { s in s.rflags = 0x8002 }),
        .init("RFLAGS.VM in real mode", { s in s.rflags = 0x2_0002 }),
        .init("RIP 0x100000000 is above 4 GiB", { s in s.rip = 1 << 32 }),
        .init("FS's base 0x800000000000 is not canonical", { s in s.fs.base = 1 << 47 }),
        .init("DS has a base above 4 GiB", { s in s.ds.base = 1 << 32 }),
        .init("CS is unusable", { s in s.cs.attributes = 0x19b }),
        .init(
            "CS is not a code segment",
            { s in
                s.cr0 = 0x11
                s.cs.attributes = 0x93
            }),
        .init("SS is not a writable data segment", { s in s.ss.attributes = 0x91 }),
        .init("ES is not marked accessed", { s in s.es.attributes = 0x92 }),
        .init("ES is not present", { s in s.es.attributes = 0x13 }),
        .init("GS counts bytes", { s in s.gs.limit = 0x10_0000 }),
        .init(
            "GS counts pages",
            { s in
                s.gs.attributes = 0x8093
                s.gs.limit = 0x1000
            }),
        .init("TR is not a busy TSS", { s in s.tr.attributes = 0x89 }),
        .init("TR is unusable", { s in s.tr.attributes = 0x18b }),
        .init("LDTR is not an LDT", { s in s.ldtr.attributes = 0x83 }),
        .init("CS.L outside of long mode", { s in s.cs.attributes = 0xa09b }),
        .init("DR7 0x100000400 has reserved bits", { s in s.dr.7 = 0x1_0000_0400 }),
    ]

    @Test(arguments: broken) func brokenRuleIsNamed(rule: Broken) {
        var state = good
        rule.change(&state)
        #expect(RegisterRules.broken(by: state)?.contains(rule.words) == true)
    }

    @Test func changedFieldsAreMergedWhole() {
        let from = good
        var to = from
        to.rip = 0x1100
        to.ds.selector = 0x10
        var now = from
        now.rip = 0x1002
        now.general.0 = 0x42
        let merged = now.changed(from: from, to: to)
        #expect(merged.rip == 0x1100 && merged.ds.selector == 0x10 && merged.general.0 == 0x42)
    }
}

struct SlotTableTests {
    private func piece(_ address: UInt64, _ length: UInt64, readOnly: Bool = false) -> MappedMemory {
        .init(
            address: address, length: length, host: UnsafeMutableRawPointer(bitPattern: 0x10000)!, isReadOnly: readOnly)
    }

    @Test func onlyWhatChangesIsTouched() {
        var table = SlotTable()
        for change in table.changes(to: [piece(0, 0x1000), piece(0x2000, 0x1000)]) { table.did(change) }
        #expect(table.changes(to: [piece(0, 0x1000), piece(0x2000, 0x1000)]) == [])
        let next = table.changes(to: [piece(0, 0x1000), piece(0x2000, 0x1000, readOnly: true), piece(0x4000, 0x1000)])
        #expect(
            next == [
                .remove(slot: 1), .add(slot: 1, memory: piece(0x2000, 0x1000, readOnly: true)),
                .add(slot: 2, memory: piece(0x4000, 0x1000)),
            ])
    }
}
