/* x87: loads, stores, moves between registers. */
#include "x87.h"

/* ---- Loads: the stack's next register must be empty ---------------------------------------------------------------------------- */
static bool can_push(x87 *x, uint8_t *r) {
    if (is_empty(x, 7)) return true;
    if (overflow(x)) put_indefinite(push(x, r));
    return false;
}
/* Where the host loads nothing because of an unmasked exception, its stack stays empty. */
#define LOAD(name, instruction) \
    RUN(name) { \
        (void)i; \
        if (!can_push(x, r)) return; \
        uint8_t value[10]; \
        enter(x); \
        __asm__ volatile(instruction " %0" : : "m"(*(const uint8_t(*)[10])operand)); \
        unsigned raised = taken(); \
        bool is_loaded = (raised & X_TOP) != 0; \
        if (is_loaded) store(value); \
        leave(x); \
        if (!raise_flags(x, raised & 0x3f, X_IE | X_DE) && is_loaded) put(push(x, r), value); \
    }
LOAD(fldM32, "flds")
LOAD(fldM64, "fldl")
LOAD(fldM80, "fldt")
LOAD(fildI16, "filds")
LOAD(fildI32, "fildl")
LOAD(fildI64, "fildll")
LOAD(fbld, "fbld")

#define CONSTANT(name) \
    RUN(name) { \
        (void)i; (void)operand; \
        if (!can_push(x, r)) return; \
        uint8_t value[10]; \
        enter(x); \
        __asm__ volatile(#name : :); \
        store(value); \
        leave(x); \
        x->status &= (uint16_t)~X_C1; \
        put(push(x, r), value); \
    }
CONSTANT(fld1)
CONSTANT(fldl2t)
CONSTANT(fldl2e)
CONSTANT(fldpi)
CONSTANT(fldlg2)
CONSTANT(fldln2)
CONSTANT(fldz)

RUN(fld) {
    (void)operand;
    bool is_under = is_empty(x, i);
    if (!is_under && !can_push(x, r)) return;
    if (is_under) {
        if (underflow(x)) put_indefinite(push(x, r));
        return;
    }
    uint8_t value[10];
    memcpy(value, st(x, r, i), 10);
    x->status &= (uint16_t)~X_C1;
    put(push(x, r), value);
}

/* ---- Between registers ----------------------------------------------------------------------------------------------------------- */
static bool copy(x87 *x, uint8_t *r, unsigned i) {
    if (is_empty(x, 0)) {
        if (!underflow(x)) return false;
        put_indefinite(st(x, r, i));
    } else {
        x->status &= (uint16_t)~X_C1;
        memmove(st(x, r, i), st(x, r, 0), 10);
    }
    x->not_empty |= (uint8_t)(1u << physical(x, i));
    return true;
}
RUN(fst) { (void)operand; copy(x, r, i); }
RUN(fstp) { (void)operand; if (copy(x, r, i)) pop(x); }
RUN(fxch) {
    (void)operand;
    if (is_empty(x, 0) || is_empty(x, i)) {
        if (!underflow(x)) return;
        if (is_empty(x, 0)) put_indefinite(st(x, r, 0));
        if (is_empty(x, i)) put_indefinite(st(x, r, i));
        x->not_empty |= (uint8_t)(1u << physical(x, 0) | 1u << physical(x, i));
    } else {
        x->status &= (uint16_t)~X_C1;
    }
    uint8_t value[10];
    memcpy(value, st(x, r, 0), 10);
    memmove(st(x, r, 0), st(x, r, i), 10);
    put(st(x, r, i), value);
}
/* FCMOVcc; bit 3 of `i`: the condition holds. */
RUN(fcmov) {
    (void)operand;
    if (is_empty(x, 0) || is_empty(x, i & 7)) {
        if (!underflow(x)) return;
        put_indefinite(st(x, r, 0));
        x->not_empty |= (uint8_t)(1u << physical(x, 0));
        return;
    }
    if (i & 8) memmove(st(x, r, 0), st(x, r, i & 7), 10);
}

/* ---- Stores ----------------------------------------------------------------------------------------------------------------------- */
/* `indefinite`: what is stored for an empty register, `width` bytes. */
static bool store_empty(x87 *x, void *operand, const void *indefinite, size_t width) {
    if (!underflow(x)) return false;
    memcpy(operand, indefinite, width);
    return true;
}
/* The host's instruction pops. It neither stores nor pops where a result is forbidden. */
#define STORE_AS(name, instruction, width, forbidding, ...) \
    static bool store_##name(x87 *x, uint8_t *r, void *operand) { \
        static const uint8_t indefinite[] = __VA_ARGS__; \
        if (is_empty(x, 0)) return store_empty(x, operand, indefinite, width); \
        enter(x); \
        load(st(x, r, 0)); \
        __asm__ volatile(instruction " %0" : "+m"(*(uint8_t(*)[10])operand)); \
        unsigned raised = taken(); \
        if ((raised & X_TOP) != 0) discard(); \
        leave(x); \
        return !raise_flags(x, raised & (X_C1 | 0x3f), forbidding); \
    }
#define PLAIN(name, suffix, kind) STORE(name##suffix) { return store_##kind(x, r, operand); }
#define POPPING(name, suffix, kind) \
    STORE(name##suffix) { \
        if (!store_##kind(x, r, operand)) return false; \
        pop(x); \
        return true; \
    }
enum { REAL = X_IE | X_OE | X_UE, INTEGER = X_IE };
STORE_AS(M32, "fstps", 4, REAL, {0, 0, 0xc0, 0xff})
STORE_AS(M64, "fstpl", 8, REAL, {0, 0, 0, 0, 0, 0, 0xf8, 0xff})
STORE_AS(M80, "fstpt", 10, REAL, {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff})
STORE_AS(I16, "fistps", 2, INTEGER, {0, 0x80})
STORE_AS(I32, "fistpl", 4, INTEGER, {0, 0, 0, 0x80})
STORE_AS(I64, "fistpll", 8, INTEGER, {0, 0, 0, 0, 0, 0, 0, 0x80})
STORE_AS(T16, "fisttps", 2, INTEGER, {0, 0x80})
STORE_AS(T32, "fisttpl", 4, INTEGER, {0, 0, 0, 0x80})
STORE_AS(T64, "fisttpll", 8, INTEGER, {0, 0, 0, 0, 0, 0, 0, 0x80})
STORE_AS(BCD, "fbstp", 10, INTEGER, {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff})
PLAIN(fst, M32, M32)
PLAIN(fst, M64, M64)
PLAIN(fist, I16, I16)
PLAIN(fist, I32, I32)
POPPING(fstp, M32, M32)
POPPING(fstp, M64, M64)
POPPING(fstp, M80, M80)
POPPING(fistp, I16, I16)
POPPING(fistp, I32, I32)
POPPING(fistp, I64, I64)
POPPING(fisttp, I16, T16)
POPPING(fisttp, I32, T32)
POPPING(fisttp, I64, T64)
POPPING(fbstp, , BCD)

#define R(name) {#name, r_##name, NULL},
#define S(name) {#name, NULL, s_##name},
const struct ch_x87_entry ch_x87_more[] = {
    R(fldM32) R(fldM64) R(fldM80) R(fildI16) R(fildI32) R(fildI64) R(fbld) R(fld1) R(fldl2t) R(fldl2e) R(fldpi) R(fldlg2)
    R(fldln2) R(fldz) R(fld) R(fst) R(fstp) R(fxch) R(fcmov)
    S(fstM32) S(fstM64) S(fistI16) S(fistI32) S(fstpM32) S(fstpM64) S(fstpM80) S(fistpI16) S(fistpI32) S(fistpI64)
    S(fisttpI16) S(fisttpI32) S(fisttpI64) S(fbstp)
};
const size_t ch_x87_more_count = sizeof ch_x87_more / sizeof ch_x87_more[0];
