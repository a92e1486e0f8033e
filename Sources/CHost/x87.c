/* x87: arithmetic, comparisons, transcendentals, control. */
#include "x87.h"

enum { BEFORE = X_IE | X_DE | X_ZE };

/* ---- FADD to FDIVR ------------------------------------------------------------------------------------------------------------ */
#define ARITHMETIC(name, suffix, type) \
    RUN(name##suffix) { \
        (void)i; \
        if (is_empty(x, 0)) { \
            if (underflow(x)) put_indefinite(st(x, r, 0)), x->not_empty |= (uint8_t)(1u << physical(x, 0)); \
            return; \
        } \
        uint8_t value[10]; \
        enter(x); \
        load(st(x, r, 0)); \
        __asm__ volatile(type " %0" : : "m"(*(const uint64_t *)operand)); \
        unsigned raised = taken(); \
        store(value); \
        leave(x); \
        if (!raise_flags(x, raised & (X_C1 | 0x3f), BEFORE)) put(st(x, r, 0), value); \
    }
/* ST(to) = ST(to) op ST(from) */
#define BETWEEN(name) \
    static bool between_##name(x87 *x, uint8_t *r, unsigned to, unsigned from) { \
        if (is_empty(x, to) || is_empty(x, from)) { \
            if (!underflow(x)) return false; \
            put_indefinite(st(x, r, to)); \
            x->not_empty |= (uint8_t)(1u << physical(x, to)); \
            return true; \
        } \
        uint8_t value[10]; \
        enter(x); \
        load(st(x, r, from)); \
        load(st(x, r, to)); \
        __asm__ volatile(#name " %%st(1), %%st" : :); \
        unsigned raised = taken(); \
        store(value); \
        discard(); \
        leave(x); \
        if (raise_flags(x, raised & (X_C1 | 0x3f), BEFORE)) return false; \
        put(st(x, r, to), value); \
        return true; \
    } \
    RUN(name) { (void)operand; between_##name(x, r, 0, i); } \
    RUN(name##To) { (void)operand; between_##name(x, r, i, 0); } \
    RUN(name##p) { \
        (void)operand; \
        if (between_##name(x, r, i, 0)) pop(x); \
    }
#define ARITHMETIC_ALL(name, stem) \
    BETWEEN(name) ARITHMETIC(name, M32, "f" stem "s") ARITHMETIC(name, M64, "f" stem "l") ARITHMETIC(name, I32, "fi" stem "l") \
    ARITHMETIC(name, I16, "fi" stem "s")
ARITHMETIC_ALL(fadd, "add")
ARITHMETIC_ALL(fmul, "mul")
ARITHMETIC_ALL(fsub, "sub")
ARITHMETIC_ALL(fsubr, "subr")
ARITHMETIC_ALL(fdiv, "div")
ARITHMETIC_ALL(fdivr, "divr")

/* ---- Comparisons -------------------------------------------------------------------------------------------------------------- */
static void set_codes(x87 *x, unsigned codes) { x->status = (uint16_t)((x->status & ~X_CODES) | (codes & X_CODES)); }
/* true: pops follow, unless an unmasked exception forbids them. The codes are set either way, as processors do (the SDM has them
 * only for masked ones). `raised` is the host's status. */
static bool compared(x87 *x, unsigned raised) {
    bool is_forbidden = raise_flags(x, raised & 0x3f, BEFORE);
    set_codes(x, raised & (X_C0 | X_C2 | X_C3));
    return !is_forbidden;
}
static bool compare_empty(x87 *x) {
    bool is_masked = underflow(x);
    set_codes(x, X_C0 | X_C2 | X_C3);
    return is_masked;
}
#define COMPARE(name, instruction) \
    static bool compare_##name(x87 *x, uint8_t *r, unsigned i) { \
        if (is_empty(x, 0) || is_empty(x, i)) return compare_empty(x); \
        enter(x); \
        load(st(x, r, i)); \
        load(st(x, r, 0)); \
        __asm__ volatile(instruction " %%st(1)" : :); \
        unsigned raised = taken(); \
        discard(); \
        discard(); \
        leave(x); \
        return compared(x, raised); \
    } \
    RUN(name) { (void)operand; compare_##name(x, r, i); } \
    RUN(name##p) { (void)operand; if (compare_##name(x, r, i)) pop(x); } \
    RUN(name##pp) { (void)operand; if (compare_##name(x, r, i)) pop(x), pop(x); }
COMPARE(fcom, "fcom")
COMPARE(fucom, "fucom")

#define COMPARE_MEMORY(suffix, instruction) \
    static bool compare_##suffix(x87 *x, uint8_t *r, const void *operand) { \
        if (is_empty(x, 0)) return compare_empty(x); \
        enter(x); \
        load(st(x, r, 0)); \
        __asm__ volatile(instruction " %0" : : "m"(*(const uint64_t *)operand)); \
        unsigned raised = taken(); \
        discard(); \
        leave(x); \
        return compared(x, raised); \
    } \
    RUN(fcom##suffix) { (void)i; compare_##suffix(x, r, operand); } \
    RUN(fcomp##suffix) { (void)i; if (compare_##suffix(x, r, operand)) pop(x); }
COMPARE_MEMORY(M32, "fcoms")
COMPARE_MEMORY(M64, "fcoml")
COMPARE_MEMORY(I32, "ficoml")
COMPARE_MEMORY(I16, "ficoms")

/* Into EFLAGS: the image goes to the operand; unmasked exceptions forbid the pop only. */
#define COMPARE_FLAGS(name, instruction) \
    static bool compare_##name(x87 *x, uint8_t *r, unsigned i, void *operand) { \
        uint64_t flags = 0x45; \
        bool done; \
        if (is_empty(x, 0) || is_empty(x, i)) { \
            done = underflow(x); \
        } else { \
            enter(x); \
            load(st(x, r, i)); \
            load(st(x, r, 0)); \
            bool zero, parity, carry; \
            /* No PUSHFQ: a leaf function keeps its variables where it would write. */ \
            __asm__ volatile(instruction " %%st(1), %%st" : "=@ccz"(zero), "=@ccp"(parity), "=@ccc"(carry)); \
            flags = (uint64_t)zero << 6 | (uint64_t)parity << 2 | (uint64_t)carry; \
            unsigned raised = taken(); \
            discard(); \
            discard(); \
            leave(x); \
            done = !raise_flags(x, raised & 0x3f, BEFORE); \
        } \
        flags &= 0x45; \
        memcpy(operand, &flags, 8); \
        return done; \
    } \
    RUN(name) { compare_##name(x, r, i, operand); } \
    RUN(name##p) { if (compare_##name(x, r, i, operand)) pop(x); }
COMPARE_FLAGS(fcomi, "fcomi")
COMPARE_FLAGS(fucomi, "fucomi")

RUN(ftst) {
    UNUSED;
    if (is_empty(x, 0)) {
        compare_empty(x);
        return;
    }
    enter(x);
    load(st(x, r, 0));
    __asm__ volatile("ftst" : :);
    unsigned raised = taken();
    discard();
    leave(x);
    compared(x, raised);
}

RUN(fxam) {
    UNUSED;
    const uint8_t *value = st(x, r, 0);
    unsigned codes = value[9] & 0x80 ? X_C1 : 0;
    if (is_empty(x, 0)) {
        set_codes(x, codes | X_C3 | X_C0);
        return;
    }
    enter(x);
    load(value);
    __asm__ volatile("fxam" : :);
    codes = taken();
    discard();
    leave(x);
    set_codes(x, codes);
}

/* ---- One operand -------------------------------------------------------------------------------------------------------------- */
/* `codes`: condition codes beside C1 that the instruction defines. With C2 set nothing was computed. */
#define UNARY(name, codes) \
    RUN(name) { \
        UNUSED; \
        if (is_empty(x, 0)) { \
            x->status &= (uint16_t)~(codes); \
            if (underflow(x)) put_indefinite(st(x, r, 0)), x->not_empty |= (uint8_t)(1u << physical(x, 0)); \
            return; \
        } \
        uint8_t value[10]; \
        enter(x); \
        load(st(x, r, 0)); \
        __asm__ volatile(#name : :); \
        unsigned raised = taken(); \
        store(value); \
        leave(x); \
        x->status = (uint16_t)((x->status & ~(codes)) | (raised & (codes))); \
        if (!raise_flags(x, raised & (X_C1 | 0x3f), BEFORE)) put(st(x, r, 0), value); \
    }
UNARY(fchs, 0)
UNARY(fabs, 0)
UNARY(fsqrt, 0)
UNARY(frndint, 0)
UNARY(f2xm1, 0)
UNARY(fsin, X_C2)
UNARY(fcos, X_C2)

/* The guest's condition codes to the host: FPREM leaves some of them where it finds an invalid operand. */
static void load_codes(const x87 *x) {
    uint16_t environment[14];
    __asm__ volatile("fnstenv %0" : "=m"(environment));
    environment[2] = (uint16_t)((environment[2] & ~X_CODES) | (x->status & X_CODES));
    __asm__ volatile("fldenv %0" : : "m"(environment));
}
/* ST(0) from ST(0) and ST(1), which stays. */
#define WITH_ST1(name, codes) \
    RUN(name) { \
        UNUSED; \
        if (is_empty(x, 0) || is_empty(x, 1)) { \
            if (codes) x->status &= (uint16_t)~X_C2; \
            if (underflow(x)) put_indefinite(st(x, r, 0)), x->not_empty |= (uint8_t)(1u << physical(x, 0)); \
            return; \
        } \
        uint8_t value[10]; \
        enter(x); \
        load(st(x, r, 1)); \
        load(st(x, r, 0)); \
        if (codes) load_codes(x); \
        __asm__ volatile(#name : :); \
        unsigned raised = taken(); \
        store(value); \
        discard(); \
        leave(x); \
        if (codes) { \
            x->status = (uint16_t)((x->status & ~X_CODES) | (raised & X_CODES)); \
            if (!raise_flags(x, raised & (X_C1 | 0x3f), BEFORE)) put(st(x, r, 0), value); \
            return; \
        } \
        if (!raise_flags(x, raised & (X_C1 | 0x3f), BEFORE)) put(st(x, r, 0), value); \
    }
WITH_ST1(fscale, 0)
WITH_ST1(fprem, 1)
WITH_ST1(fprem1, 1)

/* ST(1) from both, then a pop. */
#define INTO_ST1(name) \
    RUN(name) { \
        UNUSED; \
        if (is_empty(x, 0) || is_empty(x, 1)) { \
            if (!underflow(x)) return; \
            put_indefinite(st(x, r, 1)); \
            x->not_empty |= (uint8_t)(1u << physical(x, 1)); \
            pop(x); \
            return; \
        } \
        uint8_t value[10]; \
        enter(x); \
        load(st(x, r, 1)); \
        load(st(x, r, 0)); \
        __asm__ volatile(#name : :); \
        unsigned raised = taken(); \
        /* An unmasked exception before the computation leaves both. */ \
        store(value); \
        if ((raised & X_TOP) == 6 << 11) discard(); \
        leave(x); \
        if (raise_flags(x, raised & (X_C1 | 0x3f), BEFORE)) return; \
        put(st(x, r, 1), value); \
        pop(x); \
    }
INTO_ST1(fpatan)
INTO_ST1(fyl2x)
INTO_ST1(fyl2xp1)

/* A second result is pushed. */
#define PUSHING(name, codes) \
    RUN(name) { \
        UNUSED; \
        bool is_under = is_empty(x, 0), is_over = !is_empty(x, 7); \
        if (is_under || is_over) { \
            x->status &= (uint16_t)~(codes); \
            if (!(is_under ? underflow(x) : overflow(x))) return; \
            put_indefinite(st(x, r, 0)); \
            x->not_empty |= (uint8_t)(1u << physical(x, 0)); \
            put_indefinite(push(x, r)); \
            return; \
        } \
        uint8_t upper[10], lower[10]; \
        enter(x); \
        load(st(x, r, 0)); \
        __asm__ volatile(#name : :); \
        unsigned raised = taken(); \
        bool has_two = (raised & X_TOP) == 6 << 11; \
        if (has_two) store(upper); \
        store(lower); \
        leave(x); \
        x->status = (uint16_t)((x->status & ~(codes)) | (raised & (codes))); \
        if (raise_flags(x, raised & (X_C1 | 0x3f), BEFORE)) return; \
        put(st(x, r, 0), lower); \
        if (has_two) put(push(x, r), upper); \
    }
PUSHING(fptan, X_C2)
PUSHING(fsincos, X_C2)
PUSHING(fxtract, 0)

/* ---- Control ------------------------------------------------------------------------------------------------------------------ */
RUN(fincstp) { UNUSED; x->status &= (uint16_t)~X_C1; set_top(x, (x->status >> 11) + 1); }
RUN(fdecstp) { UNUSED; x->status &= (uint16_t)~X_C1; set_top(x, (x->status >> 11) + 7); }
RUN(ffree) { UNUSED; x->status &= (uint16_t)~X_C1; x->not_empty &= (uint8_t)~(1u << physical(x, i)); }
RUN(ffreep) { UNUSED; x->status &= (uint16_t)~X_C1; x->not_empty &= (uint8_t)~(1u << physical(x, i)); pop(x); }
RUN(fnop) { UNUSED; }
RUN(fnclex) { UNUSED; x->status &= 0x7f00; }
RUN(fninit) { UNUSED; ch_x87_init(x); }
RUN(fldcw) {
    UNUSED;
    uint16_t control;
    memcpy(&control, operand, 2);
    x->control = (uint16_t)((control & 0x1f3f) | 0x40);
    ch_x87_summarize(x);
}

void ch_x87_init(struct ch_x87 *x) {
    memset(x, 0, sizeof *x);
    x->control = X_HOST;
}

void ch_x87_summarize(struct ch_x87 *x) {
    bool is_pending = x->status & ~x->control & 0x3f;
    x->status = (uint16_t)((x->status & ~(X_ES | X_B)) | (is_pending ? X_ES | X_B : 0));
}

uint16_t ch_x87_tags(const struct ch_x87 *x, const uint8_t *registers) {
    uint16_t tags = 0;
    for (unsigned n = 0; n < 8; n++) {
        unsigned tag = 3;
        if (x->not_empty >> n & 1) {
            uint64_t significand;
            uint16_t exponent;
            memcpy(&significand, registers + 16 * n, 8);
            memcpy(&exponent, registers + 16 * n + 8, 2);
            exponent &= 0x7fff;
            if (exponent == 0 && significand == 0) tag = 1;
            else if (exponent == 0 || exponent == 0x7fff || !(significand >> 63)) tag = 2;
            else tag = 0;
        }
        tags |= (uint16_t)(tag << (2 * n));
    }
    return tags;
}

#define E(name) {#name, r_##name, NULL},
#define E_ARITHMETIC(name) E(name) E(name##To) E(name##p) E(name##M32) E(name##M64) E(name##I32) E(name##I16)
static const struct ch_x87_entry own[] = {
    E_ARITHMETIC(fadd) E_ARITHMETIC(fmul) E_ARITHMETIC(fsub) E_ARITHMETIC(fsubr) E_ARITHMETIC(fdiv) E_ARITHMETIC(fdivr)
    E(fcom) E(fcomp) E(fcompp) E(fucom) E(fucomp) E(fucompp)
    E(fcomM32) E(fcomM64) E(fcomI32) E(fcomI16) E(fcompM32) E(fcompM64) E(fcompI32) E(fcompI16)
    E(fcomi) E(fcomip) E(fucomi) E(fucomip) E(ftst) E(fxam)
    E(fchs) E(fabs) E(fsqrt) E(frndint) E(f2xm1) E(fsin) E(fcos) E(fscale) E(fprem) E(fprem1) E(fpatan) E(fyl2x) E(fyl2xp1)
    E(fptan) E(fsincos) E(fxtract) E(fincstp) E(fdecstp) E(ffree) E(ffreep) E(fnop) E(fnclex) E(fninit) E(fldcw)
};

struct ch_x87_entry ch_x87_entries[CH_X87_MOST];
static size_t all_count;
__attribute__((constructor)) static void join(void) {
    memcpy(ch_x87_entries, own, sizeof own);
    all_count = sizeof own / sizeof own[0];
    memcpy(ch_x87_entries + all_count, ch_x87_more, ch_x87_more_count * sizeof ch_x87_entries[0]);
    all_count += ch_x87_more_count;
}
const struct ch_x87_entry *ch_x87_table(size_t *count) {
    *count = all_count;
    return ch_x87_entries;
}
