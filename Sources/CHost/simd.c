/* Instructions without MXCSR and without an immediate. */
#include "simd.h"

/* dst = dst op src */
#define XMM(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i a = VECTOR(op->dst), b = VECTOR(op->src); \
        __asm__(#name " %1, %0" : "+x"(a) : "x"(b)); \
        VECTOR(op->dst) = a; \
        NEXT; \
    }
/* dst = op xmm0, dst, src */
#define XMM0(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        register __m128i mask __asm__("xmm0") = VECTOR(0); \
        __m128i a = VECTOR(op->dst), b = VECTOR(op->src); \
        __asm__(#name " %%xmm0, %1, %0" : "+x"(a) : "x"(b), "x"(mask)); \
        VECTOR(op->dst) = a; \
        NEXT; \
    }
#define MMX(name) \
    HANDLER(m_##name) { \
        OPERATION; \
        MMX_BEGIN; \
        uint64_t a = LOW64(op->dst), b = LOW64(op->src); \
        __asm__ volatile("movq %0, %%mm0\n\tmovq %1, %%mm1\n\t" #name " %%mm1, %%mm0\n\tmovq %%mm0, %0\n\temms" \
                         : "+r"(a) : "r"(b) : "mm0", "mm1"); \
        MMX_TOUCH; \
        MMX_PUT(op->dst, a); \
        NEXT; \
    }
#define BOTH(name) XMM(name) MMX(name)

#define ALL_BOTH(M) \
    M(punpcklbw) M(punpcklwd) M(punpckldq) M(packsswb) M(pcmpgtb) M(pcmpgtw) M(pcmpgtd) M(packuswb) M(punpckhbw) M(punpckhwd) \
    M(punpckhdq) M(packssdw) M(pcmpeqb) M(pcmpeqw) M(pcmpeqd) M(psrlw) M(psrld) M(psrlq) M(paddq) M(pmullw) M(psubusb) \
    M(psubusw) M(pminub) M(pand) M(paddusb) M(paddusw) M(pmaxub) M(pandn) M(pavgb) M(psraw) M(psrad) M(pavgw) M(pmulhuw) \
    M(pmulhw) M(psubsb) M(psubsw) M(pminsw) M(por) M(paddsb) M(paddsw) M(pmaxsw) M(pxor) M(psllw) M(pslld) M(psllq) \
    M(pmuludq) M(pmaddwd) M(psadbw) M(psubb) M(psubw) M(psubd) M(psubq) M(paddb) M(paddw) M(paddd) \
    M(pshufb) M(phaddw) M(phaddd) M(phaddsw) M(pmaddubsw) M(phsubw) M(phsubd) M(phsubsw) M(psignb) M(psignw) M(psignd) \
    M(pmulhrsw) M(pabsb) M(pabsw) M(pabsd)
#define ALL_XMM(M) \
    M(punpcklqdq) M(punpckhqdq) M(andps) M(andnps) M(orps) M(xorps) M(andpd) M(andnpd) M(orpd) M(xorpd) M(unpcklps) M(unpckhps) \
    M(unpcklpd) M(unpckhpd) M(rsqrtps) M(rsqrtss) M(rcpps) M(rcpss) M(movhlps) M(movlhps) M(movss) M(movsd) M(movaps) \
    M(movddup) M(movshdup) M(movsldup) \
    M(pmuldq) M(pcmpeqq) M(packusdw) M(pminsb) M(pminsd) M(pminuw) M(pminud) M(pmaxsb) M(pmaxsd) M(pmaxuw) M(pmaxud) \
    M(pmulld) M(phminposuw) M(pmovsxbw) M(pmovsxbd) M(pmovsxbq) M(pmovsxwd) M(pmovsxwq) M(pmovsxdq) M(pmovzxbw) M(pmovzxbd) \
    M(pmovzxbq) M(pmovzxwd) M(pmovzxwq) M(pmovzxdq) M(pcmpgtq) \
    M(aesenc) M(aesenclast) M(aesdec) M(aesdeclast) M(aesimc) \
    M(sha1nexte) M(sha1msg1) M(sha1msg2) M(sha256msg1) M(sha256msg2)
#define ALL_XMM0(M) M(pblendvb) M(blendvps) M(blendvpd) M(sha256rnds2)

ALL_BOTH(BOTH)
ALL_XMM(XMM)
ALL_XMM0(XMM0)

/* MOVQ xmm, xmm: the upper half is cleared. */
HANDLER(x_movq) {
    OPERATION;
    VECTOR(op->dst) = _mm_move_epi64(VECTOR(op->src));
    NEXT;
}
HANDLER(m_movq) {
    OPERATION;
    MMX_BEGIN;
    uint64_t value = LOW64(op->src);
    MMX_TOUCH;
    MMX_PUT(op->dst, value);
    NEXT;
}
HANDLER(m_movdq2q) {
    OPERATION;
    MMX_BEGIN;
    uint64_t value = LOW64(op->src);
    MMX_TOUCH;
    MMX_PUT(op->dst, value);
    NEXT;
}
HANDLER(m_movq2dq) {
    OPERATION;
    MMX_BEGIN;
    MMX_TOUCH;
    VECTOR(op->dst) = _mm_cvtsi64_si128((long long)LOW64(op->src));
    NEXT;
}
/* MOVD and MOVQ: general register of 4 or 8 bytes (the immediate) to vector register, and back. */
HANDLER(x_movdTo) {
    OPERATION;
    uint64_t value = GENERAL(op->src);
    if (IMMEDIATE == 4) value = (uint32_t)value;
    VECTOR(op->dst) = _mm_cvtsi64_si128((long long)value);
    NEXT;
}
HANDLER(x_movdFrom) {
    OPERATION;
    uint64_t value = LOW64(op->src);
    GENERAL(op->dst) = IMMEDIATE == 4 ? (uint32_t)value : value;
    NEXT;
}
HANDLER(m_movdTo) {
    OPERATION;
    MMX_BEGIN;
    uint64_t value = GENERAL(op->src);
    if (IMMEDIATE == 4) value = (uint32_t)value;
    MMX_TOUCH;
    MMX_PUT(op->dst, value);
    NEXT;
}
HANDLER(m_movdFrom) {
    OPERATION;
    MMX_BEGIN;
    MMX_TOUCH;
    uint64_t value = LOW64(op->src);
    GENERAL(op->dst) = IMMEDIATE == 4 ? (uint32_t)value : value;
    NEXT;
}
/* What an MMX instruction that stores does to the x87 state. */
HANDLER(m_touch) {
    OPERATION;
    MMX_BEGIN;
    MMX_TOUCH;
    NEXT;
}
HANDLER(m_check) {
    OPERATION;
    MMX_BEGIN;
    NEXT;
}
HANDLER(m_emms) {
    OPERATION;
    MMX_BEGIN;
    X87->not_empty = 0;
    X87->status &= (uint16_t)~0x3800;
    NEXT;
}

/* Signs into a general register. */
#define SIGNS(name) \
    HANDLER(x_##name) { \
        OPERATION; \
        __m128i b = VECTOR(op->src); \
        uint32_t mask; \
        __asm__(#name " %1, %0" : "=r"(mask) : "x"(b)); \
        GENERAL(op->dst) = mask; \
        NEXT; \
    }
SIGNS(pmovmskb)
SIGNS(movmskps)
SIGNS(movmskpd)
HANDLER(m_pmovmskb) {
    OPERATION;
    MMX_BEGIN;
    MMX_TOUCH;
    GENERAL(op->dst) = (uint32_t)_mm_movemask_epi8(_mm_cvtsi64_si128((long long)LOW64(op->src)));
    NEXT;
}

/* Elements of 1, 2, 4 or 8 bytes out of and into a register, numbered by the immediate. */
#define ELEMENT(name, type, count) \
    HANDLER(x_pextr##name) { \
        OPERATION; \
        GENERAL(op->dst) = ((type *)PLACE(op->src))[IMMEDIATE & ((count) - 1)]; \
        NEXT; \
    } \
    HANDLER(x_pinsr##name) { \
        OPERATION; \
        ((type *)PLACE(op->dst))[IMMEDIATE & ((count) - 1)] = (type)GENERAL(op->src); \
        NEXT; \
    }
ELEMENT(b, uint8_t, 16)
ELEMENT(w, uint16_t, 8)
ELEMENT(d, uint32_t, 4)
ELEMENT(q, uint64_t, 2)
HANDLER(m_pextrw) {
    OPERATION;
    MMX_BEGIN;
    MMX_TOUCH;
    GENERAL(op->dst) = ((uint16_t *)PLACE(op->src))[IMMEDIATE & 3];
    NEXT;
}
HANDLER(m_pinsrw) {
    OPERATION;
    MMX_BEGIN;
    MMX_TOUCH;
    uint64_t value = LOW64(op->dst);
    unsigned shift = 16 * (IMMEDIATE & 3);
    value = (value & ~(0xffffull << shift)) | (GENERAL(op->src) & 0xffff) << shift;
    MMX_PUT(op->dst, value);
    NEXT;
}

/* ZF: dst & src is 0; CF: ~dst & src is 0. */
HANDLER(x_ptest) {
    OPERATION;
    uint64_t a0 = ((uint64_t *)PLACE(op->dst))[0], a1 = ((uint64_t *)PLACE(op->dst))[1];
    uint64_t b0 = ((uint64_t *)PLACE(op->src))[0], b1 = ((uint64_t *)PLACE(op->src))[1];
    GENERAL(CH_FLAGS) = (((a0 & b0) | (a1 & b1)) == 0 ? 0x40 : 0) | (((~a0 & b0) | (~a1 & b1)) == 0 ? 1 : 0);
    NEXT;
}

#define ENTRY_BOTH(name) {#name, x_##name, m_##name},
#define ENTRY_XMM(name) {#name, x_##name, NULL},
#define ENTRY_MMX(name) {#name, NULL, m_##name},
static const struct ch_simd_entry plain[] = {
    ALL_BOTH(ENTRY_BOTH) ALL_XMM(ENTRY_XMM) ALL_XMM0(ENTRY_XMM)
    ENTRY_BOTH(movq) ENTRY_BOTH(movdTo) ENTRY_BOTH(movdFrom) ENTRY_BOTH(pmovmskb) ENTRY_XMM(movmskps) ENTRY_XMM(movmskpd)
    ENTRY_MMX(movdq2q) ENTRY_MMX(movq2dq) ENTRY_MMX(touch) ENTRY_MMX(check) ENTRY_MMX(emms)
    ENTRY_BOTH(pextrw) ENTRY_BOTH(pinsrw) ENTRY_XMM(pextrb) ENTRY_XMM(pinsrb) ENTRY_XMM(pextrd) ENTRY_XMM(pinsrd)
    ENTRY_XMM(pextrq) ENTRY_XMM(pinsrq) ENTRY_XMM(ptest)
};
enum { PLAIN = sizeof plain / sizeof plain[0], MOST = 512 };

static struct ch_simd_entry all[MOST];
static size_t all_count;

__attribute__((constructor)) static void join(void) {
    memcpy(all, plain, sizeof plain);
    all_count = PLAIN;
    memcpy(all + all_count, ch_simd_floating, ch_simd_floating_count * sizeof all[0]);
    all_count += ch_simd_floating_count;
    memcpy(all + all_count, ch_simd_immediate, ch_simd_immediate_count * sizeof all[0]);
    all_count += ch_simd_immediate_count;
}

const struct ch_simd_entry *ch_simd_table(size_t *count) {
    *count = all_count;
    return all;
}

int ch_simd_supported(void) { return __builtin_cpu_supports("sse4.2") != 0; }
