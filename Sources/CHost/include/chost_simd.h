/* SSE and MMX instructions of the software CPU, done by the host's own. Each is a handler of an operation on registers (a memory
 * operand is loaded into a temporary register by an operation before it), and goes on to the next operation by a tail call.
 * Source: SDM volumes 1 (chapters 9 to 12) and 2. */
#ifndef CHOST_SIMD_H
#define CHOST_SIMD_H
#include <stddef.h>
#include <stdint.h>

typedef const void *_Nonnull (*ch_handler)(void *_Nonnull state, const void *_Nonnull operation);

/* An operation as the engine lays it out (Interpret/Op.swift). For the handlers here:
 *   dst, src      place of a vector register, below; or the byte offset of a general register
 *   imm64         the handler that raises what is in `fault`
 *   large         bits 7:0 the immediate; bit 8: REX.W */
struct ch_op {
    ch_handler _Nonnull run;
    uint64_t imm64;
    uint8_t dst, src, base, index, scale, seg, length, number;
    uint16_t offset, small;
    uint32_t large;
};

/* The state's part that is shared with the engine (State/Layout.swift). */
enum {
    CH_RAX = 0, CH_RCX = 8, CH_RDX = 16,
    CH_MXCSR = 1112,      /* u32 */
    CH_X87 = 1120,        /* struct ch_x87 */
    CH_VECTORS = 2048,    /* places of 16 bytes: XMM0-15 in slots of 64 bytes, then x87 and MMX by physical number, then a temporary */
    CH_XMM_STRIDE = 4,
    CH_X87_FIRST = 64,
    CH_TEMPORARY = 72,
    CH_FLAGS = 3264,      /* u64: EFLAGS image that a comparison leaves for the operation after it */
    CH_FAULT = 3272       /* u8: the vector to raise: 16 (#MF) or 19 (#XM) */
};

/* x87 registers but for the stack (State/CPUState.swift, X87Control). */
struct ch_x87 {
    uint16_t control, status;
    uint8_t not_empty;    /* a bit for each physical register */
    uint16_t opcode;
    uint64_t instruction_pointer, data_pointer;
    uint16_t instruction_selector, data_selector;
    uint32_t padding;
};

struct ch_simd_entry {
    const char *_Nonnull name;      /* as the SDM's mnemonic, in lower case */
    ch_handler _Nullable vector;    /* of XMM registers */
    ch_handler _Nullable mmx;       /* of MMX registers; for conversions between both kinds, too */
};
/* All instructions; ends with the count. */
const struct ch_simd_entry *_Nonnull ch_simd_table(size_t *_Nonnull count);
/* The host has what every handler needs (SSE4.2); else which must not be called. */
int ch_simd_supported(void);
#endif
