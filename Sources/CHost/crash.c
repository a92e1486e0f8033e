#define _GNU_SOURCE
#include "chost_crash.h"
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- A message: built in a buffer, written at once, so that lines of several threads do not mix ------------------ */
typedef struct message {
    size_t length;
    char text[1536];
} message;

static void put(message *m, const char *text) {
    while (text && *text && m->length < sizeof m->text - 1) m->text[m->length++] = *text++;
}
static void put_number(message *m, uint64_t value, unsigned base) {
    char digits[24];
    size_t count = 0;
    do digits[count++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (count > 0 && m->length < sizeof m->text - 1) m->text[m->length++] = digits[--count];
}
static void put_hex(message *m, uint64_t value) {
    put(m, "0x");
    put_number(m, value, 16);
}
static void send(message *m) {
    m->text[m->length++] = '\n';
    for (size_t done = 0; done < m->length;) {
        ssize_t count = write(STDERR_FILENO, m->text + done, m->length - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return; /* a full non-blocking pipe, or nobody there */
        done += (size_t)count;
    }
}

static void put_machine(message *m, const ch_machine *machine) {
    put(m, "backplane: ");
    if (!machine) return;
    put(m, "machine '");
    put(m, machine->name ? machine->name : "?");
    put(m, "': ");
}

/* "read of 0x3f8" */
static void put_activity(message *m, const ch_machine *machine) {
    uint32_t what = machine->what;
    put(m, what < ch_activity_count ? ch_activity_texts[what] : "a callback");
    switch (what) {
    case ch_activity_read:
    case ch_activity_write:
    case ch_activity_bulk_read:
    case ch_activity_bulk_write:
    case ch_activity_decide:
    case ch_activity_observe:
        put(m, " of ");
        put_hex(m, machine->address);
        break;
    case ch_activity_interface:
        put(m, " ");
        put_number(m, machine->address, 10);
        break;
    default: break;
    }
}

/* "instance 'com1' (uart16550), in read of 0x3f8" */
static void put_callback(message *m, const ch_machine *machine, const ch_node *node) {
    put(m, "instance '");
    put(m, node->id ? node->id : "?");
    put(m, "' (");
    put(m, node->plugin ? node->plugin : "?");
    put(m, "), in ");
    put_activity(m, machine);
}

void ch_describe_activity(const ch_machine *machine, char text[64]) {
    message m = {0};
    put_activity(&m, machine);
    size_t length = m.length < 63 ? m.length : 63;
    memcpy(text, m.text, length);
    text[length] = 0;
}

/* A parent may have started us with signals blocked (test runners do). */
static void unblock(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- Which signals are whose ------------------------------------------------------------------------------------ */
static int backtrace_signal(void) { return SIGRTMIN + 1; } /* the watchdog asks a thread where it is */

static const struct {
    int number;
    const char *name;
} fatal_signals[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"},   {SIGILL, "SIGILL"}, {SIGFPE, "SIGFPE"},
    {SIGABRT, "SIGABRT"}, {SIGTRAP, "SIGTRAP"}, {SIGSYS, "SIGSYS"},
};
enum { FATAL_SIGNALS = sizeof fatal_signals / sizeof fatal_signals[0] };

/* ---- Terminal ---------------------------------------------------------------------------------------------------- */
static struct termios tty_settings;
static int tty_flags;
static volatile bool tty_painted;
static volatile int tty_fd = -1;
static volatile pid_t tty_process; /* that has made the terminal raw */

void ch_tty_painted(bool is_painted) { tty_painted = is_painted; }

void ch_tty_restore(void) {
    int fd = tty_fd, saved = errno;
    if (fd < 0 || tty_process != getpid()) return; /* a process that a plugin has forked ends too */
    /* A process in the background that changes the terminal gets SIGTTOU, and would stop here, unless it is blocked. */
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &stop, &before);
    if (tty_painted) { /* the alternate screen; a terminal whose reader stands still must not hold us */
        fcntl(fd, F_SETFL, tty_flags | O_NONBLOCK);
        ssize_t unused = write(fd, CH_TTY_PLAIN, sizeof CH_TTY_PLAIN - 1);
        (void)unused;
        tty_painted = false;
    }
    tcsetattr(fd, TCSANOW, &tty_settings);
    fcntl(fd, F_SETFL, tty_flags);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
}

static bool tty_is_reserved; /* for what is said about the process's end */
static bool tty_in_use;

bool ch_tty_begin_write(void) {
    __atomic_store_n(&tty_in_use, true, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&tty_is_reserved, __ATOMIC_SEQ_CST)) return true;
    ch_tty_end_write();
    return false;
}

void ch_tty_end_write(void) { __atomic_store_n(&tty_in_use, false, __ATOMIC_SEQ_CST); }

void ch_tty_reserve(void) {
    struct timespec millisecond = {0, 1000000};
    __atomic_store_n(&tty_is_reserved, true, __ATOMIC_SEQ_CST);
    /* A write that hangs, or is our own thread's, holds up nothing. */
    for (int waits = 0; waits < 100 && __atomic_load_n(&tty_in_use, __ATOMIC_SEQ_CST); waits++) nanosleep(&millisecond, NULL);
    ch_tty_restore();
}

static void die_politely(int number) {
    ch_tty_restore();
    signal(number, SIG_DFL);
    raise(number); /* blocked until this handler returns */
}

static void handle_if_default(int number) {
    struct sigaction old, action = {.sa_handler = die_politely, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) < 0) return;
    /* Swift's backtracer holds SIGQUIT, and would leave the terminal raw. */
    bool is_free = !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL;
    if (is_free || number == SIGQUIT) sigaction(number, &action, NULL);
}

static bool is_crash(int number) {
    for (int i = 0; i < FATAL_SIGNALS; i++)
        if (fatal_signals[i].number == number) return true;
    return false;
}

/* Every signal whose default action ends the process, but those of crashes, which have a handler of their own, and the
 * watchdog's, which ends nothing. */
static void handle_endings(void) {
    static const int others[] = {SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD, SIGURG, SIGWINCH};
    for (int number = 1; number <= SIGRTMAX; number++) {
        bool ends = !is_crash(number) && number != backtrace_signal();
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) ends = ends && number != others[i];
        if (ends) handle_if_default(number);
    }
    static const int asked[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) unblock(asked[i]);
}

static void register_exit(void) { atexit(ch_tty_restore); }

int32_t ch_tty_save(int32_t fd) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct termios settings;
    if (tcgetattr(fd, &settings) < 0) return -errno;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    tty_fd = -1;
    tty_settings = settings;
    tty_flags = flags;
    tty_process = getpid();
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    tty_fd = fd;
    pthread_once(&once, register_exit);
    handle_endings();
    return 0;
}

void ch_tty_release(void) {
    ch_tty_restore();
    tty_fd = -1;
}

/* ---- Crash reporter ---------------------------------------------------------------------------------------------- */
enum { STACK_BYTES = 128 * 1024, GUARD_BYTES = 4096, FRAMES = 48 };
static ch_machine *watched;
static __thread ch_machine *thread_machine;
static __thread void *thread_stack; /* the alternate one, with its guard page below */
static __thread char thread_activity[512];
static uint32_t reporting; /* thread id of the one that reports */

static void put_signal(message *m, int number, const siginfo_t *info, const ucontext_t *context) {
    const char *name = "signal";
    for (int i = 0; i < FATAL_SIGNALS; i++)
        if (fatal_signals[i].number == number) name = fatal_signals[i].name;
    put(m, name);
    if (info->si_code <= 0) { /* sent by a process: abort() does so too */
        if (number != SIGABRT) put(m, ", sent by a process");
        return;
    }
    uint64_t address = (uintptr_t)info->si_addr;
    if (number == SIGTRAP) address = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    put(m, " at address ");
    put_hex(m, address);
    uint64_t distance = address - (uint64_t)context->uc_mcontext.gregs[REG_RSP] + 0x10000;
    if (number == SIGSEGV && distance < 0x20000) put(m, ": probably the stack overflowed");
}

/* The one whose callback this thread runs, as an operator's thread does too; else the one that it serves. The list is read without its
 * lock: machines come and go seldom, and the alternative is not to know. */
static ch_machine *machine_of_thread(void) {
    int32_t me = ch_thread_id();
    for (ch_machine *machine = watched; machine; machine = machine->watchdog_next)
        if (machine->holder == me && machine->depth > 0) return machine;
    return thread_machine;
}

/* The instance whose callback this thread runs. Another thread may be in one of the same machine. */
static ch_node *node_of_thread(const ch_machine *machine) {
    ch_node *node = machine ? __atomic_load_n(&machine->node, __ATOMIC_RELAXED) : NULL;
    return node && machine->holder && machine->holder != ch_thread_id() ? NULL : node;
}

static void report(int number, const siginfo_t *info, const ucontext_t *context) {
    message m = {0};
    ch_machine *machine = machine_of_thread();
    put_machine(&m, machine);
    ch_node *node = node_of_thread(machine);
    if (node) {
        put(&m, "plugin crashed: ");
        put_callback(&m, machine, node);
    } else if (thread_activity[0]) {
        put(&m, "crashed while ");
        put(&m, thread_activity);
    } else {
        put(&m, machine ? "the VMM crashed, in no plugin" : "the VMM crashed, on a thread that serves no machine");
    }
    put(&m, ": ");
    put_signal(&m, number, info, context);
    send(&m);
}

static void print_backtrace(void) {
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES);
    if (count > 0) backtrace_symbols_fd(frames, count, STDERR_FILENO);
}

/* The default action, once this handler has returned: `raise` is blocked until then. */
static void default_action(int number) {
    signal(number, SIG_DFL);
    raise(number);
}

static void crashed(int number, siginfo_t *info, void *context) {
    uint32_t nobody = 0, me = (uint32_t)ch_thread_id();
    if (!__atomic_compare_exchange_n(&reporting, &nobody, me, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        if (nobody == me) { /* the reporter itself, in its backtrace: enough was said */
            default_action(number);
            return;
        }
        for (int waits = 0; waits < 5; waits++) { /* two threads crashed at once: let the first one end the process */
            struct timespec second = {1, 0};
            nanosleep(&second, NULL);
        }
        default_action(number);
        return;
    }
    ch_tty_reserve();
    report(number, info, context);
    print_backtrace();
    default_action(number);
}

static int install_error;
static void install_fatal(void) {
    void *frame;
    backtrace(&frame, 1); /* loads the unwinder now: its first use allocates */
    struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < FATAL_SIGNALS; i++)
        if (sigaction(fatal_signals[i].number, &action, NULL) < 0) install_error = -errno;
}

int32_t ch_thread_begin(ch_machine *machine) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fatal);
    if (install_error) return install_error;
    thread_machine = machine;
    if (thread_stack) return 0;
    for (int i = 0; i < FATAL_SIGNALS; i++) unblock(fatal_signals[i].number);
    unblock(backtrace_signal());
    void *stack = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) return -errno;
    mprotect(stack, GUARD_BYTES, PROT_NONE);
    stack_t alternate = {.ss_sp = (char *)stack + GUARD_BYTES, .ss_size = STACK_BYTES};
    if (sigaltstack(&alternate, NULL) < 0) {
        int32_t error = -errno;
        munmap(stack, GUARD_BYTES + STACK_BYTES);
        return error;
    }
    thread_stack = stack;
    return 0;
}

void ch_thread_end(void) {
    thread_machine = NULL;
    thread_activity[0] = 0;
    if (!thread_stack) return;
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    munmap(thread_stack, GUARD_BYTES + STACK_BYTES);
    thread_stack = NULL;
}

void ch_set_activity(const char *text) {
    size_t length = text ? strnlen(text, sizeof thread_activity - 1) : 0;
    if (length) memcpy(thread_activity, text, length);
    thread_activity[length] = 0;
}

/* ---- Ends that nobody of ours asked for ------------------------------------------------------------------------- */
static volatile pid_t reporting_process; /* whose ends are reported; 0: none's */

_Noreturn void ch_end_process(int status) {
    for (;;) syscall(SYS_exit_group, status);
}

/* "a plugin has ended the process: instance 'com1' (uart16550), in write of 0x3f8: exit(3)". A process that a plugin has forked may end as it
 * likes, and so may our own threads outside of callbacks. */
static void report_end(const char *call, const int *status) {
    if (!reporting_process || reporting_process != getpid()) return;
    ch_machine *machine = machine_of_thread();
    ch_node *node = node_of_thread(machine);
    bool is_ours = thread_stack || gettid() == reporting_process;
    if (!node && !thread_activity[0] && (is_ours || !watched)) return;
    message m = {0};
    put_machine(&m, node ? machine : NULL);
    if (node) {
        put(&m, "a plugin has ended the process: ");
        put_callback(&m, machine, node);
    } else if (thread_activity[0]) {
        put(&m, "the process was ended while ");
        put(&m, thread_activity);
    } else {
        put(&m, "a plugin has ended the process, on a thread of its own");
    }
    put(&m, ": ");
    put(&m, call);
    if (status) {
        put(&m, *status < 0 ? "(-" : "(");
        put_number(&m, *status < 0 ? -(uint64_t)*status : (uint64_t)*status, 10);
        put(&m, ")");
    }
    ch_tty_reserve();
    send(&m);
    ch_end_process(node || !thread_activity[0] ? CH_STATUS_PLUGIN_FAULT : 2);
}

static void exiting(int status, void *nothing) {
    (void)nothing;
    report_end("exit", &status);
}
static void exiting_quickly(void) { report_end("quick_exit", NULL); }
static void register_ends(void) {
    reporting_process = getpid();
    on_exit(exiting, NULL);
    at_quick_exit(exiting_quickly);
}
void ch_report_exit(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_ends);
}

/* These two run no handler. Libraries that the program loads find its definitions before the C library's. (The address sanitizer needs its own.) */
#if !__has_feature(address_sanitizer)
__attribute__((visibility("default"))) _Noreturn void _exit(int status) {
    report_end("_exit", &status);
    ch_end_process(status);
}
__attribute__((visibility("default"))) _Noreturn void _Exit(int status) {
    report_end("_Exit", &status);
    ch_end_process(status);
}
#endif

/* ---- Watchdog ---------------------------------------------------------------------------------------------------- */
static const uint64_t tick = 250000000;
static pthread_mutex_t watchdog_lock = PTHREAD_MUTEX_INITIALIZER; /* of the list only */
static pthread_cond_t watchdog_changed;
static bool watchdog_runs;
static uint32_t backtrace_done;

static void backtrace_asked(int number) {
    (void)number;
    int saved = errno;
    print_backtrace();
    __atomic_store_n(&backtrace_done, 1, __ATOMIC_SEQ_CST);
    errno = saved;
}

static void show_hung_thread(int32_t thread) {
    if (!thread || syscall(SYS_tgkill, getpid(), thread, backtrace_signal()) < 0) return;
    for (int waits = 0; waits < 100 && !ch_load(&backtrace_done); waits++) {
        struct timespec pause = {0, 10000000};
        nanosleep(&pause, NULL);
    }
}

static _Noreturn void end_hung(const ch_machine *machine, const ch_node *node) {
    message m = {0};
    ch_tty_reserve();
    put_machine(&m, machine);
    put(&m, "plugin does not return: ");
    put_callback(&m, machine, node);
    put(&m, ", for ");
    uint64_t limit = machine->watchdog_limit;
    put_number(&m, limit >= 1000000000 ? limit / 1000000000 : limit / 1000000, 10);
    put(&m, limit >= 1000000000 ? " s" : " ms");
    send(&m);
    show_hung_thread(machine->holder);
    ch_end_process(CH_STATUS_PLUGIN_FAULT);
}

/* Asked for, and not answered: nothing hangs, so the machine goes on and only says so, once. */
static void look_at_debt(ch_machine *machine, ch_debt *debt, uint64_t passed, uint64_t limit) {
    uint32_t progress = ch_load(&debt->progress);
    if (!ch_load(&debt->count) || progress != debt->seen || debt->node->is_offline) {
        debt->seen = progress;
        debt->since = 0;
        debt->is_told = 0;
        return;
    }
    if (ch_load(&machine->is_standing)) return;
    debt->since += passed;
    if (debt->since < limit || debt->is_told) return;
    debt->is_told = 1;
    if (machine->owed) machine->owed(machine, debt);
}

/* `watchdog_since` adds up how long the same entry has lasted. */
static void look_at(ch_machine *machine, uint64_t passed) {
    ch_node *node = __atomic_load_n(&machine->node, __ATOMIC_RELAXED);
    uint64_t entries = ch_load64(&machine->entries), limit = ch_load64(&machine->watchdog_limit);
    ch_debt *debt = limit ? __atomic_load_n(&machine->debts, __ATOMIC_ACQUIRE) : NULL;
    for (; debt; debt = debt->next) look_at_debt(machine, debt, passed, limit);
    if (!node || !limit || entries != machine->watchdog_entries) {
        machine->watchdog_entries = entries;
        machine->watchdog_since = 0;
        return;
    }
    machine->watchdog_since += passed;
    if (machine->watchdog_since >= limit) end_hung(machine, node);
}

static void *watch(void *argument) {
    (void)argument;
    uint64_t last = ch_monotonic();
    pthread_mutex_lock(&watchdog_lock);
    for (;;) {
        while (!watched) {
            pthread_cond_wait(&watchdog_changed, &watchdog_lock);
            last = ch_monotonic();
        }
        uint64_t next = last + tick;
        struct timespec until = {(time_t)(next / 1000000000), (long)(next % 1000000000)};
        if (pthread_cond_timedwait(&watchdog_changed, &watchdog_lock, &until) != ETIMEDOUT) continue;
        uint64_t now = ch_monotonic(), passed = now - last;
        last = now;
        for (ch_machine *machine = watched; machine; machine = machine->watchdog_next)
            look_at(machine, passed < 2 * tick ? passed : 2 * tick); /* more: the process was stopped */
    }
    return NULL;
}

/* With every signal blocked, so that none of the process's is handled here. */
static int32_t start_watchdog(void) {
    struct sigaction action = {.sa_handler = backtrace_asked, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(backtrace_signal(), &action, NULL) < 0) return -errno;
    void *frame;
    backtrace(&frame, 1);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog_changed, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!error) pthread_setname_np(thread, "watchdog");
    return -error;
}

int32_t ch_watchdog_add(ch_machine *machine) {
    int32_t error = 0;
    pthread_mutex_lock(&watchdog_lock);
    if (!watchdog_runs) error = start_watchdog();
    if (!error) {
        watchdog_runs = true;
        machine->watchdog_entries = ch_load64(&machine->entries);
        machine->watchdog_since = 0;
        machine->watchdog_next = watched;
        watched = machine;
        pthread_cond_signal(&watchdog_changed);
    }
    pthread_mutex_unlock(&watchdog_lock);
    return error;
}

void ch_watchdog_remove(ch_machine *machine) {
    pthread_mutex_lock(&watchdog_lock);
    for (ch_machine **link = &watched; *link; link = &(*link)->watchdog_next) {
        if (*link != machine) continue;
        *link = machine->watchdog_next;
        machine->watchdog_next = NULL;
        break;
    }
    pthread_mutex_unlock(&watchdog_lock);
}
