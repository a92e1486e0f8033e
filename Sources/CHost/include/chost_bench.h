/* For the child process in which a plugin is tested, and for its parent. */
#ifndef CHOST_BENCH_H
#define CHOST_BENCH_H
#include "chost_sync.h"

/* ---- The journal: what the child is doing, in memory that it shares with its parent. It outlives the child, however that ends. ---- */
enum { CH_JOURNAL_MACHINES = 8, CH_JOURNAL_NOTE = 256, CH_JOURNAL_TEXT = 1 << 16 /* offset of the text */ };
enum ch_stage { ch_stage_begun, ch_stage_refused, ch_stage_done };

typedef struct ch_journal_machine {
    uint32_t is_used;
    uint32_t is_made;          /* all instances are created and connected */
    uint64_t device;           /* the `ch_node` of the instance under test, as a number; known once it is made */
    ch_machine machine;
} ch_journal_machine;

typedef struct ch_journal {
    uint64_t beats;            /* counts operations and rounds of waiting: where it stands still, the child hangs */
    uint32_t stage;            /* enum ch_stage */
    int32_t status;            /* that a child which is done ends with */
    uint32_t check, round, length; /* what is played: the check's position, its round, the length of its rounds */
    uint32_t machine;          /* the one that is at work */
    uint64_t position;         /* of the operation that was begun last, in the round's list */
    uint64_t text_length;      /* of the text at CH_JOURNAL_TEXT */
    char note[CH_JOURNAL_NOTE];/* what else there is to know of the round, NUL-terminated */
    ch_journal_machine machines[CH_JOURNAL_MACHINES];
} ch_journal;
_Static_assert(sizeof(ch_journal) <= CH_JOURNAL_TEXT, "the text begins behind the journal");

static inline ch_journal_machine *ch_journal_machine_at(ch_journal *journal, uint32_t index) {
    return &journal->machines[index % CH_JOURNAL_MACHINES];
}
static inline char *ch_journal_note(ch_journal *journal) { return journal->note; }
static inline bool ch_has_node(const ch_machine *machine) { return machine->node != 0; }

/* Shared memory of `length` bytes behind a descriptor; NULL: errno says why. */
void *ch_map_shared(int32_t fd, uint64_t length);
/* The calling process ends when its parent does. */
void ch_end_with_parent(void);

/* ---- What the process holds ---------------------------------------------------------------------------------------- */
typedef struct ch_usage {
    uint64_t heap;             /* bytes allocated; exact */
    uint64_t mapped;           /* bytes of address space; 0 under a sanitizer, whose own shadow would be in it */
    uint32_t descriptors, threads;
} ch_usage;
void ch_process_usage(ch_usage *out);
uint32_t ch_thread_count(void); /* but for the watchdog's */
/* Whether descriptors 0 to `count` - 1 are open, one byte each. */
void ch_open_descriptors(uint8_t *open, uint32_t count);
/* What the process has set for all of its threads: handlers of signals, blocked signals, the working directory. Two that are equal
 * give equal hashes. `what` 0: handlers of `signal`; 1: the calling thread's mask; 2: the directory. */
uint64_t ch_process_setting(uint32_t what, int32_t signal);

#endif
