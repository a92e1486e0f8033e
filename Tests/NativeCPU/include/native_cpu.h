// Runs instructions on this host's own CPU, from any register state, until the first exception. For tests on x86-64 Linux.
#ifndef NATIVE_CPU_H
#define NATIVE_CPU_H

#include <stdint.h>

struct nc_state {
    uint64_t gpr[16];  // RAX RCX RDX RBX RSP RBP RSI RDI R8-R15
    uint64_t rip;
    uint64_t rflags;
    // Out: the exception that ended it (255: out of time), its error code and CR2.
    uint64_t vector;
    uint64_t error;
    uint64_t cr2;
    // In and out: selectors.
    uint16_t cs, ss, ds, es;
    // An FXSAVE image; bytes from 464 on do not count.
    _Alignas(16) uint8_t fx[512];
};

// Takes the signals of this thread for the following nc_run; 0 or -errno. GS.base becomes `gs_base`. Only one thread at a time.
int nc_begin(uint64_t gs_base);
// Gives the signals back.
void nc_end(void);
// Runs from the state until an exception and leaves the state there. RFLAGS.TF and AC must be clear.
void nc_run(struct nc_state *state);

// Selectors of Linux for user code of 64 and 32 bits, and for user data.
enum { nc_code64 = 0x33, nc_code32 = 0x23, nc_data = 0x2b };
// Makes a segment of the process's LDT, of ring 3 and accessed; returns its selector, or -errno. `limit` in bytes, below 1 MiB.
int nc_segment(unsigned index, uint32_t base, uint32_t limit, int is_code, int is_big);

// Maps `length` bytes at `address` (both multiples of 4096) for execution or data, and again elsewhere for writing; NULL: not possible.
// prot: 1 read, 2 write, 4 execute, of the fixed mapping.
void *nc_map(uint64_t address, uint64_t length, int prot);
// `length` bytes between two pages that nobody may touch; NULL: not possible.
void *nc_guarded(uint64_t length);

#endif
