/* Locks, the attention word and the record of who is running: the parts of the hot path that need atomics and thread-local
 * storage. Static inline, so that Swift's callers get them inlined. */
#ifndef CHOST_SYNC_H
#define CHOST_SYNC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Attention word: one for each vCPU. Bits are set by any thread and taken by the vCPU's. ------------------------- */
static const uint32_t ch_attention_interrupt = 1; /* the INTR pin is high */
static const uint32_t ch_attention_nmi = 2;       /* an NMI is latched */
static const uint32_t ch_attention_leave = 4;     /* come back to the core: pause, stop, reset, policy change */
static const uint32_t ch_attention_engine = 8;    /* the engine's own: something waits for the vCPU's thread */
static inline uint32_t ch_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline uint32_t ch_set_bits(uint32_t *word, uint32_t bits) { return __atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST); }
static inline uint32_t ch_clear_bits(uint32_t *word, uint32_t bits) { return __atomic_fetch_and(word, ~bits, __ATOMIC_SEQ_CST); }
static inline uint32_t ch_add(uint32_t *word, uint32_t value) { return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST); }
static inline void ch_store(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }
static inline uint64_t ch_load64(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static inline void ch_store64(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
/* Sleeps while *word == expected, at most `nanoseconds` (negative: no limit). May return early. */
void ch_wait(const uint32_t *word, uint32_t expected, int64_t nanoseconds);
void ch_wake(const uint32_t *word);

/* ---- A fair lock: waiters get it in turn (a guest that spins on a port cannot starve the event loop) ---------------
 * One locked instruction for taking it and none for giving it back: a locked one costs about 5 ns, half of a port access.
 * That leaves the releaser's store to `serving` free to become visible after its load of `sleepers` (x86 reorders just
 * that). No wake-up is lost all the same, because a waiter pays for the order on its slow path: it counts itself in
 * `sleepers`, runs a barrier on every running thread of the process (membarrier), and only then looks at `serving` again
 * and sleeps. When the barrier meets the releaser, either its load of `sleepers` is still to come, and then it sees the
 * waiter and wakes it; or its store came before that load and so before the barrier, and then the waiter's last look
 * sees it (FUTEX_WAIT compares once more). Where the kernel has no membarrier a sleep lasts 1 ms at most. */
typedef struct ch_lock {
    uint32_t next;     /* ticket that the next comer draws */
    uint32_t serving;  /* ticket that holds the lock; written by the holder only */
    uint32_t sleepers; /* waiters that sleep on `serving`, or are about to */
} ch_lock;
void ch_lock_wait(ch_lock *lock, uint32_t ticket);
void ch_lock_wake(ch_lock *lock);
static inline void ch_lock_acquire(ch_lock *lock) {
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket, 0)) ch_lock_wait(lock, ticket);
}
static inline void ch_lock_release(ch_lock *lock) {
    uint32_t next = __atomic_load_n(&lock->serving, __ATOMIC_RELAXED) + 1;
    __atomic_store_n(&lock->serving, next, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler keeps the order; the CPU need not */
    if (__builtin_expect(__atomic_load_n(&lock->sleepers, __ATOMIC_RELAXED) != 0, 0)) ch_lock_wake(lock);
}

/* The calling thread's id, kept where it costs a load: the kernel's own answer costs 50 ns. */
extern __thread int32_t ch_kept_thread_id __attribute__((tls_model("initial-exec")));
int32_t ch_ask_thread_id(void);
static inline int32_t ch_thread_id(void) { return ch_kept_thread_id ? ch_kept_thread_id : ch_ask_thread_id(); }

/* ---- Who is running: read by the crash reporter on the thread itself, and by the watchdog ------------------------- */
/* What a crash report calls the running callback: static texts. */
enum ch_activity {
    ch_activity_read, ch_activity_write, ch_activity_bulk_read, ch_activity_bulk_write, ch_activity_decide,
    ch_activity_observe, ch_activity_create, ch_activity_query, ch_activity_connect, ch_activity_reset,
    ch_activity_start, ch_activity_quiesce, ch_activity_save, ch_activity_load, ch_activity_disconnect,
    ch_activity_destroy, ch_activity_set_property, ch_activity_method, ch_activity_timer, ch_activity_event,
    ch_activity_posted, ch_activity_power_button, ch_activity_console, ch_activity_interface, ch_activity_acknowledge,
    ch_activity_line, ch_activity_count
};
static inline const char *ch_text_memory(void) { return "memory"; }
extern const char *const ch_activity_texts[ch_activity_count];
typedef struct ch_node {      /* one for each plugin instance */
    int32_t depth;            /* callbacks of it on the call stack */
    uint32_t is_offline;
    const char *id;           /* in the machine file */
    const char *plugin;       /* class name */
} ch_node;

/* Answers that an instance owes: counted under the machine's lock, looked at by the watchdog. */
typedef struct ch_debt {
    ch_node *node;            /* who owes them */
    uint32_t count;           /* outstanding */
    uint32_t progress;        /* changes with each that is given, and with the first that is asked for */
    uint32_t seen;            /* the watchdog's own: progress, ns without any, and whether it has said so */
    uint32_t is_told;
    uint64_t since;
    struct ch_debt *next;     /* set before it is linked */
} ch_debt;
static inline void ch_debt_ask(ch_debt *debt) {
    if (debt->count == 0) ch_store(&debt->progress, debt->progress + 1);
    ch_store(&debt->count, debt->count + 1);
}
static inline void ch_debt_answer(ch_debt *debt) {
    if (debt->count != 0) ch_store(&debt->count, debt->count - 1);
    ch_store(&debt->progress, debt->progress + 1);
}
static inline void ch_debt_forget(ch_debt *debt) { ch_store(&debt->count, 0); }

typedef struct ch_machine {   /* one for each machine; guarded by `lock` but for the words that the watchdog reads */
    ch_lock lock;
    int32_t depth;            /* callbacks on the call stack, of all instances */
    uint32_t has_pending;     /* queued calls, pin changes, requests: drained when depth is back to 0 */
    ch_node *node;            /* innermost running instance, NULL: none */
    uint32_t what;            /* enum ch_activity */
    uint64_t address;         /* of the access, or 0 */
    uint64_t entries;         /* counts entries: the watchdog sees whether one lasts */
    const char *name;         /* of the machine */
    uint64_t watchdog_limit;  /* ns; 0: off */
    uint64_t watchdog_entries, watchdog_since; /* the watchdog's own */
    struct ch_machine *watchdog_next;
    void *owner;              /* the Swift object, unretained */
    uint64_t (*call_later)(struct ch_machine *machine, void *wire, uint32_t function, const uint64_t *arguments);
    /* A wire's function was called from a thread of a plugin's own: refused. */
    uint64_t (*call_refused)(struct ch_machine *machine, void *wire, uint32_t function);
    int32_t holder;           /* thread id that runs callbacks, 0: none */
    uint32_t is_standing;     /* paused, or another guest's turn: nobody need answer */
    ch_debt *debts;
    /* On the watchdog's thread, without any lock: answers have been owed for as long as the watchdog waits. */
    void (*owed)(struct ch_machine *machine, ch_debt *debt);
} ch_machine;

/* Whether the calling thread is in a callback of this instance. Any thread may ask, and no other one can be told yes. */
static inline bool ch_may_call(const ch_machine *machine, const ch_node *node) {
    return node->depth != 0 && __atomic_load_n(&machine->holder, __ATOMIC_RELAXED) == ch_thread_id();
}

typedef struct ch_frame {     /* what an entry covers up, put back on leaving */
    ch_node *node;
    uint32_t what;
    uint64_t address;
} ch_frame;

static inline ch_frame ch_enter(ch_machine *machine, ch_node *node, enum ch_activity what, uint64_t address) {
    ch_frame frame = {machine->node, machine->what, machine->address};
    machine->what = what;
    machine->address = address;
    __atomic_store_n(&machine->node, node, __ATOMIC_RELAXED);
    ch_store64(&machine->entries, machine->entries + 1);
    machine->depth += 1;
    node->depth += 1;
    return frame;
}
static inline void ch_leave(ch_machine *machine, ch_node *node, ch_frame frame) {
    node->depth -= 1;
    machine->depth -= 1;
    machine->what = frame.what;
    machine->address = frame.address;
    __atomic_store_n(&machine->node, frame.node, __ATOMIC_RELAXED);
}

/* The same where no callback is on the stack, as in a vCPU's exit: there is nothing to cover up. */
static inline void ch_enter_first(ch_machine *machine, ch_node *node, enum ch_activity what, uint64_t address) {
    machine->what = what;
    machine->address = address;
    __atomic_store_n(&machine->node, node, __ATOMIC_RELAXED);
    ch_store64(&machine->entries, machine->entries + 1);
    machine->depth = 1;
    node->depth = 1;
}
static inline void ch_leave_first(ch_machine *machine, ch_node *node) {
    node->depth = 0;
    machine->depth = 0;
    __atomic_store_n(&machine->node, (ch_node *)NULL, __ATOMIC_RELAXED);
}

/* ---- Wires: forwarding functions that the core puts between two plugins ------------------------------------------- */
enum { CH_WIRE_FUNCTIONS = 16 };
typedef struct ch_wire {      /* what a plugin holds as its peer's `self` */
    void *self;               /* of the target; NULL once disconnected */
    const void *functions;    /* the target's table; function k at byte 8 + 8k */
    ch_node *node;            /* the target's */
    ch_node *caller;          /* of the instance that holds it */
    ch_machine *machine;
    uint32_t index;           /* handed to the target */
    uint32_t function_count;
    const void *descriptor;   /* the core's, of the called side */
    ch_debt *debt;            /* NULL: none of its functions is about one. Functions by number, 0xff: none */
    uint8_t asks, answers, forgets;
} ch_wire;
/* A table with the layout of every interface: size, then CH_WIRE_FUNCTIONS forwarding functions. */
const void *ch_wire_table(uint32_t function_count);


uint64_t ch_monotonic(void);  /* CLOCK_MONOTONIC, ns */
#endif
