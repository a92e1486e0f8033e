/* What the files of x87 functions share. */
#ifndef X87_H
#define X87_H
#include <string.h>
#include "include/chost_x87.h"

enum { X_IE = 1, X_DE = 2, X_ZE = 4, X_OE = 8, X_UE = 16, X_PE = 32, X_SF = 64, X_ES = 0x80, X_C0 = 0x100, X_C1 = 0x200,
       X_C2 = 0x400, X_TOP = 0x3800, X_C3 = 0x4000, X_B = 0x8000, X_CODES = 0x4700, X_HOST = 0x37f };

typedef struct ch_x87 x87;
#define RUN(name) static void r_##name(x87 *x, uint8_t *r, uint32_t i, void *operand)
#define STORE(name) static bool s_##name(x87 *x, uint8_t *r, void *operand)
#define UNUSED (void)x; (void)r; (void)i; (void)operand

static inline unsigned physical(const x87 *x, unsigned i) { return ((x->status >> 11) + i) & 7; }
static inline uint8_t *st(const x87 *x, uint8_t *r, unsigned i) { return r + 16 * physical(x, i); }
static inline bool is_empty(const x87 *x, unsigned i) { return !(x->not_empty >> physical(x, i) & 1); }
static inline void set_top(x87 *x, unsigned top) { x->status = (uint16_t)((x->status & ~X_TOP) | (top & 7) << 11); }
static inline void pop(x87 *x) {
    x->not_empty &= (uint8_t)~(1u << physical(x, 0));
    set_top(x, (x->status >> 11) + 1);
}
/* The register that a push fills. */
static inline uint8_t *push(x87 *x, uint8_t *r) {
    set_top(x, (x->status >> 11) + 7);
    x->not_empty |= (uint8_t)(1u << physical(x, 0));
    return st(x, r, 0);
}
static inline void put(uint8_t *place, const void *value) { memcpy(place, value, 10); }
/* Real indefinite */
static inline void put_indefinite(uint8_t *place) {
    static const uint8_t indefinite[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};
    memcpy(place, indefinite, 10);
}

/* Takes over what an operation raised and its C1; true: one of `forbidding` is unmasked, so that there is no result. */
static inline bool raise_flags(x87 *x, unsigned raised, unsigned forbidding) {
    x->status = (uint16_t)((x->status & ~X_C1) | (raised & (X_C1 | 0x7f)));
    unsigned unmasked = raised & ~(unsigned)x->control & 0x3f;
    if (unmasked) x->status |= X_ES | X_B;
    return unmasked & forbidding;
}
/* Stack underflow and overflow; true: masked, so that the indefinite goes to the destination. */
static inline bool underflow(x87 *x) { return !raise_flags(x, X_IE | X_SF, X_IE); }
static inline bool overflow(x87 *x) { return !raise_flags(x, X_IE | X_SF | X_C1, X_IE); }

/* ---- The host's x87: its stack is empty between calls. The guest's masks are in force while it computes, so that results of
 * unmasked overflow and underflow are the chip's; unmasked flags are cleared before anything waits. Flags that the guest has set and masks may be
 * left from one operation to the next: they say nothing new, and FNCLEX costs as much as the operation. ---------------------- */
static inline void enter(const x87 *x) {
    uint16_t status;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    if (status & 0x7f & ~(x->status & x->control & 0x3f)) __asm__ volatile("fnclex");
    if ((x->control & 0x0f3f) != 0x033f) {
        uint16_t control = (uint16_t)((x->control & 0x1f3f) | 0x40);
        __asm__ volatile("fldcw %0" : : "m"(control));
    }
}
static inline void leave(const x87 *x) {
    if ((x->control & 0x0f3f) != 0x033f) {
        static const uint16_t host = X_HOST;
        __asm__ volatile("fldcw %0" : : "m"(host));
    }
}
/* The status word; nothing is pending for what follows. */
static inline unsigned taken(void) {
    uint16_t status;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    if (status & X_ES) __asm__ volatile("fnclex");
    return status;
}
static inline void load(const uint8_t *value) { __asm__ volatile("fldt %0" : : "m"(*(const uint8_t(*)[10])value)); }
static inline void store(uint8_t *value) { __asm__ volatile("fstpt %0" : "=m"(*(uint8_t(*)[10])value)); }
static inline void discard(void) { __asm__ volatile("fstp %%st(0)" : : ); }

extern const struct ch_x87_entry ch_x87_more[];
extern const size_t ch_x87_more_count;
#endif
