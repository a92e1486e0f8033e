/* Forwarding functions. Every function of an interface takes (self, index, at most four integers or pointers), so that one
 * body forwards them all: in the System V ABI these are the six integer argument registers, and the result is RAX. */
#include "chost_sync.h"

typedef uint64_t (*forwarded)(void *self, uint32_t index, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* Calls within each other, by a chain of instances: what is beyond waits, or is busy, before the stack ends (1 MiB, Threads.swift). */
enum { MOST_CALLS = 256 };

static void account(ch_wire *wire, uint32_t function) {
    if (function == wire->asks) ch_debt_ask(wire->debt);
    if (function == wire->answers) ch_debt_answer(wire->debt);
    if (function == wire->forgets) ch_debt_forget(wire->debt);
}

static inline uint64_t forward(ch_wire *wire, uint32_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    ch_node *node = wire->node;
    if (__builtin_expect(__atomic_load_n(&wire->machine->holder, __ATOMIC_RELAXED) != ch_thread_id(), 0))
        return wire->machine->call_refused(wire->machine, wire, function);
    if (__builtin_expect(wire->debt != NULL, 0)) account(wire, function);
    if (__builtin_expect(node->depth != 0 || node->is_offline || !wire->self || wire->machine->depth > MOST_CALLS, 0)) {
        uint64_t arguments[4] = {a, b, c, d};
        return wire->machine->call_later(wire->machine, wire, function, arguments);
    }
    forwarded target = ((forwarded const *)((const char *)wire->functions + 8))[function];
    ch_frame frame = ch_enter(wire->machine, node, ch_activity_interface, function);
    uint64_t result = target(wire->self, wire->index, a, b, c, d);
    ch_leave(wire->machine, node, frame);
    return result;
}

#define FORWARD(n)                                                                                                      \
    static uint64_t forward_##n(ch_wire *wire, uint32_t index, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {       \
        (void)index;                                                                                                    \
        return forward(wire, n, a, b, c, d);                                                                            \
    }
FORWARD(0) FORWARD(1) FORWARD(2) FORWARD(3) FORWARD(4) FORWARD(5) FORWARD(6) FORWARD(7)
FORWARD(8) FORWARD(9) FORWARD(10) FORWARD(11) FORWARD(12) FORWARD(13) FORWARD(14) FORWARD(15)

typedef uint64_t (*wire_function)(ch_wire *, uint32_t, uint64_t, uint64_t, uint64_t, uint64_t);
struct table {
    uint32_t size, reserved;
    wire_function functions[CH_WIRE_FUNCTIONS];
};
#define TABLE(n)                                                                                                        \
    {8 + 8 * (n), 0, {forward_0, forward_1, forward_2, forward_3, forward_4, forward_5, forward_6, forward_7,         \
                      forward_8, forward_9, forward_10, forward_11, forward_12, forward_13, forward_14, forward_15}}
static const struct table tables[CH_WIRE_FUNCTIONS + 1] = {
    TABLE(0), TABLE(1), TABLE(2), TABLE(3), TABLE(4), TABLE(5), TABLE(6), TABLE(7), TABLE(8),
    TABLE(9), TABLE(10), TABLE(11), TABLE(12), TABLE(13), TABLE(14), TABLE(15), TABLE(16),
};

const void *ch_wire_table(uint32_t function_count) {
    return &tables[function_count <= CH_WIRE_FUNCTIONS ? function_count : CH_WIRE_FUNCTIONS];
}

static uint64_t answer_nothing(void) { return 0; }
static uint64_t answer_unsupported(void) { return 16; }
const void *ch_wire_stub(int32_t status) { return status ? (const void *)answer_unsupported : (const void *)answer_nothing; }
