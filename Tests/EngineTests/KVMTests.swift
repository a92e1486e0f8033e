import CBackplane
import CHost
import Core
import Testing

@testable import EngineKVM

/// What only EngineKVM has: its calibration, its failures, the state that KVM holds.
@Suite(.enabled(if: kvmIsHere, needsKVM))
struct KVMTests {
    /// KVM emulates every access to memory that is not there, and does not know FBLD.
    @Test func failureNamesReasonRegistersAndCode() throws {
        // nop; fbld 0xd0000
        let bench = try GuestBench([0x90, 0xdf, 0x25, 0x00, 0x00, 0x0d, 0x00], .protected, .kvm)
        guard case .failed(let error) = bench.cpu.run() else { return #expect(Bool(false), "no failure") }
        #expect(error.description.contains("KVM could not emulate an instruction"))
        #expect(error.description.contains("RIP 0000000000001001"))
        #expect(error.description.contains("CS   0008  base 0000000000000000  limit ffffffff  attributes c09b"))
        #expect(error.description.contains("CR0 00000011"))
        #expect(error.description.contains("code at 0x1001: df 25 00 00 0d 00"))
    }

    /// In a box none (docs/engines.md); data breakpoints only where the processor runs supervisor code.
    @Test func theProbeKnowsWhichBreakpointsWork() {
        let probe = BreakpointProbe()
        #expect(probe.code == (KVMHost.box == nil))
        #expect(probe.int3 == (KVMHost.box == nil))
        #expect(probe.data == (KVMHost.box == nil && KVMHost.runsSupervisorCode))
    }

    /// What `memory-watch` says no to on KVM (docs/policies.md).
    @Test func failureNamesWhatTheProcessorCannotWrite() throws {
        let bench = try GuestBench([0x90, 0xdf, 0x25, 0x00, 0x00, 0x0d, 0x00], .protected, .kvm)
        try bench.engine.setMemory(
            [(0, 0x8000, false), (0x8000, 0x1000, true), (0x9000, GuestBench.ramBytes - 0x9000, false)].map {
                MappedMemory(
                    address: UInt64($0.0), length: UInt64($0.1), host: bench.ram + $0.0, isReadOnly: $0.2)
            })
        for (stack, isNamed) in [(0x9000, true), (0x8000, false)] as [(UInt64, Bool)] {
            var state = try bench.cpu.registers()
            state.general.4 = stack
            state.rip = 0x1000
            try bench.cpu.setRegisters(state)
            guard case .failed(let error) = bench.cpu.run() else { return #expect(Bool(false), "no failure") }
            #expect(error.description.contains("by a policy) holds its stack:") == isNamed)
        }
    }

    // MARK: Calibration and availability

    @Test func supervisorSpeedIsMeasuredInMilliseconds() throws {
        let speed = try #require(KVMEngine.supervisorSpeed())
        // A host in a box on a loaded machine is slow; what KVM runs natively is not.
        #expect(speed > 1000 && speed < 100_000_000_000)
    }

    @Test func tooManyCPUsAreRefused() {
        #expect(throws: EngineError.self) { try KVMEngine(cpuCount: 0) }
        #expect(throws: EngineError.self) { try KVMEngine(cpuCount: 1_000_000) }
    }

    // MARK: Reset

    /// SDM volume 3, table 11-1.
    @Test func resetIsThatOfTheFPUToo() throws {
        let bench = try GuestBench(Guests.memory64, .long, .kvm)
        try bench.runToHalt()
        try bench.cpu.reset()
        let engine = try #require(bench.engine as? KVMEngine)
        var area = [UInt8](repeating: 0, count: 4096)
        let fd = try bench.kvm.core.pointee.fd
        #expect(ch_kvm_get_xsave(engine.vm, fd, &area) == 0)
        #expect(area[0] == 0x40 && area[1] == 0, "FCW")
        #expect(area[24] == 0x80 && area[25] == 0x1f, "MXCSR")
        var xcr0: UInt64 = 0
        #expect(ch_kvm_get_xcr0(fd, &xcr0) == 0)
        #expect(xcr0 == 1)
    }

    @Test func resetPutsMSRsBackAndDropsAWaitingInterrupt() throws {
        let bench = try GuestBench(Guests.spin32, .protected, .kvm)
        let fd = try bench.kvm.core.pointee.fd
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

    // MARK: Time

    @Test func ticksOfAPause() {
        #expect(KVMCPU.ticks(nanoseconds: 1_000_000_000, kilohertz: 2_445_428) == 2_445_428_000)
        #expect(KVMCPU.ticks(nanoseconds: 3_600_000_000_000, kilohertz: 3_000_000) == 10_800_000_000_000)
        #expect(KVMCPU.ticks(nanoseconds: .max, kilohertz: 2_000_000) == nil)
    }

    /// There are KVMs that take a TSC offset and keep 0.
    static let tscMoves: Bool = {
        guard kvmIsHere, let bench = try? GuestBench([0xf4], .real, .kvm) else { return false }
        guard let fd = try? bench.kvm.core.pointee.fd else { return false }
        var offset: UInt64 = 0
        return ch_kvm_set_tsc_offset(fd, 12345) == 0 && ch_kvm_get_tsc_offset(fd, &offset) == 0 && offset == 12345
    }()

    @Test(.enabled(if: tscMoves, "this KVM does not let the TSC be moved")) func tscDoesNotShowAPause() throws {
        let bench = try GuestBench(Guests.tsc32, .protected, .kvm)
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
        let hour = UInt64(ch_kvm_get_tsc_khz(try bench.kvm.core.pointee.fd)) * 3_600_000
        let jump = before &- after
        #expect(jump > hour - hour / 100 && jump < hour + hour / 100)
    }

    // MARK: CPUID

    @Test func cpuidNamesNothingThatTheMachineLacks() throws {
        let bench = try GuestBench(Guests.cpuid32, .protected, .kvm)
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

struct SlotTableTests {
    private let whole: ClosedRange<UInt64> = 0...UInt64.max

    private func piece(_ address: UInt64, _ length: UInt64, readOnly: Bool = false) -> MappedMemory {
        let host = UnsafeMutableRawPointer(bitPattern: 0x100_0000 + UInt(address))!
        return .init(address: address, length: length, host: host, isReadOnly: readOnly)
    }
    private func slot(_ address: UInt64, _ length: UInt64, readOnly: Bool = false) -> MemorySlot {
        MemorySlot(piece(address, length, readOnly: readOnly))!
    }

    @Test func onlyWhatChangesIsTouched() {
        var table = SlotTable()
        for change in table.changes(whole, [piece(0, 0x1000), piece(0x2000, 0x1000)]) { table.did(change) }
        #expect(table.changes(whole, [piece(0, 0x1000), piece(0x2000, 0x1000)]) == [])
        let next = table.changes(
            whole, [piece(0, 0x1000), piece(0x2000, 0x1000, readOnly: true), piece(0x4000, 0x1000)])
        #expect(
            next == [
                .remove(slot: 1), .add(slot: 1, memory: slot(0x2000, 0x1000, readOnly: true)),
                .add(slot: 2, memory: slot(0x4000, 0x1000)),
            ])
    }

    @Test func aWindowThatMovesOverRAMCutsItOnce() {
        var table = SlotTable()
        for change in table.changes(whole, [piece(0, 0x10_0000)]) { table.did(change) }
        // A hole at 0x80000: the RAM is cut in two.
        let hole: ClosedRange<UInt64> = 0x8_0000...0x8_ffff
        let cut = table.changes(hole, [])
        #expect(
            cut == [
                .remove(slot: 0), .add(slot: 0, memory: slot(0, 0x8_0000)),
                .add(slot: 1, memory: slot(0x9_0000, 0x7_0000)),
            ])
        for change in cut { table.did(change) }
        // It goes: only the hole is filled. It comes back: only that is taken away.
        let filled = table.changes(hole, [piece(0x8_0000, 0x1_0000)])
        #expect(filled == [.add(slot: 2, memory: slot(0x8_0000, 0x1_0000))])
        for change in filled { table.did(change) }
        #expect(table.changes(hole, []) == [.remove(slot: 2)])
        // And a map that says the same as the pieces touches nothing.
        #expect(table.changes(whole, [piece(0, 0x10_0000)]) == [])
    }

    @Test func memoryThatIsOnlyWrittenHasNoSlot() {
        var shadow = piece(0xc_0000, 0x1000)
        let rom = piece(0xd_0000, 0x1000).read
        let table = SlotTable()
        shadow.read = nil
        #expect(table.changes(whole, [shadow]) == [])
        // ROM is read while RAM is written: the writes come out.
        shadow.read = rom
        #expect(MemorySlot(shadow)?.isReadOnly == true)
    }
}
