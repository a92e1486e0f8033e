/* What the files of SIMD handlers share. */
#ifndef SIMD_H
#define SIMD_H
#include <emmintrin.h>
#include <stdbool.h>
#include <string.h>
#include "include/chost_simd.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define PLACE(n) ((char *)s + CH_VECTORS + 16 * (size_t)(n))
#define VECTOR(n) (*(__m128i_u *)PLACE(n))
#define LOW64(n) (*(uint64_t *)PLACE(n))
#define GENERAL(offset) (*(uint64_t *)((char *)s + (offset)))
#define MXCSR (*(uint32_t *)((char *)s + CH_MXCSR))
#define X87 ((struct ch_x87 *)((char *)s + CH_X87))
#define IMMEDIATE ((uint8_t)op->large)
#define HANDLER(name) static const void *name(void *s, const void *p)
#define OPERATION const struct ch_op *op = p
#define NEXT do { const struct ch_op *following = op + 1; __attribute__((musttail)) return following->run(s, following); } while (0)
#define FAULT(vector) do { *((uint8_t *)s + CH_FAULT) = (vector); ch_handler raise_it = (ch_handler)op->imm64; \
        __attribute__((musttail)) return raise_it(s, p); } while (0)

/* An MMX instruction: pending x87 exceptions first; afterwards TOP is 0 and every register valid. */
#define MMX_BEGIN do { if (X87->status & 0x80) FAULT(16); } while (0)
#define MMX_TOUCH do { X87->status &= (uint16_t)~0x3800; X87->not_empty = 0xff; } while (0)
#define MMX_PUT(n, value) do { LOW64(n) = (value); *(uint16_t *)(PLACE(n) + 8) = 0xffff; } while (0)

/* MXCSR: masks in bits 12:7, flags in 5:0, FZ 15, RC 14:13, DAZ 6. */
enum { MX_FLAGS = 0x3f, MX_MASKS = 0x1f80, MX_CONTROL = 0xe040, MX_FZ = 0x8000, MX_UM = 0x800, MX_BEFORE = 7, MX_HOST = 0x1f80 };

/* Runs `body`, which computes from the guest's registers under the MXCSR `control` and leaves the one after it in `after`.
 * All is masked on the host. Where the guest has unmasked something, the flags are collected from a clean start and decide; an
 * unmasked underflow is one even where the result is exact (SDM volume 1, 11.5.2.5), which only a run with FZ shows. */
#define FLOATING(body) \
    uint32_t guest = MXCSR, after, control = guest | MX_MASKS, tiny = 0; \
    bool masked = (guest & MX_MASKS) == MX_MASKS, probes = false; \
    if (!LIKELY(masked)) { \
        control &= ~(uint32_t)MX_FLAGS; \
        probes = !(guest & MX_UM); \
        if (probes) control |= MX_FZ; \
    } \
    for (;;) { \
        body \
        if (LIKELY(!probes)) break; \
        tiny = after & 0x10; \
        control &= ~(uint32_t)MX_FZ; \
        probes = false; \
    } \
    if (control & MX_CONTROL) _mm_setcsr(MX_HOST); \
    if (LIKELY(masked)) { \
        MXCSR = guest | (after & MX_FLAGS); \
    } else { \
        if (!(guest & MX_UM)) _mm_setcsr(MX_HOST); \
        uint32_t raised = (after & MX_FLAGS) | tiny, unmasked = raised & ~(guest >> 7); \
        /* What is found before the computation excludes what only shows after it. */ \
        if (unmasked & MX_BEFORE) raised &= MX_BEFORE; \
        MXCSR = guest | raised; \
        if (unmasked) FAULT(19); \
    }
#define UNDER(instruction) "ldmxcsr %[control]\n\t" instruction "\n\tstmxcsr %[after]"

/* `M` for each immediate. */
#define EACH4(M, n) M((n)) M((n) + 1) M((n) + 2) M((n) + 3)
#define EACH16(M, n) EACH4(M, n) EACH4(M, (n) + 4) EACH4(M, (n) + 8) EACH4(M, (n) + 12)
#define EACH64(M, n) EACH16(M, n) EACH16(M, (n) + 16) EACH16(M, (n) + 32) EACH16(M, (n) + 48)
#define EACH256(M) EACH64(M, 0) EACH64(M, 64) EACH64(M, 128) EACH64(M, 192)

/* Entries of the other files. */
extern const struct ch_simd_entry ch_simd_floating[], ch_simd_immediate[];
extern const size_t ch_simd_floating_count, ch_simd_immediate_count;
#endif
