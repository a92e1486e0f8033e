#include "chost_sync.h"
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void ch_wait(const uint32_t *word, uint32_t expected, int64_t nanoseconds) {
    struct timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nanoseconds < 0 ? NULL : &limit, NULL, 0);
}

void ch_wake(const uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

/* Whether a barrier on all running threads of the process can be had. */
static bool has_barrier;

/* Before there is a second thread: with others running the kernel waits for all CPUs here, about 5 ms of every start. */
__attribute__((constructor)) static void register_barrier(void) {
    has_barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

static void lock_sleep(ch_lock *lock, uint32_t ticket) {
    __atomic_fetch_add(&lock->sleepers, 1, __ATOMIC_SEQ_CST);
    /* Once is enough: whoever looks at `sleepers` after the barrier sees this waiter, whatever woke it meanwhile. */
    bool is_ordered = has_barrier && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    for (;;) {
        uint32_t now = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE);
        if (now == ticket) break;
        ch_wait(&lock->serving, now, is_ordered ? -1 : 1000000);
    }
    __atomic_fetch_sub(&lock->sleepers, 1, __ATOMIC_SEQ_CST);
}

void ch_lock_wait(ch_lock *lock, uint32_t ticket) {
    for (int spins = 0; spins < 200; spins++) {
        if (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) == ticket) return;
        __builtin_ia32_pause();
    }
    lock_sleep(lock, ticket);
}

void ch_lock_wake(ch_lock *lock) { ch_wake(&lock->serving); }

__thread int32_t ch_kept_thread_id;
int32_t ch_ask_thread_id(void) { return ch_kept_thread_id = (int32_t)syscall(SYS_gettid); }

uint64_t ch_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *const ch_activity_texts[ch_activity_count] = {
    "read", "write", "bulk read", "bulk write", "decide", "observe", "create", "query_interface", "connect", "reset",
    "start", "quiesce", "save", "load", "disconnect", "destroy", "set_property", "a method", "a timer", "an event",
    "a posted call", "the power button", "the console", "an interface function", "acknowledge", "an interrupt line",
};
