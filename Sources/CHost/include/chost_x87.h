/* x87 instructions of the software CPU, done by the host's own under the guest's control word. Source: SDM volume 1, chapter 8, and
 * volume 2. An unmasked exception only makes ES pending, as on the chip. */
#ifndef CHOST_X87_H
#define CHOST_X87_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "chost_simd.h"

/* `registers`: R0 to R7 (physical), 16 bytes each, the value in the low 10. `i`: the number of ST(i). `operand`: the memory
 * operand, up to 16 bytes; for comparisons into EFLAGS, the image goes there. */
typedef void (*ch_x87_function)(struct ch_x87 *_Nonnull x87, uint8_t *_Nonnull registers, uint32_t i, void *_Nonnull operand);
/* Writes the operand, to be stored; false: an unmasked exception forbids it. Pops happen in `x87` even so only where allowed. */
typedef bool (*ch_x87_store_function)(struct ch_x87 *_Nonnull x87, uint8_t *_Nonnull registers, void *_Nonnull operand);

struct ch_x87_entry {
    const char *_Nonnull name;
    ch_x87_function _Nullable run;
    ch_x87_store_function _Nullable store;
};
enum { CH_X87_MOST = 256 };
extern struct ch_x87_entry ch_x87_entries[CH_X87_MOST];
const struct ch_x87_entry *_Nonnull ch_x87_table(size_t *_Nonnull count);
static inline void ch_x87_run(
    uint32_t index, struct ch_x87 *_Nonnull x87, uint8_t *_Nonnull registers, uint32_t i, void *_Nonnull operand) {
    ch_x87_entries[index & (CH_X87_MOST - 1)].run(x87, registers, i, operand);
}
static inline bool ch_x87_store(
    uint32_t index, struct ch_x87 *_Nonnull x87, uint8_t *_Nonnull registers, void *_Nonnull operand) {
    return ch_x87_entries[index & (CH_X87_MOST - 1)].store(x87, registers, operand);
}

/* The tag word of FNSTENV: two bits for each physical register. */
uint16_t ch_x87_tags(const struct ch_x87 *_Nonnull x87, const uint8_t *_Nonnull registers);
/* FNINIT */
void ch_x87_init(struct ch_x87 *_Nonnull x87);
/* ES and B follow the flags and the masks. */
void ch_x87_summarize(struct ch_x87 *_Nonnull x87);
#endif
