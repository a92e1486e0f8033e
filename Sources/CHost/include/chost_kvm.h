/* /dev/kvm for Swift: ioctls as functions that return a result or -errno, accessors for the unions of kvm_run, and the
 * kick that takes a vCPU out of the guest. Source: Documentation/virt/kvm/api.rst of the Linux kernel.
 *
 * Kicks. The word `attention` says what is wanted; a kick only makes the vCPU look at it. No wake-up is lost, because
 *  - the vCPU sets `in_guest` before its last look at the word, and a kicker sets the word before it looks at
 *    `in_guest`: at least one of them sees the other;
 *  - the signal of a kick that falls between that look and KVM_RUN sets kvm_run's `immediate_exit`, which is cleared
 *    only before the look. */
#ifndef CHOST_KVM_H
#define CHOST_KVM_H
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- One vCPU as kicks see it ------------------------------------------------------------------------------------ */
typedef struct ch_kvm_cpu {
    struct kvm_run *run;       /* shared with the kernel */
    uint64_t run_size;         /* bytes mapped at `run` */
    const uint32_t *attention; /* `ch_attention_*` bits */
    const uint32_t *hold;      /* not 0: stay out of the guest, the memory map is changing */
    int32_t fd;
    uint32_t in_guest;         /* 1 from before the last look at `attention` until KVM_RUN has returned */
    int32_t thread;            /* whose, while in_guest */
    uint32_t reserved;
} ch_kvm_cpu;

/* The calling thread runs this vCPU until `leave`; between them its kicks come here. Installs the signal handler once
 * for the process and unblocks the signal for the thread. Returns 0 or -errno. */
int32_t ch_kvm_thread_enter(ch_kvm_cpu *cpu);
void ch_kvm_thread_leave(ch_kvm_cpu *cpu);
/* KVM_RUN. 0: look at exit_reason. -EINTR: kicked, or `attention` has other bits than `known`, or `hold` is set. */
int32_t ch_kvm_run(ch_kvm_cpu *cpu, uint32_t known);
/* KVM_RUN that completes a half-done access and does not enter the guest. -EINTR: nothing is left; 0: one more exit. */
int32_t ch_kvm_run_complete(ch_kvm_cpu *cpu);
/* [any thread] After bits of `attention` or `hold` were set. */
void ch_kvm_kick(ch_kvm_cpu *cpu);
/* [any thread] Waits until the vCPU is out of the guest; `hold` is set. */
void ch_kvm_wait_outside(ch_kvm_cpu *cpu);

/* ---- System and VM ----------------------------------------------------------------------------------------------- */
int32_t ch_kvm_open(void);                        /* /dev/kvm of API version 12; -ENOTSUP: another version */
void ch_kvm_close(int32_t fd);
int32_t ch_kvm_create_vm(int32_t kvm);
int32_t ch_kvm_check(int32_t fd, uint32_t capability);
int32_t ch_kvm_enable(int32_t fd, uint32_t capability, uint64_t argument0);
int32_t ch_kvm_set_tss_address(int32_t vm, uint64_t address);
int32_t ch_kvm_set_identity_map(int32_t vm, uint64_t address);
int32_t ch_kvm_set_memory(int32_t vm, uint32_t slot, uint32_t flags, uint64_t address, uint64_t length, void *host);
/* `entries` has room for *count; then holds that many. -E2BIG: too small. */
int32_t ch_kvm_supported_cpuid(int32_t kvm, struct kvm_cpuid_entry2 *entries, uint32_t *count);
/* Indices of the MSRs that a snapshot holds. As above. */
int32_t ch_kvm_msr_list(int32_t kvm, uint32_t *indices, uint32_t *count);
/* One range of MSRs: 1 bits are left to KVM, 0 bits come out as exits. */
typedef struct ch_kvm_msr_range {
    uint32_t flags;            /* KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE */
    uint32_t first, count;
    uint8_t *bitmap;           /* as many bytes as `count` bits need, rounded up to 8 */
} ch_kvm_msr_range;
enum { CH_KVM_MSR_RANGES = 16, CH_KVM_MSR_RANGE_BITS = 0x600 * 8 }; /* KVM's limits */
int32_t ch_kvm_set_msr_filter(int32_t vm, bool deny_others, const ch_kvm_msr_range *ranges, uint32_t count);

/* ---- vCPU -------------------------------------------------------------------------------------------------------- */
/* Fills in `fd`, `run` and `run_size`. */
int32_t ch_kvm_create_vcpu(int32_t kvm, int32_t vm, uint32_t index, ch_kvm_cpu *cpu);
void ch_kvm_destroy_vcpu(ch_kvm_cpu *cpu);
int32_t ch_kvm_set_cpuid(int32_t vcpu, const struct kvm_cpuid_entry2 *entries, uint32_t count);
int32_t ch_kvm_interrupt(int32_t vcpu, uint32_t vector);
int32_t ch_kvm_nmi(int32_t vcpu);
int32_t ch_kvm_get_regs(int32_t vcpu, struct kvm_regs *out);
int32_t ch_kvm_set_regs(int32_t vcpu, const struct kvm_regs *in);
int32_t ch_kvm_get_sregs(int32_t vcpu, struct kvm_sregs *out);
int32_t ch_kvm_set_sregs(int32_t vcpu, const struct kvm_sregs *in);
/* The page-directory-pointer entries of PAE paging, which lie in the CPU (KVM_CAP_SREGS2). -ENODATA: the vCPU has none now. */
int32_t ch_kvm_get_pdptes(int32_t vcpu, uint64_t out[4]);
int32_t ch_kvm_set_pdptes(int32_t vcpu, const uint64_t in[4]);
int32_t ch_kvm_get_fpu(int32_t vcpu, struct kvm_fpu *out);
int32_t ch_kvm_set_fpu(int32_t vcpu, const struct kvm_fpu *in);
/* 4096 bytes, the layout of XSAVE. -E2BIG: this vCPU has more state than that. */
int32_t ch_kvm_get_xsave(int32_t vm, int32_t vcpu, void *area);
int32_t ch_kvm_set_xsave(int32_t vm, int32_t vcpu, const void *area);
int32_t ch_kvm_get_xcr0(int32_t vcpu, uint64_t *out);
int32_t ch_kvm_set_xcr0(int32_t vcpu, uint64_t value);
int32_t ch_kvm_get_debugregs(int32_t vcpu, struct kvm_debugregs *out);
int32_t ch_kvm_set_debugregs(int32_t vcpu, const struct kvm_debugregs *in);
int32_t ch_kvm_get_events(int32_t vcpu, struct kvm_vcpu_events *out);
int32_t ch_kvm_set_events(int32_t vcpu, const struct kvm_vcpu_events *in);
int32_t ch_kvm_get_mp_state(int32_t vcpu, uint32_t *out);
int32_t ch_kvm_set_mp_state(int32_t vcpu, uint32_t state);
int32_t ch_kvm_get_msr(int32_t vcpu, uint32_t index, uint64_t *out); /* -EINVAL: no such MSR */
int32_t ch_kvm_set_msr(int32_t vcpu, uint32_t index, uint64_t value);
/* Many in a few calls. Reads the MSRs that `entries` names; those that cannot be read are taken out. Returns how many are
 * left. */
uint32_t ch_kvm_get_msrs(int32_t vcpu, struct kvm_msr_entry *entries, uint32_t count);
/* Writes them in order; one that cannot be written is passed over. */
void ch_kvm_set_msrs(int32_t vcpu, const struct kvm_msr_entry *entries, uint32_t count);
int32_t ch_kvm_get_tsc_khz(int32_t vcpu);
int32_t ch_kvm_get_tsc_offset(int32_t vcpu, uint64_t *out);
int32_t ch_kvm_set_tsc_offset(int32_t vcpu, uint64_t value);
int32_t ch_kvm_set_guest_debug(int32_t vcpu, const struct kvm_guest_debug *in);
int32_t ch_kvm_translate(int32_t vcpu, uint64_t linear, uint64_t *physical, bool *valid);

/* ---- kvm_run: what its unions hold, by exit reason --------------------------------------------------------------- */
static inline uint32_t ch_run_reason(const struct kvm_run *run) { return run->exit_reason; }
static inline bool ch_run_ready(const struct kvm_run *run) { return run->ready_for_interrupt_injection != 0; }
static inline void ch_run_set_ready(struct kvm_run *run, bool on) { run->ready_for_interrupt_injection = on; }
static inline void ch_run_set_window(struct kvm_run *run, bool on) { run->request_interrupt_window = on; }
static inline bool ch_run_interrupt_flag(const struct kvm_run *run) { return run->if_flag != 0; }
static inline void ch_run_set_cr8(struct kvm_run *run, uint64_t value) { run->cr8 = value; }
/* Registers in `s`, so that RIP costs no system call. */
static inline void ch_run_sync_registers(struct kvm_run *run) { run->kvm_valid_regs = KVM_SYNC_X86_REGS; }
static inline uint64_t ch_run_rip(const struct kvm_run *run) { return run->s.regs.regs.rip; }
/* KVM_EXIT_IO */
static inline bool ch_run_io_is_out(const struct kvm_run *run) { return run->io.direction == KVM_EXIT_IO_OUT; }
static inline uint8_t ch_run_io_width(const struct kvm_run *run) { return run->io.size; }
static inline uint16_t ch_run_io_port(const struct kvm_run *run) { return run->io.port; }
static inline uint32_t ch_run_io_count(const struct kvm_run *run) { return run->io.count; }
static inline void *ch_run_io_data(struct kvm_run *run) { return (uint8_t *)run + run->io.data_offset; }
/* KVM_EXIT_MMIO: little-endian in 8 bytes, of which the low `length` count */
static inline uint64_t ch_run_mmio_address(const struct kvm_run *run) { return run->mmio.phys_addr; }
static inline bool ch_run_mmio_is_write(const struct kvm_run *run) { return run->mmio.is_write != 0; }
static inline uint32_t ch_run_mmio_length(const struct kvm_run *run) { return run->mmio.len; }
static inline uint64_t ch_run_mmio_value(const struct kvm_run *run) {
    uint64_t value;
    __builtin_memcpy(&value, run->mmio.data, 8);
    return value;
}
static inline void ch_run_set_mmio_value(struct kvm_run *run, uint64_t value) {
    __builtin_memcpy(run->mmio.data, &value, 8);
}
/* KVM_EXIT_X86_RDMSR, KVM_EXIT_X86_WRMSR */
static inline uint32_t ch_run_msr_index(const struct kvm_run *run) { return run->msr.index; }
static inline uint64_t ch_run_msr_value(const struct kvm_run *run) { return run->msr.data; }
static inline bool ch_run_msr_is_unknown(const struct kvm_run *run) {
    return run->msr.reason == KVM_MSR_EXIT_REASON_UNKNOWN;
}
static inline void ch_run_set_msr(struct kvm_run *run, uint64_t value, bool fault) {
    run->msr.data = value;
    run->msr.error = fault;
}
/* KVM_EXIT_DEBUG */
static inline uint32_t ch_run_debug_exception(const struct kvm_run *run) { return run->debug.arch.exception; }
static inline uint64_t ch_run_debug_dr6(const struct kvm_run *run) { return run->debug.arch.dr6; }
/* KVM_EXIT_FAIL_ENTRY, KVM_EXIT_UNKNOWN, KVM_EXIT_INTERNAL_ERROR */
static inline uint64_t ch_run_entry_failure(const struct kvm_run *run) {
    return run->fail_entry.hardware_entry_failure_reason;
}
static inline uint64_t ch_run_unknown_reason(const struct kvm_run *run) { return run->hw.hardware_exit_reason; }
static inline uint32_t ch_run_suberror(const struct kvm_run *run) { return run->internal.suberror; }
static inline uint32_t ch_run_internal_count(const struct kvm_run *run) {
    return run->internal.ndata < 16 ? run->internal.ndata : 16;
}
static inline uint64_t ch_run_internal_data(const struct kvm_run *run, uint32_t index) {
    return index < 16 ? run->internal.data[index] : 0;
}
/* The instruction that KVM could not emulate: up to 15 bytes; returns how many it gave. */
static inline uint32_t ch_run_failed_instruction(const struct kvm_run *run, uint8_t *bytes) {
    if (run->emulation_failure.ndata < 3) return 0;
    if (!(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) return 0;
    uint32_t size = run->emulation_failure.insn_size;
    if (size > sizeof run->emulation_failure.insn_bytes) size = sizeof run->emulation_failure.insn_bytes;
    __builtin_memcpy(bytes, run->emulation_failure.insn_bytes, size);
    return size;
}
#endif
