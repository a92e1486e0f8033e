/* The programs by name. Each does a fixed amount of work and returns a checksum of all that it computed. */
#pragma once
#include "linux.h"

#define PROGRAM(name) uint64_t name(void)

/* integer.c: also built for i386 */
PROGRAM(multiply_long);
PROGRAM(sha256);
PROGRAM(chase);
PROGRAM(recursion);
PROGRAM(indirect_calls);
PROGRAM(interpreter);
PROGRAM(hash_table);
PROGRAM(sort);
PROGRAM(byte_loops);

/* floating.c */
PROGRAM(doubles);
PROGRAM(sse);
PROGRAM(strings);
PROGRAM(x87);

/* system.c */
PROGRAM(system_calls);
PROGRAM(page_faults);
PROGRAM(forks);
PROGRAM(execs);
PROGRAM(pipe_ping_pong);
PROGRAM(context_switches);
PROGRAM(shell_script);

/* FNV-1a of a value's eight bytes at once: enough to tell results apart. */
static inline uint64_t mixed(uint64_t sum, uint64_t value) { return (sum ^ value) * 0x100000001b3u; }
/* Pseudo-random, the same at every start. */
static inline uint32_t following(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }
