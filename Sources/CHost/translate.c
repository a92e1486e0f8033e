#define _GNU_SOURCE
#include "chost_translate.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#if defined(__x86_64__)
int ch_code_supported(void) { return 1; }
int ch_code_has_bmi2(void) { return __builtin_cpu_supports("bmi2") != 0; }

__asm__(
    ".text\n"
    ".p2align 4\n"
    ".globl ch_run\n"
    ".hidden ch_run\n"
    ".type ch_run, @function\n"
    "ch_run:\n"
    "    .cfi_startproc\n"
    "    push %rbp\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset rbp, 0\n"
    "    push %rbx\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset rbx, 0\n"
    "    push %r12\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r12, 0\n"
    "    push %r13\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r13, 0\n"
    "    push %r14\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r14, 0\n"
    "    push %r15\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r15, 0\n"
    "    sub $8, %rsp\n    .cfi_adjust_cfa_offset 8\n"
    "    mov %rdi, %r15\n"
    "1:  mov %r15, %rdi\n"
    "    call *(%rsi)\n"
    "    mov %rax, %rsi\n"
    "    cmp $1, %rax\n"
    "    jne 1b\n"
    "    add $8, %rsp\n    .cfi_adjust_cfa_offset -8\n"
    "    pop %r15\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r15\n"
    "    pop %r14\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r14\n"
    "    pop %r13\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r13\n"
    "    pop %r12\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r12\n"
    "    pop %rbx\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore rbx\n"
    "    pop %rbp\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore rbp\n"
    "    ret\n"
    "    .cfi_endproc\n"
    ".size ch_run, . - ch_run\n");

/* QEMU's TCG (7.2) reads the frame of an IRET in ring 3 with the rights of ring 0, which SMAP forbids: the kernel of such a host would oops. */
static int host_is_tcg(void) {
    unsigned a, b, c, d;
    __cpuid(1, a, b, c, d);
    if (!(c >> 31)) return 0;
    __cpuid(0x40000000, a, b, c, d);
    return b == 0x54474354 && c == 0x43544743 && d == 0x47435447; /* "TCGTCGTCGTCG" */
}

/* IRETQ to the next instruction: 39 ns, where CPUID would leave the virtual machine that this host may be. */
void ch_serialize(void) {
    static _Atomic int asked; /* 0: not yet, 1: IRETQ does, 2: CPUID has to */
    int how = atomic_load_explicit(&asked, memory_order_relaxed);
    if (!how) atomic_store_explicit(&asked, how = 1 + host_is_tcg(), memory_order_relaxed);
    if (how == 2) {
        uint32_t leaf = 0;
        __asm__ volatile("cpuid" : "+a"(leaf) : : "rbx", "rcx", "rdx", "memory");
        return;
    }
    uint64_t scratch;
    __asm__ volatile(
        "mov %%rsp, %0\n\t"
        "sub $128, %%rsp\n\t"
        "and $-16, %%rsp\n\t"
        "push %0\n\t"
        "mov %%ss, %k0\n\t"
        "xchg %0, (%%rsp)\n\t"
        "push %0\n\t"
        "pushfq\n\t"
        "mov %%cs, %k0\n\t"
        "push %0\n\t"
        "lea 1f(%%rip), %0\n\t"
        "push %0\n\t"
        "iretq\n"
        "1:"
        : "=&r"(scratch) : : "cc", "memory");
}
#else
typedef const void *(*handler)(void *, const void *);
int ch_code_supported(void) { return 0; }
int ch_code_has_bmi2(void) { return 0; }
void ch_run(void *state, const void *operation) {
    while (operation != (const void *)1) operation = (*(handler *)operation)(state, operation);
}
void ch_serialize(void) {}
#endif

int32_t ch_code_map(uint64_t length, void **writable, void **executable) {
    /* Older kernels do not know the second flag; newer ones may demand it. */
    int fd = memfd_create("backplane-code", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create("backplane-code", MFD_CLOEXEC);
    if (fd < 0) return -errno;
    void *w = MAP_FAILED, *x = MAP_FAILED;
    int error = 0;
    if (ftruncate(fd, (off_t)length) < 0) error = errno;
    if (!error) {
        w = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (w == MAP_FAILED) error = errno;
    }
    if (!error) {
        x = mmap(NULL, length, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        if (x == MAP_FAILED) error = errno;
    }
    close(fd);
    if (error) {
        if (w != MAP_FAILED) munmap(w, length);
        return -error;
    }
    /* A child would share the pages, and write into the parent's code. */
    madvise(w, length, MADV_DONTFORK);
    madvise(x, length, MADV_DONTFORK);
    *writable = w;
    *executable = x;
    return 0;
}

void ch_code_unmap(uint64_t length, void *writable, void *executable) {
    munmap(writable, length);
    munmap(executable, length);
}
