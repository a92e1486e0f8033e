#define _GNU_SOURCE
#include "chost_kvm.h"
#include "chost_sync.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel headers of Debian 12 lack what came later; numbers are ABI. */
#ifndef KVM_VCPU_TSC_CTRL
#define KVM_VCPU_TSC_CTRL 0
#define KVM_VCPU_TSC_OFFSET 0
#endif

static inline int32_t call(int32_t fd, unsigned long request, const void *argument) {
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}
static inline int32_t call_number(int32_t fd, unsigned long request, unsigned long argument) {
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

/* ---- Kicks ------------------------------------------------------------------------------------------------------- */
static __thread struct kvm_run *volatile current_run;
static __thread bool thread_ready;
static pthread_once_t kick_once = PTHREAD_ONCE_INIT;
static int kick_error;

/* Only a store: safe at any instruction. */
static void kicked(int number) {
    (void)number;
    struct kvm_run *run = current_run;
    if (run) *(volatile uint8_t *)&run->immediate_exit = 1;
}

static int kick_signal(void) { return SIGRTMIN; }

/* No SA_RESTART: KVM_RUN comes back with EINTR either way, and so does whatever else a vCPU's thread waits in. */
static void install_kick(void) {
    struct sigaction action = {.sa_handler = kicked, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (sigaction(kick_signal(), &action, NULL) < 0) kick_error = -errno;
}

int32_t ch_kvm_thread_enter(ch_kvm_cpu *cpu) {
    if (__builtin_expect(!thread_ready, 0)) {
        pthread_once(&kick_once, install_kick);
        if (kick_error) return kick_error;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, kick_signal());
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        thread_ready = true;
    }
    __atomic_store_n(&cpu->thread, ch_thread_id(), __ATOMIC_RELAXED);
    current_run = cpu->run;
    return 0;
}

void ch_kvm_thread_leave(ch_kvm_cpu *cpu) {
    (void)cpu;
    current_run = NULL;
}

int32_t ch_kvm_run(ch_kvm_cpu *cpu, uint32_t known) {
    *(volatile uint8_t *)&cpu->run->immediate_exit = 0;
    ch_store(&cpu->in_guest, 1);
    int32_t result = -EINTR;
    if (!((ch_load(cpu->attention) & ~known) | ch_load(cpu->hold))) result = call_number(cpu->fd, KVM_RUN, 0);
    __atomic_store_n(&cpu->in_guest, 0, __ATOMIC_RELEASE);
    return result;
}

int32_t ch_kvm_run_complete(ch_kvm_cpu *cpu) {
    *(volatile uint8_t *)&cpu->run->immediate_exit = 1;
    return call_number(cpu->fd, KVM_RUN, 0);
}

void ch_kvm_kick(ch_kvm_cpu *cpu) {
    if (!ch_load(&cpu->in_guest)) return;
    syscall(SYS_tgkill, getpid(), __atomic_load_n(&cpu->thread, __ATOMIC_RELAXED), kick_signal());
}

void ch_kvm_wait_outside(ch_kvm_cpu *cpu) {
    ch_kvm_kick(cpu);
    for (int spins = 0; ch_load(&cpu->in_guest); spins++) {
        if (spins < 100) {
            sched_yield();
            continue;
        }
        struct timespec pause = {0, 50000};
        nanosleep(&pause, NULL);
    }
}

/* ---- System and VM ----------------------------------------------------------------------------------------------- */
int32_t ch_kvm_open(void) {
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) return -errno;
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version == KVM_API_VERSION) return fd;
    int32_t error = version < 0 ? -errno : -ENOTSUP;
    close(fd);
    return error;
}

void ch_kvm_close(int32_t fd) { close(fd); }

int32_t ch_kvm_create_vm(int32_t kvm) {
    int32_t result;
    do result = call_number(kvm, KVM_CREATE_VM, 0);
    while (result == -EINTR);
    return result;
}

int32_t ch_kvm_check(int32_t fd, uint32_t capability) { return call_number(fd, KVM_CHECK_EXTENSION, capability); }

int32_t ch_kvm_enable(int32_t fd, uint32_t capability, uint64_t argument0) {
    struct kvm_enable_cap enable = {.cap = capability, .args = {argument0}};
    return call(fd, KVM_ENABLE_CAP, &enable);
}

int32_t ch_kvm_set_tss_address(int32_t vm, uint64_t address) { return call_number(vm, KVM_SET_TSS_ADDR, address); }

int32_t ch_kvm_set_identity_map(int32_t vm, uint64_t address) {
    __u64 value = address;
    return call(vm, KVM_SET_IDENTITY_MAP_ADDR, &value);
}

int32_t ch_kvm_set_memory(int32_t vm, uint32_t slot, uint32_t flags, uint64_t address, uint64_t length, void *host) {
    struct kvm_userspace_memory_region region = {slot, flags, address, length, (uintptr_t)host};
    return call(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

int32_t ch_kvm_supported_cpuid(int32_t kvm, struct kvm_cpuid_entry2 *entries, uint32_t *count) {
    struct kvm_cpuid2 *list = calloc(1, sizeof *list + *count * sizeof *entries);
    if (!list) return -ENOMEM;
    list->nent = *count;
    int32_t result = call(kvm, KVM_GET_SUPPORTED_CPUID, list);
    if (result >= 0) {
        *count = list->nent;
        memcpy(entries, list->entries, list->nent * sizeof *entries);
    }
    free(list);
    return result;
}

int32_t ch_kvm_msr_list(int32_t kvm, uint32_t *indices, uint32_t *count) {
    struct kvm_msr_list *list = calloc(1, sizeof *list + *count * sizeof *indices);
    if (!list) return -ENOMEM;
    list->nmsrs = *count;
    int32_t result = call(kvm, KVM_GET_MSR_INDEX_LIST, list);
    if (result >= 0) {
        *count = list->nmsrs;
        memcpy(indices, list->indices, list->nmsrs * sizeof *indices);
    }
    free(list);
    return result;
}

int32_t ch_kvm_set_msr_filter(int32_t vm, bool deny_others, const ch_kvm_msr_range *ranges, uint32_t count) {
    if (count > CH_KVM_MSR_RANGES) return -E2BIG;
    struct kvm_msr_filter filter = {.flags = deny_others ? KVM_MSR_FILTER_DEFAULT_DENY : KVM_MSR_FILTER_DEFAULT_ALLOW};
    for (uint32_t i = 0; i < count; i++) {
        const ch_kvm_msr_range *range = &ranges[i];
        filter.ranges[i] = (struct kvm_msr_filter_range){range->flags, range->count, range->first, range->bitmap};
    }
    return call(vm, KVM_X86_SET_MSR_FILTER, &filter);
}

/* ---- vCPU -------------------------------------------------------------------------------------------------------- */
int32_t ch_kvm_create_vcpu(int32_t kvm, int32_t vm, uint32_t index, ch_kvm_cpu *cpu) {
    int32_t size = call_number(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < 0) return size;
    int32_t fd = call_number(vm, KVM_CREATE_VCPU, index);
    if (fd < 0) return fd;
    void *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (run == MAP_FAILED) {
        int32_t error = -errno;
        close(fd);
        return error;
    }
    cpu->fd = fd;
    cpu->run = run;
    cpu->run_size = (uint64_t)size;
    return 0;
}

void ch_kvm_destroy_vcpu(ch_kvm_cpu *cpu) {
    munmap(cpu->run, cpu->run_size);
    close(cpu->fd);
}

int32_t ch_kvm_set_cpuid(int32_t vcpu, const struct kvm_cpuid_entry2 *entries, uint32_t count) {
    struct kvm_cpuid2 *list = calloc(1, sizeof *list + count * sizeof *entries);
    if (!list) return -ENOMEM;
    list->nent = count;
    memcpy(list->entries, entries, count * sizeof *entries);
    int32_t result = call(vcpu, KVM_SET_CPUID2, list);
    free(list);
    return result;
}

int32_t ch_kvm_interrupt(int32_t vcpu, uint32_t vector) {
    struct kvm_interrupt interrupt = {vector};
    return call(vcpu, KVM_INTERRUPT, &interrupt);
}
int32_t ch_kvm_nmi(int32_t vcpu) { return call_number(vcpu, KVM_NMI, 0); }
int32_t ch_kvm_get_regs(int32_t vcpu, struct kvm_regs *out) { return call(vcpu, KVM_GET_REGS, out); }
int32_t ch_kvm_set_regs(int32_t vcpu, const struct kvm_regs *in) { return call(vcpu, KVM_SET_REGS, in); }
int32_t ch_kvm_get_sregs(int32_t vcpu, struct kvm_sregs *out) { return call(vcpu, KVM_GET_SREGS, out); }
int32_t ch_kvm_set_sregs(int32_t vcpu, const struct kvm_sregs *in) { return call(vcpu, KVM_SET_SREGS, in); }
int32_t ch_kvm_get_pdptes(int32_t vcpu, uint64_t out[4]) {
    struct kvm_sregs2 all = {0};
    int32_t result = call(vcpu, KVM_GET_SREGS2, &all);
    if (result < 0) return result;
    if (!(all.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)) return -ENODATA;
    memcpy(out, all.pdptrs, sizeof all.pdptrs);
    return 0;
}
int32_t ch_kvm_set_pdptes(int32_t vcpu, const uint64_t in[4]) {
    struct kvm_sregs2 all = {0};
    int32_t result = call(vcpu, KVM_GET_SREGS2, &all);
    if (result < 0) return result;
    all.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    memcpy(all.pdptrs, in, sizeof all.pdptrs);
    return call(vcpu, KVM_SET_SREGS2, &all);
}
int32_t ch_kvm_get_fpu(int32_t vcpu, struct kvm_fpu *out) { return call(vcpu, KVM_GET_FPU, out); }
int32_t ch_kvm_set_fpu(int32_t vcpu, const struct kvm_fpu *in) { return call(vcpu, KVM_SET_FPU, in); }
int32_t ch_kvm_get_debugregs(int32_t vcpu, struct kvm_debugregs *out) { return call(vcpu, KVM_GET_DEBUGREGS, out); }
int32_t ch_kvm_set_debugregs(int32_t vcpu, const struct kvm_debugregs *in) { return call(vcpu, KVM_SET_DEBUGREGS, in); }
int32_t ch_kvm_get_events(int32_t vcpu, struct kvm_vcpu_events *out) { return call(vcpu, KVM_GET_VCPU_EVENTS, out); }
int32_t ch_kvm_set_events(int32_t vcpu, const struct kvm_vcpu_events *in) {
    return call(vcpu, KVM_SET_VCPU_EVENTS, in);
}
int32_t ch_kvm_set_guest_debug(int32_t vcpu, const struct kvm_guest_debug *in) {
    return call(vcpu, KVM_SET_GUEST_DEBUG, in);
}
int32_t ch_kvm_get_tsc_khz(int32_t vcpu) { return call_number(vcpu, KVM_GET_TSC_KHZ, 0); }

/* KVM_SET_XSAVE reads as many bytes as KVM_CAP_XSAVE2 says, which is more than its struct where AMX is on. */
static bool area_is_small(int32_t vm) { return ch_kvm_check(vm, KVM_CAP_XSAVE2) <= (int32_t)sizeof(struct kvm_xsave); }

int32_t ch_kvm_get_xsave(int32_t vm, int32_t vcpu, void *area) {
    return area_is_small(vm) ? call(vcpu, KVM_GET_XSAVE, area) : -E2BIG;
}
int32_t ch_kvm_set_xsave(int32_t vm, int32_t vcpu, const void *area) {
    return area_is_small(vm) ? call(vcpu, KVM_SET_XSAVE, area) : -E2BIG;
}

int32_t ch_kvm_get_xcr0(int32_t vcpu, uint64_t *out) {
    struct kvm_xcrs list = {0};
    int32_t result = call(vcpu, KVM_GET_XCRS, &list);
    if (result < 0) return result;
    for (uint32_t i = 0; i < list.nr_xcrs && i < KVM_MAX_XCRS; i++) {
        if (list.xcrs[i].xcr != 0) continue;
        *out = list.xcrs[i].value;
        return 0;
    }
    return -ENOENT;
}

int32_t ch_kvm_set_xcr0(int32_t vcpu, uint64_t value) {
    struct kvm_xcrs list = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = value}}};
    return call(vcpu, KVM_SET_XCRS, &list);
}

int32_t ch_kvm_get_mp_state(int32_t vcpu, uint32_t *out) {
    struct kvm_mp_state state = {0};
    int32_t result = call(vcpu, KVM_GET_MP_STATE, &state);
    *out = state.mp_state;
    return result;
}
int32_t ch_kvm_set_mp_state(int32_t vcpu, uint32_t state) {
    struct kvm_mp_state value = {state};
    return call(vcpu, KVM_SET_MP_STATE, &value);
}

/* A list of one: kvm_msrs ends in an array without a length. */
typedef union one_msr {
    struct kvm_msrs list;
    uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
} one_msr;
int32_t ch_kvm_get_msr(int32_t vcpu, uint32_t index, uint64_t *out) {
    one_msr msr = {.room = {0}};
    msr.list.nmsrs = 1;
    msr.list.entries[0].index = index;
    int32_t result = call(vcpu, KVM_GET_MSRS, &msr);
    if (result < 0) return result;
    if (result != 1) return -EINVAL;
    *out = msr.list.entries[0].data;
    return 0;
}
int32_t ch_kvm_set_msr(int32_t vcpu, uint32_t index, uint64_t value) {
    one_msr msr = {.room = {0}};
    msr.list.nmsrs = 1;
    msr.list.entries[0].index = index;
    msr.list.entries[0].data = value;
    int32_t result = call(vcpu, KVM_SET_MSRS, &msr);
    return result < 0 ? result : result == 1 ? 0 : -EINVAL;
}

/* KVM does the entries of a list in order, stops at the first that it cannot do, and says how many it did. */
enum { MSR_LIST_ROOM = 128 };
typedef union msr_list {
    struct kvm_msrs list;
    uint8_t room[sizeof(struct kvm_msrs) + MSR_LIST_ROOM * sizeof(struct kvm_msr_entry)];
} msr_list;
static uint32_t do_msrs(int32_t vcpu, unsigned long request, msr_list *msrs, const struct kvm_msr_entry *entries,
                        uint32_t count) {
    msrs->list.nmsrs = count < MSR_LIST_ROOM ? count : MSR_LIST_ROOM;
    memcpy(msrs->list.entries, entries, msrs->list.nmsrs * sizeof *entries);
    int32_t done = call(vcpu, request, msrs);
    return done < 0 ? 0 : (uint32_t)done;
}
uint32_t ch_kvm_get_msrs(int32_t vcpu, struct kvm_msr_entry *entries, uint32_t count) {
    msr_list msrs = {.room = {0}};
    uint32_t left = 0;
    for (uint32_t at = 0; at < count;) {
        uint32_t done = do_msrs(vcpu, KVM_GET_MSRS, &msrs, entries + at, count - at);
        memcpy(entries + left, msrs.list.entries, done * sizeof *entries);
        left += done;
        at += done + (done < msrs.list.nmsrs);
    }
    return left;
}
void ch_kvm_set_msrs(int32_t vcpu, const struct kvm_msr_entry *entries, uint32_t count) {
    msr_list msrs = {.room = {0}};
    for (uint32_t at = 0; at < count;) {
        uint32_t done = do_msrs(vcpu, KVM_SET_MSRS, &msrs, entries + at, count - at);
        at += done + (done < msrs.list.nmsrs);
    }
}

static int32_t tsc_offset(int32_t vcpu, unsigned long request, uint64_t *value) {
    struct kvm_device_attr attribute = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET};
    attribute.addr = (uintptr_t)value;
    return call(vcpu, request, &attribute);
}
int32_t ch_kvm_get_tsc_offset(int32_t vcpu, uint64_t *out) { return tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, out); }
int32_t ch_kvm_set_tsc_offset(int32_t vcpu, uint64_t value) { return tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &value); }

int32_t ch_kvm_translate(int32_t vcpu, uint64_t linear, uint64_t *physical, bool *valid) {
    struct kvm_translation translation = {.linear_address = linear};
    int32_t result = call(vcpu, KVM_TRANSLATE, &translation);
    *physical = translation.physical_address;
    *valid = translation.valid != 0;
    return result;
}
