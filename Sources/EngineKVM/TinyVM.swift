// What finds out how this host's KVM is: a VM of two pages and one CPU, which lives for a question.

import CBackplane
import CHost
import Core
import Glibc

enum TinyVM {
    /// Where the code is; its page ends at 0x2000. The page before is empty: an IDT in which nothing is present.
    static let start: UInt64 = 0x1000

    /// A CPU in flat 32-bit protected mode, ring 0, without tables. nil: KVM does not make it.
    static func with<Answer>(code: [UInt8], _ ask: (inout ch_kvm_cpu) -> Answer) -> Answer? {
        let kvm = ch_kvm_open()
        guard kvm >= 0 else { return nil }
        defer { ch_kvm_close(kvm) }
        let vm = ch_kvm_create_vm(kvm)
        guard vm >= 0 else { return nil }
        defer { ch_kvm_close(vm) }
        _ = ch_kvm_set_identity_map(vm, 0xfeff_c000)
        _ = ch_kvm_set_tss_address(vm, 0xfeff_d000)
        // SAFETY: pages of our own, unmapped only after the vCPU is gone.
        guard let pages = mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            pages != MAP_FAILED
        else { return nil }
        defer { munmap(pages, 8192) }
        pages.advanced(by: 4096).copyMemory(from: code, byteCount: min(code.count, 4096))
        guard ch_kvm_set_memory(vm, 0, 0, 0, 8192, pages) == 0 else { return nil }
        return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 1) { zero in
            zero.initialize(repeating: 0)
            var cpu = ch_kvm_cpu()
            guard ch_kvm_create_vcpu(kvm, vm, 0, &cpu) == 0 else { return nil }
            defer { ch_kvm_destroy_vcpu(&cpu) }
            cpu.attention = UnsafePointer(zero.baseAddress)
            cpu.hold = cpu.attention
            return flatMode(cpu.fd) ? ask(&cpu) : nil
        }
    }

    private static func flatMode(_ fd: Int32) -> Bool {
        var system = kvm_sregs()
        guard ch_kvm_get_sregs(fd, &system) == 0 else { return false }
        var state = bp_registers.powerOn(signature: 0)
        let data = bp_segment(base: 0, limit: 0xffff_ffff, selector: 0x10, attributes: 0xc093)
        (state.ds, state.es, state.ss, state.fs, state.gs) = (data, data, data, data, data)
        state.cs = bp_segment(base: 0, limit: 0xffff_ffff, selector: 8, attributes: 0xc09b)
        state.cr0 = CR0.pe | CR0.et
        state.store(in: &system)
        return ch_kvm_set_sregs(fd, &system) == 0
    }

    /// Runs from the start to the next exit, whose reason is the result; nil: it could not be run.
    static func run(_ cpu: inout ch_kvm_cpu, count: UInt64 = 0) -> UInt32? {
        var registers = kvm_regs()
        registers.rip = start
        registers.rcx = count
        registers.rflags = RFLAGS.fixed
        guard ch_kvm_set_regs(cpu.fd, &registers) == 0 else { return nil }
        var result: Int32
        repeat { result = ch_kvm_run(&cpu, 0) } while result == -4 || result == -11  // EINTR, EAGAIN
        return result == 0 ? ch_run_reason(cpu.run) : nil
    }
}
