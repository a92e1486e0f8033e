// KVM's vCPUs after RESET: registers as the core has them (Core/X86/PowerOn.swift), and MSRs as KVM itself gives them to a new vCPU.

import CBackplane
import CHost
import Core

enum PowerOn {
    /// The MSRs of a new vCPU, but for those that are clocks.
    static func msrs(kvm: Int32, vcpu: Int32) -> [kvm_msr_entry] {
        var indices = [UInt32](repeating: 0, count: 1024)
        var count = UInt32(indices.count)
        guard ch_kvm_msr_list(kvm, &indices, &count) >= 0 else { return [] }
        var entries: [kvm_msr_entry] = indices.prefix(Int(count)).compactMap { index in
            // TSC, TSC_ADJUST, TSC deadline; APIC base, which has its own place; paravirtual clocks
            if [MSR.tsc, MSR.tscAdjust, MSR.tscDeadline, MSR.apicBase].contains(index)
                || index & 0xf000_0000 == 0x4000_0000
            {
                return nil
            }
            return kvm_msr_entry(index: index, reserved: 0, data: 0)
        }
        let left = ch_kvm_get_msrs(vcpu, &entries, UInt32(entries.count))
        return Array(entries.prefix(Int(left)))
    }

    /// IA32_APIC_BASE. Bit 11 enables the APIC: KVM's CPUID has its APIC bit then.
    static func apicBase(of cpu: KVMCPU) -> UInt64 {
        (cpu.index == 0 ? 0xfee0_0100 : 0xfee0_0000) | (cpu.engine.intercepts.hasLocalAPIC ? 1 << 11 : 0)
    }

    /// Everything but the registers of `bp_registers.powerOn`.
    static func apply(to cpu: KVMCPU) throws(EngineError) {
        let fd = cpu.core.pointee.fd
        var events = kvm_vcpu_events()
        events.flags = UInt32(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW)
        _ = try check(ch_kvm_set_events(fd, &events), "KVM_SET_VCPU_EVENTS")
        _ = try check(ch_kvm_set_mp_state(fd, UInt32(KVM_MP_STATE_RUNNABLE)), "KVM_SET_MP_STATE")
        // Paging off first: EFER.LME cannot change under it.
        var system = kvm_sregs()
        _ = try check(ch_kvm_get_sregs(fd, &system), "KVM_GET_SREGS")
        bp_registers.powerOn(signature: 0).store(in: &system)
        system.interrupt_bitmap = (0, 0, 0, 0)
        system.apic_base = apicBase(of: cpu)
        _ = try check(ch_kvm_set_sregs(fd, &system), "KVM_SET_SREGS")
        ch_kvm_set_msrs(fd, cpu.powerOnMSRs, UInt32(cpu.powerOnMSRs.count))
        var tsc: UInt64 = 0
        if ch_kvm_get_msr(fd, MSR.tsc, &tsc) == 0 { cpu.moveTSC(by: 0 &- tsc) }
        try resetFPU(cpu)
    }

    /// x87 and SSE explicitly, every other component into its initial state by its bit of XSTATE_BV being 0. RESET sets
    /// the x87 control word to 0x40 where FNINIT gives 0x37f, and the tags to "zero" where FNINIT gives "empty".
    private static func resetFPU(_ cpu: KVMCPU) throws(EngineError) {
        let fd = cpu.core.pointee.fd
        if ch_kvm_check(cpu.engine.vm, UInt32(KVM_CAP_XCRS)) > 0 {
            _ = try check(ch_kvm_set_xcr0(fd, 1), "KVM_SET_XCRS")
        }
        var area = [UInt8](repeating: 0, count: 4096)
        area[0] = 0x40  // FCW
        area[4] = 0xff  // tags, abridged
        area[24] = 0x80  // MXCSR 0x1f80
        area[25] = 0x1f
        area[512] = 3  // XSTATE_BV: x87, SSE
        let result = area.withUnsafeBytes { ch_kvm_set_xsave(cpu.engine.vm, fd, $0.baseAddress) }
        if result != -7 {  // E2BIG: AMX, which XCR0 hides
            _ = try check(result, "KVM_SET_XSAVE")
            return
        }
        var fpu = kvm_fpu()
        fpu.fcw = 0x40
        fpu.ftwx = 0xff
        _ = try check(ch_kvm_set_fpu(fd, &fpu), "KVM_SET_FPU")
    }
}
