/* Instructions with an immediate, which the host's encoding fixes: a case for each. */
#include "simd.h"

#define CASE(n) case n: __asm__(INSTRUCTION " %2, %1, %0" : "+x"(a) : "x"(b), "i"(n)); break;
#define IMMEDIATE_HANDLER(name, mask, cases) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i a = VECTOR(op->dst), b = VECTOR(op->src); \
        switch (IMMEDIATE & (mask)) { cases default: __builtin_unreachable(); } \
        VECTOR(op->dst) = a; \
        NEXT; \
    }
#define MMX_CASE(n) \
    case n: \
        __asm__ volatile("movq %0, %%mm0\n\tmovq %1, %%mm1\n\t" INSTRUCTION " %2, %%mm1, %%mm0\n\tmovq %%mm0, %0\n\temms" \
                         : "+r"(a) : "r"(b), "i"(n) : "mm0", "mm1"); \
        break;
#define MMX_IMMEDIATE_HANDLER(name, cases) \
    HANDLER(m_##name) { \
        OPERATION; \
        MMX_BEGIN; \
        uint64_t a = LOW64(op->dst), b = LOW64(op->src); \
        switch (IMMEDIATE) { cases default: __builtin_unreachable(); } \
        MMX_TOUCH; \
        MMX_PUT(op->dst, a); \
        NEXT; \
    }

#define INSTRUCTION "pshufd"
IMMEDIATE_HANDLER(pshufd, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "pshufhw"
IMMEDIATE_HANDLER(pshufhw, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "pshuflw"
IMMEDIATE_HANDLER(pshuflw, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "shufps"
IMMEDIATE_HANDLER(shufps, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "shufpd"
IMMEDIATE_HANDLER(shufpd, 3, EACH4(CASE, 0))
#undef INSTRUCTION
#define INSTRUCTION "palignr"
IMMEDIATE_HANDLER(palignr, 255, EACH256(CASE))
MMX_IMMEDIATE_HANDLER(palignr, EACH256(MMX_CASE))
#undef INSTRUCTION
#define INSTRUCTION "pshufw"
MMX_IMMEDIATE_HANDLER(pshufw, EACH256(MMX_CASE))
#undef INSTRUCTION
#define INSTRUCTION "blendps"
IMMEDIATE_HANDLER(blendps, 15, EACH16(CASE, 0))
#undef INSTRUCTION
#define INSTRUCTION "blendpd"
IMMEDIATE_HANDLER(blendpd, 3, EACH4(CASE, 0))
#undef INSTRUCTION
#define INSTRUCTION "pblendw"
IMMEDIATE_HANDLER(pblendw, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "mpsadbw"
IMMEDIATE_HANDLER(mpsadbw, 7, EACH4(CASE, 0) EACH4(CASE, 4))
#undef INSTRUCTION
#define INSTRUCTION "insertps"
IMMEDIATE_HANDLER(insertps, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "pclmulqdq"
IMMEDIATE_HANDLER(pclmulqdq, 0x11, CASE(0) CASE(1) CASE(16) CASE(17))
#undef INSTRUCTION
#define INSTRUCTION "aeskeygenassist"
IMMEDIATE_HANDLER(aeskeygenassist, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "sha1rnds4"
IMMEDIATE_HANDLER(sha1rnds4, 3, EACH4(CASE, 0))
#undef INSTRUCTION

/* Shifts by an immediate: the forms with a count in a register do the same. dst is also the source. */
#define SHIFT(name) \
    HANDLER(x_##name##Imm) { \
        OPERATION; \
        __m128i a = VECTOR(op->dst), b = _mm_cvtsi32_si128(IMMEDIATE); \
        __asm__(#name " %1, %0" : "+x"(a) : "x"(b)); \
        VECTOR(op->dst) = a; \
        NEXT; \
    } \
    HANDLER(m_##name##Imm) { \
        OPERATION; \
        MMX_BEGIN; \
        uint64_t a = LOW64(op->dst), b = IMMEDIATE; \
        __asm__ volatile("movq %0, %%mm0\n\tmovq %1, %%mm1\n\t" #name " %%mm1, %%mm0\n\tmovq %%mm0, %0\n\temms" \
                         : "+r"(a) : "r"(b) : "mm0", "mm1"); \
        MMX_TOUCH; \
        MMX_PUT(op->dst, a); \
        NEXT; \
    }
#define ALL_SHIFT(M) M(psrlw) M(psraw) M(psllw) M(psrld) M(psrad) M(pslld) M(psrlq) M(psllq)
ALL_SHIFT(SHIFT)

typedef unsigned __int128 u128;
HANDLER(x_psrldq) {
    OPERATION;
    u128 value;
    memcpy(&value, PLACE(op->dst), 16);
    value = IMMEDIATE > 15 ? 0 : value >> (8 * IMMEDIATE);
    memcpy(PLACE(op->dst), &value, 16);
    NEXT;
}
HANDLER(x_pslldq) {
    OPERATION;
    u128 value;
    memcpy(&value, PLACE(op->dst), 16);
    value = IMMEDIATE > 15 ? 0 : value << (8 * IMMEDIATE);
    memcpy(PLACE(op->dst), &value, 16);
    NEXT;
}

/* String comparisons: the index goes to ECX or the mask to XMM0, the flags to CH_FLAGS. With REX.W (bit 8 of `large`) the lengths of
 * the explicit forms are RAX and RDX; either way they count as if they were not beyond 16. */
static int32_t length(uint64_t value, bool is_wide) {
    int64_t length = is_wide ? (int64_t)value : (int32_t)value;
    return length > 16 ? 16 : length < -16 ? -16 : (int32_t)length;
}
#define TEXT_FLAGS ((uint64_t)carry | (uint64_t)zero << 6 | (uint64_t)sign << 7 | (uint64_t)overflow << 11)
#define TEXT_OUT "=@ccc"(carry), "=@ccz"(zero), "=@ccs"(sign), "=@cco"(overflow)
#define INDEX_CASE(n) \
    case n: __asm__(INSTRUCTION " %[imm], %[b], %[a]" : TEXT_OUT, "=c"(index) : [a] "x"(a), [b] "x"(b), [imm] "i"(n), LENGTHS); break;
#define MASK_CASE(n) \
    case n: __asm__(INSTRUCTION " %[imm], %[b], %[a]" : TEXT_OUT, "=Yz"(mask) : [a] "x"(a), [b] "x"(b), [imm] "i"(n), LENGTHS); break;
#define INDEX_HANDLER(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i a = VECTOR(op->dst), b = VECTOR(op->src); \
        int32_t first = length(GENERAL(CH_RAX), op->large & 0x100), second = length(GENERAL(CH_RDX), op->large & 0x100); \
        (void)first; (void)second; \
        int carry, zero, sign, overflow; \
        uint32_t index; \
        switch (IMMEDIATE) { EACH256(INDEX_CASE) default: __builtin_unreachable(); } \
        GENERAL(CH_RCX) = index; \
        GENERAL(CH_FLAGS) = TEXT_FLAGS; \
        NEXT; \
    }
#define MASK_HANDLER(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i a = VECTOR(op->dst), b = VECTOR(op->src), mask; \
        int32_t first = length(GENERAL(CH_RAX), op->large & 0x100), second = length(GENERAL(CH_RDX), op->large & 0x100); \
        (void)first; (void)second; \
        int carry, zero, sign, overflow; \
        switch (IMMEDIATE) { EACH256(MASK_CASE) default: __builtin_unreachable(); } \
        VECTOR(0) = mask; \
        GENERAL(CH_FLAGS) = TEXT_FLAGS; \
        NEXT; \
    }
#define LENGTHS "a"(first), "d"(second)
#define INSTRUCTION "pcmpestri"
INDEX_HANDLER(pcmpestri)
#undef INSTRUCTION
#define INSTRUCTION "pcmpestrm"
MASK_HANDLER(pcmpestrm)
#undef INSTRUCTION
#define INSTRUCTION "pcmpistri"
INDEX_HANDLER(pcmpistri)
#undef INSTRUCTION
#define INSTRUCTION "pcmpistrm"
MASK_HANDLER(pcmpistrm)
#undef INSTRUCTION

#define VECTOR_ENTRY(name) {#name, x_##name, NULL},
#define SHIFT_ENTRY(name) {#name "Imm", x_##name##Imm, m_##name##Imm},
const struct ch_simd_entry ch_simd_immediate[] = {
    VECTOR_ENTRY(pshufd) VECTOR_ENTRY(pshufhw) VECTOR_ENTRY(pshuflw) VECTOR_ENTRY(shufps) VECTOR_ENTRY(shufpd)
    {"palignr", x_palignr, m_palignr}, {"pshufw", NULL, m_pshufw}, VECTOR_ENTRY(blendps) VECTOR_ENTRY(blendpd)
    VECTOR_ENTRY(pblendw) VECTOR_ENTRY(mpsadbw) VECTOR_ENTRY(insertps) VECTOR_ENTRY(pclmulqdq) VECTOR_ENTRY(aeskeygenassist)
    VECTOR_ENTRY(sha1rnds4) ALL_SHIFT(SHIFT_ENTRY) VECTOR_ENTRY(psrldq) VECTOR_ENTRY(pslldq) VECTOR_ENTRY(pcmpestri)
    VECTOR_ENTRY(pcmpestrm) VECTOR_ENTRY(pcmpistri) VECTOR_ENTRY(pcmpistrm)
};
const size_t ch_simd_immediate_count = sizeof ch_simd_immediate / sizeof ch_simd_immediate[0];
