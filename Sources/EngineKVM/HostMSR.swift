import CHost
import Core

/// What KVM itself answers to an MSR access that came out by a filter and that nobody handled. It is done with the
/// host's rights, so what a guest must not reach is refused here.
enum HostMSR {
    /// - Returns: false: the guest gets #GP.
    static func access(
        vcpu: Int32, shared: UnsafeMutablePointer<kvm_run>, index: UInt32, value: inout UInt64, write: Bool
    ) -> Bool {
        // The paravirtual interfaces of KVM, Hyper-V and Xen: their CPUID leaves are masked.
        if index & 0xf000_0000 == 0x4000_0000 { return false }
        if !write { return ch_kvm_get_msr(vcpu, index, &value) == 0 }
        if isReadOnly(index) { return false }
        if index == 0xc000_0080, !isAllowedEFER(value, vcpu: vcpu) { return false }
        return ch_kvm_set_msr(vcpu, index, value) == 0
    }

    /// MTRRcap, microcode revision, platform info, core capabilities, arch capabilities, MCG_CAP, perf capabilities,
    /// VMX capabilities.
    private static func isReadOnly(_ index: UInt32) -> Bool {
        switch index {
        case 0xfe, 0x8b, 0xce, 0xcf, 0x10a, 0x179, 0x345, 0x480...0x493: true
        default: false
        }
    }

    /// LME cannot change while paging is on; LMA cannot be written at all (SDM volume 3, 2.2.1).
    private static func isAllowedEFER(_ value: UInt64, vcpu: Int32) -> Bool {
        var state = kvm_sregs()
        guard ch_kvm_get_sregs(vcpu, &state) == 0 else { return false }
        return state.cr0 & CR0.pg == 0 || (state.efer ^ value) & EFER.lme == 0
    }
}
