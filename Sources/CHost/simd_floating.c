/* Instructions that depend on MXCSR. */
#include "simd.h"

#define PACKED(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i a, b = VECTOR(op->src); \
        FLOATING({ \
            a = VECTOR(op->dst); \
            __asm__ volatile(UNDER(#name " %[b], %[a]") : [a] "+x"(a), [after] "=m"(after) : [b] "x"(b), [control] "m"(control)); \
        }) \
        VECTOR(op->dst) = a; \
        NEXT; \
    }
#define ALL_PACKED(M) \
    M(addps) M(addpd) M(addss) M(addsd) M(mulps) M(mulpd) M(mulss) M(mulsd) M(subps) M(subpd) M(subss) M(subsd) M(minps) M(minpd) \
    M(minss) M(minsd) M(divps) M(divpd) M(divss) M(divsd) M(maxps) M(maxpd) M(maxss) M(maxsd) M(sqrtps) M(sqrtpd) M(sqrtss) \
    M(sqrtsd) M(cvtps2pd) M(cvtpd2ps) M(cvtss2sd) M(cvtsd2ss) M(cvtdq2ps) M(cvtps2dq) M(cvttps2dq) M(cvtdq2pd) M(cvttpd2dq) \
    M(cvtpd2dq) M(haddps) M(haddpd) M(hsubps) M(hsubpd) M(addsubps) M(addsubpd)
ALL_PACKED(PACKED)

/* ZF, PF and CF for the operation that follows. */
#define COMPARE(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i a = VECTOR(op->dst), b = VECTOR(op->src); \
        bool zero, parity, carry; \
        FLOATING({ \
            /* No PUSHFQ: a leaf function keeps its variables where it would write. */ \
            __asm__ volatile(UNDER(#name " %[b], %[a]") \
                             : "=@ccz"(zero), "=@ccp"(parity), "=@ccc"(carry), [after] "=m"(after) \
                             : [a] "x"(a), [b] "x"(b), [control] "m"(control)); \
        }) \
        GENERAL(CH_FLAGS) = (uint64_t)zero << 6 | (uint64_t)parity << 2 | (uint64_t)carry; \
        NEXT; \
    }
#define ALL_COMPARE(M) M(comiss) M(ucomiss) M(comisd) M(ucomisd)
ALL_COMPARE(COMPARE)

/* General registers of 4 or 8 bytes, as the immediate says. */
#define FROM_GENERAL(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        uint64_t b = GENERAL(op->src); \
        __m128i a; \
        FLOATING({ \
            a = VECTOR(op->dst); \
            if (IMMEDIATE == 8) \
                __asm__ volatile(UNDER(#name "q %[b], %[a]") \
                                 : [a] "+x"(a), [after] "=m"(after) : [b] "r"(b), [control] "m"(control)); \
            else \
                __asm__ volatile(UNDER(#name "l %k[b], %[a]") \
                                 : [a] "+x"(a), [after] "=m"(after) : [b] "r"(b), [control] "m"(control)); \
        }) \
        VECTOR(op->dst) = a; \
        NEXT; \
    }
#define TO_GENERAL(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i b = VECTOR(op->src); \
        uint64_t a; \
        FLOATING({ \
            if (IMMEDIATE == 8) \
                __asm__ volatile(UNDER(#name " %[b], %q[a]") \
                                 : [a] "=r"(a), [after] "=m"(after) : [b] "x"(b), [control] "m"(control)); \
            else \
                __asm__ volatile(UNDER(#name " %[b], %k[a]") \
                                 : [a] "=r"(a), [after] "=m"(after) : [b] "x"(b), [control] "m"(control)); \
        }) \
        GENERAL(op->dst) = a; \
        NEXT; \
    }
FROM_GENERAL(cvtsi2ss)
FROM_GENERAL(cvtsi2sd)
#define ALL_TO_GENERAL(M) M(cvtss2si) M(cvttss2si) M(cvtsd2si) M(cvttsd2si)
ALL_TO_GENERAL(TO_GENERAL)

/* Between MMX and XMM registers; the x87 state changes even where #XM follows, as on processors. With a memory operand CVTPI2PD leaves the x87 state alone (SDM volume 2), and
 * on processors CVTPI2PS too. */
#define FROM_MMX(name) \
    HANDLER(m_##name) { \
        OPERATION; \
        bool touches = op->src != CH_TEMPORARY; \
        if (touches) { \
            MMX_BEGIN; \
            MMX_TOUCH; \
        } \
        uint64_t b = LOW64(op->src); \
        __m128i a; \
        FLOATING({ \
            a = VECTOR(op->dst); \
            __asm__ volatile("movq %[b], %%mm0\n\t" UNDER(#name " %%mm0, %[a]") "\n\temms" \
                             : [a] "+x"(a), [after] "=m"(after) : [b] "r"(b), [control] "m"(control) : "mm0"); \
        }) \
        VECTOR(op->dst) = a; \
        NEXT; \
    }
#define TO_MMX(name) \
    HANDLER(m_##name) { \
        OPERATION; \
        MMX_BEGIN; \
        MMX_TOUCH; \
        __m128i b = VECTOR(op->src); \
        uint64_t a; \
        FLOATING({ \
            __asm__ volatile(UNDER(#name " %[b], %%mm0") "\n\tmovq %%mm0, %[a]\n\temms" \
                             : [a] "=r"(a), [after] "=m"(after) : [b] "x"(b), [control] "m"(control) : "mm0"); \
        }) \
        MMX_PUT(op->dst, a); \
        NEXT; \
    }
FROM_MMX(cvtpi2ps)
FROM_MMX(cvtpi2pd)
#define ALL_TO_MMX(M) M(cvtps2pi) M(cvttps2pi) M(cvtpd2pi) M(cvttpd2pi)
ALL_TO_MMX(TO_MMX)

/* With an immediate. */
#define CASE(n) \
    case n: \
        __asm__ volatile(UNDER(INSTRUCTION " %[imm], %[b], %[a]") \
                         : [a] "+x"(a), [after] "=m"(after) : [b] "x"(b), [control] "m"(control), [imm] "i"(n)); \
        break;
#define IMMEDIATE_HANDLER(name, mask, cases) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i a, b = VECTOR(op->src); \
        FLOATING({ \
            a = VECTOR(op->dst); \
            switch (IMMEDIATE & (mask)) { cases default: __builtin_unreachable(); } \
        }) \
        VECTOR(op->dst) = a; \
        NEXT; \
    }
/* Predicates of the form without VEX: 0 to 7. */
#define EACH8(M) EACH4(M, 0) EACH4(M, 4)
#define INSTRUCTION "cmpps"
IMMEDIATE_HANDLER(cmpps, 7, EACH8(CASE))
#undef INSTRUCTION
#define INSTRUCTION "cmppd"
IMMEDIATE_HANDLER(cmppd, 7, EACH8(CASE))
#undef INSTRUCTION
#define INSTRUCTION "cmpss"
IMMEDIATE_HANDLER(cmpss, 7, EACH8(CASE))
#undef INSTRUCTION
#define INSTRUCTION "cmpsd"
IMMEDIATE_HANDLER(cmpsd, 7, EACH8(CASE))
#undef INSTRUCTION
#define INSTRUCTION "roundps"
IMMEDIATE_HANDLER(roundps, 15, EACH16(CASE, 0))
#undef INSTRUCTION
#define INSTRUCTION "roundpd"
IMMEDIATE_HANDLER(roundpd, 15, EACH16(CASE, 0))
#undef INSTRUCTION
#define INSTRUCTION "roundss"
IMMEDIATE_HANDLER(roundss, 15, EACH16(CASE, 0))
#undef INSTRUCTION
#define INSTRUCTION "roundsd"
IMMEDIATE_HANDLER(roundsd, 15, EACH16(CASE, 0))
#undef INSTRUCTION
#define INSTRUCTION "dpps"
IMMEDIATE_HANDLER(dpps, 255, EACH256(CASE))
#undef INSTRUCTION
#define INSTRUCTION "dppd"
IMMEDIATE_HANDLER(dppd, 255, EACH256(CASE))
#undef INSTRUCTION

#define VECTOR_ENTRY(name) {#name, x_##name, NULL},
#define MMX_ENTRY(name) {#name, NULL, m_##name},
const struct ch_simd_entry ch_simd_floating[] = {
    ALL_PACKED(VECTOR_ENTRY) ALL_COMPARE(VECTOR_ENTRY) VECTOR_ENTRY(cvtsi2ss) VECTOR_ENTRY(cvtsi2sd)
    ALL_TO_GENERAL(VECTOR_ENTRY) MMX_ENTRY(cvtpi2ps) MMX_ENTRY(cvtpi2pd) ALL_TO_MMX(MMX_ENTRY)
    VECTOR_ENTRY(cmpps) VECTOR_ENTRY(cmppd) VECTOR_ENTRY(cmpss) VECTOR_ENTRY(cmpsd) VECTOR_ENTRY(roundps) VECTOR_ENTRY(roundpd)
    VECTOR_ENTRY(roundss) VECTOR_ENTRY(roundsd) VECTOR_ENTRY(dpps) VECTOR_ENTRY(dppd)
};
const size_t ch_simd_floating_count = sizeof ch_simd_floating / sizeof ch_simd_floating[0];
