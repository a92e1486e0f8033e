// Everything that the guest can see of a vCPU, out of KVM and into it. Source: Documentation/virt/kvm/api.rst. KVM has no place for the selectors of
// x87's pointers: they are saved as 0, and those of another engine are left out.

import CBackplane
import CHost
public import Core

extension KVMCPU {
    // MARK: Out

    public func snapshot() throws(EngineError) -> CPUSnapshot {
        try completePending()
        // First: with it KVM puts what an exception leaves in CR2 and DR6 there.
        var events = kvm_vcpu_events()
        _ = try check(ch_kvm_get_events(core.pointee.fd, &events), "KVM_GET_VCPU_EVENTS")
        var system = kvm_sregs()
        _ = try check(ch_kvm_get_sregs(core.pointee.fd, &system), "KVM_GET_SREGS")
        var all = CPUSnapshot()
        all.registers = try currentRegisters()
        if all.isPAE { all.pageDirectoryPointers = try pageDirectoryPointers(all.registers.cr3) }
        try readFloating(into: &all)
        if hasXCR0 { _ = try check(ch_kvm_get_xcr0(core.pointee.fd, &all.xcr0), "KVM_GET_XCRS") }
        all.msrs = try changedMSRs()
        if engine.intercepts.hasLocalAPIC { all.msrs[MSR.apicBase] = system.apic_base }
        all.pending = try pending(events, all.registers)
        return all
    }

    private var hasXCR0: Bool { ch_kvm_check(engine.vm, UInt32(KVM_CAP_XCRS)) > 0 }
    private var hasPointers: Bool { ch_kvm_check(engine.vm, UInt32(KVM_CAP_SREGS2)) > 0 }

    /// Before Linux 5.14 KVM does not give them: they are those in memory, from which it loads them too.
    private func pageDirectoryPointers(_ cr3: UInt64) throws(EngineError) -> (UInt64, UInt64, UInt64, UInt64) {
        var entries: [UInt64] = [0, 0, 0, 0]
        if hasPointers {
            let result = ch_kvm_get_pdptes(core.pointee.fd, &entries)
            if result != -61 { _ = try check(result, "KVM_GET_SREGS2") }  // ENODATA
            if result == 0 { return (entries[0], entries[1], entries[2], entries[3]) }
        }
        for (index, byte) in engine.bytes(at: cr3 & 0xffff_ffe0, count: 32).enumerated() {
            entries[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
        }
        return (entries[0], entries[1], entries[2], entries[3])
    }

    private func readFloating(into all: inout CPUSnapshot) throws(EngineError) {
        all.floating = try floatingState()
        all.floating.control = all.floating.control & 0x1f3f | 0x40
        all.floating.opcode &= 0x7ff
        for number in 0..<8 {
            all.floating.registers.replaceSubrange(
                number * 16 + 10..<number * 16 + 16, with: repeatElement(0, count: 6))
        }
        let area = try image()
        // The initial state of all of them is zero.
        guard let last = area[Area.extended...].lastIndex(where: { $0 != 0 }) else { return }
        all.extendedState = Array(area[Area.extended...last])
        all.extendedComponents =
            area[Area.present..<Area.present + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) } & ~3
        if all.extendedComponents == 0 { all.extendedState = [] }
    }

    private static let mostlyZero: Set = [MSR.tscAdjust, MSR.debugControl]
    private static let named = mostlyZero.union(CPUSnapshot.alwaysSavedMSRs)

    /// Those that are always there by name, and the others that are not as after RESET.
    private func changedMSRs() throws(EngineError) -> [UInt32: UInt64] {
        let initial = Dictionary(powerOnMSRs.map { ($0.index, $0.data) }, uniquingKeysWith: { $1 })
        var entries = Self.named.union(initial.keys).sorted().map { kvm_msr_entry(index: $0, reserved: 0, data: 0) }
        let count = ch_kvm_get_msrs(core.pointee.fd, &entries, UInt32(entries.count))
        var values: [UInt32: UInt64] = [:]
        for entry in entries.prefix(Int(count)) where entry.index != MSR.fsBase && entry.index != MSR.gsBase {
            let isAlwaysThere = Self.named.contains(entry.index) && !Self.mostlyZero.contains(entry.index)
            if !isAlwaysThere, entry.data == initial[entry.index] ?? 0 { continue }
            values[entry.index] = entry.data
        }
        guard values[MSR.tsc] != nil else { throw EngineError("KVM_GET_MSRS: the TSC cannot be read") }
        return values
    }

    private func pending(
        _ events: kvm_vcpu_events, _ registers: bp_registers
    ) throws(EngineError) -> CPUSnapshot.Pending {
        var pending = CPUSnapshot.Pending()
        pending.event = try Self.event(events, isProtected: registers.cr0 & 1 != 0)
        let isSupervisor = registers.cr0 & 1 == 0 || registers.ss.attributes >> 5 & 3 == 0
        pending.activity = progress.pointee.hasHalted && isSupervisor && pending.event == nil ? .halted : .active
        let takesInterrupts = registers.rflags >> 9 & 1 != 0
        let isSTI = events.interrupt.shadow & UInt8(KVM_X86_SHADOW_INT_STI) != 0
        // AMD's processors know one shadow, which KVM reports as both.
        if pending.activity == .active, pending.event == nil, events.interrupt.shadow != 0 {
            pending.shadow =
                isSTI && takesInterrupts ? .sti : isSTI && events.interrupt.shadow & 1 == 0 ? .none : .movSS
        }
        pending.isNMIBlocked = events.nmi.masked != 0 && pending.event?.kind != .nmi
        pending.isNMIPending = events.nmi.pending != 0 || ch_load(vcpu.attention) & ch_attention_nmi != 0
        return pending
    }

    /// Not those of INT3 and INTO: RIP is at the instruction, which raises them again.
    static func event(_ events: kvm_vcpu_events, isProtected: Bool) throws(EngineError) -> CPUSnapshot.Event? {
        var found: [CPUSnapshot.Event] = []
        let exception = events.exception
        if exception.injected != 0, exception.nr != 3, exception.nr != 4 {
            let code = exception.has_error_code != 0 && isProtected ? exception.error_code : nil
            found.append(.init(.exception, exception.nr, errorCode: code))
        }
        if events.nmi.injected != 0 { found.append(.init(.nmi, 2)) }
        if events.interrupt.injected != 0, events.interrupt.soft == 0 {
            found.append(.init(.external, events.interrupt.nr))
        }
        // An exception has come while KVM delivered an interrupt.
        if found.count > 1 {
            throw EngineError("two events are under delivery: it can be saved when the guest has run")
        }
        return found.first
    }

    // MARK: In

    public func restore(_ all: CPUSnapshot) throws(EngineError) {
        if all.pending.debugTraps != 0, all.pending.shadow == .movSS {
            throw EngineError("pending_debug behind MOV SS is nothing that KVM can hold")
        }
        guard all.floating.registers.count == 128, all.floating.vectors.count == 256,
            all.extendedState.count <= Area.size - Area.extended
        else { throw EngineError("xmm or xstate has a wrong length") }
        let before = try snapshot()
        do throws(EngineError) {
            try place(all)
        } catch {
            do throws(EngineError) { try place(before) } catch let second {
                throw EngineError("\(error); and what was there before: \(second)")
            }
            throw error
        }
    }

    private func place(_ all: CPUSnapshot) throws(EngineError) {
        let fd = core.pointee.fd
        let isBlocked = progress.pointee.windowRequested
        deferred = nil
        stashed = nil
        haltEnd = nil
        progress.pointee = Progress()
        progress.pointee.windowRequested = isBlocked
        // Before the registers: FS and GS have their bases there too.
        ch_kvm_set_msrs(fd, powerOnMSRs, UInt32(powerOnMSRs.count))
        _ = ch_kvm_set_msr(fd, MSR.tscAdjust, 0)
        for (index, value) in all.msrs.sorted(by: { $0.key < $1.key }) { try place(msr: index, value) }
        if hasXCR0 { _ = try check(ch_kvm_set_xcr0(fd, all.xcr0), "KVM_SET_XCRS (xcr0)") }
        try placeFloating(all)
        var registers = all.registers
        if all.pending.isBetweenRounds { registers.rflags |= 1 << 16 }
        if all.pending.debugTraps != 0 { registers.dr.6 = registers.dr.6 & ~0xf | all.pending.debugTraps }
        let apicBase = all.msrs[MSR.apicBase] ?? PowerOn.apicBase(of: self)
        try setNow(registers) {
            $0.interrupt_bitmap = (0, 0, 0, 0)
            $0.apic_base = apicBase
        }
        if all.isPAE, hasPointers {
            let entries = all.pageDirectoryPointers
            let result = ch_kvm_set_pdptes(fd, [entries.0, entries.1, entries.2, entries.3])
            _ = try check(result, "KVM_SET_SREGS2 (pdpte0 to pdpte3)")
        }
        try place(all.pending)
    }

    private func place(msr index: UInt32, _ value: UInt64) throws(EngineError) {
        let fd = core.pointee.fd
        switch index {
        case MSR.tsc:
            var now: UInt64 = 0
            if ch_kvm_get_msr(fd, index, &now) == 0 { moveTSC(by: value &- now) }
        case MSR.apicBase:
            if !engine.intercepts.hasLocalAPIC { throw EngineError("apic_base: this CPU has no local APIC") }
        default:
            // It is written with the host's rights: only what is saved, too.
            let isSaved = Self.named.contains(index) || powerOnMSRs.contains { $0.index == index }
            guard isSaved, ch_kvm_set_msr(fd, index, value) == 0 else {
                let name = CPUSnapshot.name(ofMSR: index)
                throw EngineError("\(name) 0x\(hex(value)) is nothing that this CPU can hold")
            }
        }
    }

    private func placeFloating(_ all: CPUSnapshot) throws(EngineError) {
        var area = [UInt8](repeating: 0, count: Area.size)
        Self.store(all.floating, in: &area)
        withUnsafeBytes(of: (all.extendedComponents | 3).littleEndian) {
            area.replaceSubrange(Area.present..<Area.present + 8, with: $0)
        }
        area.replaceSubrange(Area.extended..<Area.extended + all.extendedState.count, with: all.extendedState)
        let result = area.withUnsafeBytes { ch_kvm_set_xsave(engine.vm, core.pointee.fd, $0.baseAddress) }
        _ = try check(result, "KVM_SET_XSAVE (fpu, xmm, xstate)")
    }

    private func place(_ pending: CPUSnapshot.Pending) throws(EngineError) {
        var events = kvm_vcpu_events()
        events.flags = UInt32(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW)
        events.nmi.masked = pending.isNMIBlocked ? 1 : 0
        events.interrupt.shadow =
            switch pending.shadow {
            case .none: 0
            case .sti: UInt8(KVM_X86_SHADOW_INT_STI)
            case .movSS: UInt8(KVM_X86_SHADOW_INT_MOV_SS)
            }
        switch pending.event {
        case let event? where event.kind == .external:
            (events.interrupt.injected, events.interrupt.nr) = (1, event.vector)
        case let event? where event.kind == .nmi: events.nmi.injected = 1
        case let event?:
            (events.exception.injected, events.exception.nr) = (1, event.vector)
            events.exception.has_error_code = event.errorCode == nil ? 0 : 1
            events.exception.error_code = event.errorCode ?? 0
        case nil where pending.debugTraps != 0: (events.exception.injected, events.exception.nr) = (1, 1)
        case nil: break
        }
        _ = try check(ch_kvm_set_events(core.pointee.fd, &events), "KVM_SET_VCPU_EVENTS (event)")
        _ = try check(ch_kvm_set_mp_state(core.pointee.fd, UInt32(KVM_MP_STATE_RUNNABLE)), "KVM_SET_MP_STATE")
        // As one that has just come, which is handed over before the next KVM_RUN.
        if pending.isNMIPending {
            _ = ch_set_bits(vcpu.attention, ch_attention_nmi)
        } else {
            _ = ch_clear_bits(vcpu.attention, ch_attention_nmi)
        }
        let isHalted = pending.activity == .halted
        (progress.pointee.hasHalted, progress.pointee.reportsHalt) = (isHalted, isHalted)
    }

    func haltedAsLoaded() -> RunEnd {
        progress.pointee.reportsHalt = false
        do throws(EngineError) {
            let registers = try currentRegisters()
            return .halted(interruptsEnabled: registers.rflags >> 9 & 1 != 0, rip: registers.rip)
        } catch {
            return .failed(error)
        }
    }
}
