import CBackplane
import CHost
import Core
import Glibc

extension KVMEngine {
    /// Instructions per second of a ring-0 loop, for `engine: auto`: some hosts' /dev/kvm emulates supervisor code one
    /// instruction at a time. Takes a few milliseconds and a tiny VM of its own. nil: KVM does not run it.
    public static func supervisorSpeed() -> Double? {
        // 1: dec ecx; jnz 1b; hlt
        TinyVM.with(code: [0x49, 0x75, 0xfd, 0xf4], measure) ?? nil
    }

    /// Four times as long until it is long enough to measure.
    private static func measure(_ cpu: inout ch_kvm_cpu) -> Double? {
        var count: UInt64 = 250
        _ = loop(&cpu, count)  // the first run also builds page tables
        while true {
            guard let nanoseconds = loop(&cpu, count) else { return nil }
            if nanoseconds >= 1_000_000 || count >= 1 << 26 {
                return Double(count * 2) * 1e9 / Double(max(nanoseconds, 1))
            }
            count *= 4
        }
    }

    private static func loop(_ cpu: inout ch_kvm_cpu, _ count: UInt64) -> UInt64? {
        let start = ch_monotonic()
        guard TinyVM.run(&cpu, count: count) == UInt32(KVM_EXIT_HLT) else { return nil }
        return ch_monotonic() &- start
    }
}
