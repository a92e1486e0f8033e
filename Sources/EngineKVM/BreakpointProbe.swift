// Which of a debugger's breakpoints work: KVM takes them all, and there are hosts on which they never fire (docs/engines.md).

import CHost
import Core

/// Found out by a tiny VM, in a few milliseconds.
struct BreakpointProbe {
    /// Debug registers, at instructions and at data; INT3 comes to the debugger.
    let code: Bool, data: Bool, int3: Bool

    init() {
        // nop; nop; hlt
        code = Self.stops(
            [0x90, 0x90, 0xf4], UInt32(KVM_GUESTDBG_USE_HW_BP), address: TinyVM.start + 1, control: 0x702)
        // mov %eax,0x1800; hlt: a write of 4 bytes
        data = Self.stops(
            [0xa3, 0x00, 0x18, 0, 0, 0xf4], UInt32(KVM_GUESTDBG_USE_HW_BP), address: 0x1800, control: 0xd_0702)
        // nop; int3; hlt
        int3 = Self.stops([0x90, 0xcc, 0xf4], UInt32(KVM_GUESTDBG_USE_SW_BP))
    }

    /// DR0 and DR7: SDM volume 3, 17.2.4.
    private static func stops(_ program: [UInt8], _ kind: UInt32, address: UInt64 = 0, control: UInt64 = 0) -> Bool {
        let reason = TinyVM.with(code: program) { cpu -> UInt32? in
            var debug = kvm_guest_debug()
            debug.control = UInt32(KVM_GUESTDBG_ENABLE) | kind
            debug.arch.debugreg = (address, 0, 0, 0, 0, 0, 0, control)
            guard ch_kvm_set_guest_debug(cpu.fd, &debug) == 0 else { return nil }
            return TinyVM.run(&cpu)
        }
        // It went past it. What says neither is no reason to refuse one.
        return reason != UInt32(KVM_EXIT_HLT) && reason != UInt32(KVM_EXIT_SHUTDOWN)
    }

    func problem(with kind: DebugPoint.Kind) -> String? {
        let what: String
        switch kind {
        case .software where !int3: what = "breakpoints in memory (INT3)"
        case .hardware where !code: what = "hardware breakpoints"
        case .write where !data, .read where !data, .access where !data: what = "watchpoints"
        default: return nil
        }
        return "\(what) do not work on this host's KVM: a guest never stops at them; --engine soft has all of them"
    }
}
