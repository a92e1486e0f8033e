import CBackplane
import CHost
import Core
import Glibc

extension KVMEngine {
    /// Instructions per second of a ring-0 loop, for `engine: auto`: some hosts' /dev/kvm emulates supervisor code one
    /// instruction at a time. Takes a few milliseconds and a tiny VM of its own. nil: KVM does not run it.
    public static func supervisorSpeed() -> Double? {
        let kvm = ch_kvm_open()
        guard kvm >= 0 else { return nil }
        defer { ch_kvm_close(kvm) }
        let vm = ch_kvm_create_vm(kvm)
        guard vm >= 0 else { return nil }
        defer { ch_kvm_close(vm) }
        _ = ch_kvm_set_identity_map(vm, 0xfeff_c000)
        _ = ch_kvm_set_tss_address(vm, 0xfeff_d000)
        // SAFETY: a page of our own, unmapped only after the vCPU is gone.
        guard let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), page != MAP_FAILED
        else { return nil }
        defer { munmap(page, 4096) }
        // 1: dec ecx; jnz 1b; hlt
        page.copyMemory(from: [0x49, 0x75, 0xfd, 0xf4] as [UInt8], byteCount: 4)
        guard ch_kvm_set_memory(vm, 0, 0, 0x1000, 4096, page) == 0 else { return nil }
        return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 1) { zero in
            zero.initialize(repeating: 0)
            var cpu = ch_kvm_cpu()
            guard ch_kvm_create_vcpu(kvm, vm, 0, &cpu) == 0 else { return nil }
            defer { ch_kvm_destroy_vcpu(&cpu) }
            cpu.attention = UnsafePointer(zero.baseAddress)
            cpu.hold = cpu.attention
            return flatMode(cpu.fd) ? measure(&cpu) : nil
        }
    }

    private static func flatMode(_ fd: Int32) -> Bool {
        var system = kvm_sregs()
        guard ch_kvm_get_sregs(fd, &system) == 0 else { return false }
        var state = PowerOn.registers(signature: 0)
        let data = bp_segment(base: 0, limit: 0xffff_ffff, selector: 0x10, attributes: 0xc093)
        (state.ds, state.es, state.ss, state.fs, state.gs) = (data, data, data, data, data)
        state.cs = bp_segment(base: 0, limit: 0xffff_ffff, selector: 8, attributes: 0xc09b)
        state.cr0 = 0x11
        state.store(in: &system)
        return ch_kvm_set_sregs(fd, &system) == 0
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
        var registers = kvm_regs()
        registers.rip = 0x1000
        registers.rcx = count
        registers.rflags = 2
        guard ch_kvm_set_regs(cpu.fd, &registers) == 0 else { return nil }
        let start = ch_monotonic()
        var result: Int32
        repeat { result = ch_kvm_run(&cpu, 0) } while result == -4 || result == -11  // EINTR, EAGAIN
        let end = ch_monotonic()
        guard result == 0, ch_run_reason(cpu.run) == KVM_EXIT_HLT else { return nil }
        return end &- start
    }
}
