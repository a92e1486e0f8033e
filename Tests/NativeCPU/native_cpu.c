// The way in and out of the foreign state is a signal frame: a handler can replace all registers at once, and the kernel saves all of
// them at the exception that ends the run.
#define _GNU_SOURCE
#include "native_cpu.h"

#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define SIGNALS 5
static const int signals[SIGNALS] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
static struct sigaction old_actions[SIGNALS], old_timer_action;
static stack_t old_stack;
static void *signal_stack;
static sigset_t old_mask;
static timer_t watchdog;
static pid_t owner;

// State of the run; touched by the owner's thread and its handlers only.
static struct nc_state *volatile current;
static volatile int is_inside;
static volatile uint64_t runs, runs_at_tick;
static greg_t host_registers[NGREG];
static uint8_t host_fx[512];

enum { frame_bytes = 464, stack_bytes = 64 * 1024 };

extern const char nc_enter_point[];

static const int places[16] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void enter(ucontext_t *context) {
    greg_t *registers = context->uc_mcontext.gregs;
    uint8_t *fx = (uint8_t *)context->uc_mcontext.fpregs;
    memcpy(host_registers, registers, sizeof host_registers);
    memcpy(host_fx, fx, frame_bytes);
    const struct nc_state *state = current;
    for (int i = 0; i < 16; i++) registers[places[i]] = (greg_t)state->gpr[i];
    registers[REG_RIP] = (greg_t)state->rip;
    registers[REG_EFL] = (greg_t)state->rflags;
    // CS in the lowest word, SS in the highest. DS and ES are not in the frame; 64-bit code looks at neither.
    uint64_t selectors = (uint64_t)registers[REG_CSGSFS] & 0x0000ffffffff0000;
    registers[REG_CSGSFS] = (greg_t)(selectors | state->cs | (uint64_t)state->ss << 48);
    __asm__ volatile("mov %0, %%ds\n\tmov %1, %%es" ::"r"((uint32_t)state->ds), "r"((uint32_t)state->es));
    memcpy(fx, state->fx, frame_bytes);
    // XSTATE_BV of the XSAVE header behind the legacy area: x87 and SSE are there.
    uint64_t present;
    memcpy(&present, fx + 512, sizeof present);
    present |= 3;
    memcpy(fx + 512, &present, sizeof present);
    is_inside = 1;
}

static void leave(ucontext_t *context, uint64_t vector) {
    greg_t *registers = context->uc_mcontext.gregs;
    uint8_t *fx = (uint8_t *)context->uc_mcontext.fpregs;
    struct nc_state *state = current;
    for (int i = 0; i < 16; i++) state->gpr[i] = (uint64_t)registers[places[i]];
    state->rip = (uint64_t)registers[REG_RIP];
    state->rflags = (uint64_t)registers[REG_EFL];
    state->vector = vector;
    state->error = (uint64_t)registers[REG_ERR];
    state->cr2 = (uint64_t)registers[REG_CR2];
    uint32_t ds, es;
    __asm__ volatile("mov %%ds, %0\n\tmov %%es, %1" : "=r"(ds), "=r"(es));
    state->cs = (uint16_t)registers[REG_CSGSFS];
    state->ss = (uint16_t)((uint64_t)registers[REG_CSGSFS] >> 48);
    state->ds = (uint16_t)ds;
    state->es = (uint16_t)es;
    memcpy(state->fx, fx, frame_bytes);
    memcpy(registers, host_registers, sizeof host_registers);
    registers[REG_RIP] += 2;  // behind UD2
    memcpy(fx, host_fx, frame_bytes);
    is_inside = 0;
}

static void forward(int number, siginfo_t *info, void *context) {
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i] != number) continue;
        if (old_actions[i].sa_flags & SA_SIGINFO) {
            old_actions[i].sa_sigaction(number, info, context);
        } else if (old_actions[i].sa_handler != SIG_DFL && old_actions[i].sa_handler != SIG_IGN) {
            old_actions[i].sa_handler(number);
        } else {
            signal(number, SIG_DFL);
        }
    }
}

static void handle(int number, siginfo_t *info, void *raw) {
    ucontext_t *context = raw;
    int is_ours = (pid_t)syscall(SYS_gettid) == owner;
    if (is_ours && is_inside) {
        leave(context, (uint64_t)context->uc_mcontext.gregs[REG_TRAPNO]);
    } else if (is_ours && context->uc_mcontext.gregs[REG_RIP] == (greg_t)nc_enter_point) {
        enter(context);
    } else {
        forward(number, info, raw);
    }
}

static void tick(int number, siginfo_t *info, void *raw) {
    (void)number;
    (void)info;
    if (is_inside && runs == runs_at_tick) leave(raw, 255);
    runs_at_tick = runs;
}

int nc_begin(uint64_t gs_base) {
    owner = (pid_t)syscall(SYS_gettid);
    signal_stack = malloc(stack_bytes);
    if (!signal_stack) return -ENOMEM;
    stack_t stack = {.ss_sp = signal_stack, .ss_size = stack_bytes};
    if (sigaltstack(&stack, &old_stack)) return -errno;
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &old_actions[i]);
    action.sa_sigaction = tick;
    sigaction(SIGRTMIN + 9, &action, &old_timer_action);
    // Threads of libdispatch block it, and a loop without end would stay one.
    sigset_t unblocked;
    sigemptyset(&unblocked);
    sigaddset(&unblocked, SIGRTMIN + 9);
    for (int i = 0; i < SIGNALS; i++) sigaddset(&unblocked, signals[i]);
    pthread_sigmask(SIG_UNBLOCK, &unblocked, &old_mask);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 9};
    event._sigev_un._tid = owner;
    // Of the thread's own time: a busy host may keep it waiting in the middle of a run.
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watchdog)) return -errno;
    struct itimerspec period = {.it_interval = {0, 50000000}, .it_value = {0, 50000000}};
    timer_settime(watchdog, 0, &period, NULL);
    if (syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, gs_base)) return -errno;
    return 0;
}

void nc_end(void) {
    timer_delete(watchdog);
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" ::"r"(0));
    syscall(SYS_arch_prctl, 0x1001, 0);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &old_actions[i], NULL);
    sigaction(SIGRTMIN + 9, &old_timer_action, NULL);
    sigaltstack(&old_stack, NULL);
    free(signal_stack);
    owner = 0;
}

__attribute__((noinline)) void nc_run(struct nc_state *state) {
    current = state;
    runs++;
    __asm__ volatile(".globl nc_enter_point\nnc_enter_point:\n\tud2" ::: "memory");
}

int nc_segment(unsigned index, uint32_t base, uint32_t limit, int is_code, int is_big) {
    struct user_desc segment = {
        .entry_number = index, .base_addr = base, .limit = limit, .seg_32bit = is_big ? 1 : 0, .contents = is_code ? 2 : 0, .useable = 1,
    };
    // 0x11: write an entry. Linux marks it as accessed.
    if (syscall(SYS_modify_ldt, 0x11, &segment, sizeof segment)) return -errno;
    return (int)(index << 3 | 7);
}

void *nc_map(uint64_t address, uint64_t length, int prot) {
    int file = memfd_create("native-cpu", MFD_CLOEXEC);
    if (file < 0) return NULL;
    void *writable = MAP_FAILED;
    if (ftruncate(file, (off_t)length) == 0)
        writable = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    int protection = (prot & 1 ? PROT_READ : 0) | (prot & 2 ? PROT_WRITE : 0) | (prot & 4 ? PROT_EXEC : 0);
    void *fixed = mmap((void *)address, length, protection, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, file, 0);
    close(file);
    return writable == MAP_FAILED || fixed != (void *)address ? NULL : writable;
}

void *nc_guarded(uint64_t length) {
    uint8_t *all = mmap(NULL, length + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all + 4096, length, PROT_READ | PROT_WRITE)) return NULL;
    return all + 4096;
}
