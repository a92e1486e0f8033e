/* Integers, memory, branches and calls, as compilers make them. Own writing; SHA-256 by FIPS 180-4. */
#include "programs.h"

#define NOINLINE __attribute__((noinline, noclone))

/* ---- Multi-precision multiply: by half words in 64 bits, as Linux' lib/mpi is compiled, and by MUL in 32. */

enum { LIMBS = 64 };
static word factor[LIMBS], sum[LIMBS];

static inline word multiplied(word a, word b, word *high) {
#ifdef __x86_64__
    word a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    word low = a0 * b0, middle = a0 * b1 + (low >> 32), other = a1 * b0, top = a1 * b1;
    middle += other;
    if (middle < other) top += 1ul << 32;
    *high = top + (middle >> 32);
    return middle << 32 | (uint32_t)low;
#else
    uint64_t product = (uint64_t)a * b;
    *high = product >> 32;
    return (word)product;
#endif
}

static NOINLINE word add_multiple(word *to, const word *from, word by) {
    word carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        word high, low = multiplied(from[i], by, &high);
        low += carry;
        carry = high + (low < carry);
        to[i] += low;
        carry += to[i] < low;
    }
    return carry;
}

PROGRAM(multiply_long) {
    word carry = 0;
    for (int i = 0; i < LIMBS; i++) factor[i] = (word)(i + 1) * 0x9e3779b9u * 0x85ebca6bu;
    for (word turn = 0; turn < 400000; turn++) carry ^= add_multiple(sum, factor, turn * 777777777u | 1);
    uint64_t result = carry;
    for (int i = 0; i < LIMBS; i++) result = mixed(result, sum[i]);
    return result;
}

/* ---- SHA-256 */

static uint32_t constants[64]; /* not FIPS' table: the work is the same */
static inline uint32_t turned(uint32_t x, int n) { return x >> n | x << (32 - n); }

static NOINLINE void compress(uint32_t state[8], const uint32_t block[16]) {
    uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 16; i++) w[i] = __builtin_bswap32(block[i]);
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + w[i];
        uint32_t t2 = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

PROGRAM(sha256) {
    uint32_t state[8] = {1, 2, 3, 4, 5, 6, 7, 8}, block[16], seed = 5;
    for (int i = 0; i < 64; i++) constants[i] = following(&seed);
    for (int i = 0; i < 16; i++) block[i] = following(&seed);
    for (uint32_t turn = 0; turn < 200000; turn++) {
        block[turn & 15] ^= turn;
        compress(state, block);
    }
    return (uint64_t)state[0] << 32 | state[7];
}

/* ---- A chain of pointers through 256 KiB, one in each cache line */

struct link {
    struct link *next;
    char pad[64 - sizeof(struct link *)];
};
static struct link links[4096];

PROGRAM(chase) {
    for (uint32_t i = 0; i < 4096; i++) links[i].next = &links[(i * 1109 + 777) % 4096]; /* one cycle of all */
    struct link *at = links;
    for (word turn = 0; turn < 20000003; turn++) at = at->next;
    return (uint64_t)(at - links);
}

/* ---- Calls */

static NOINLINE word fibonacci(word n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
PROGRAM(recursion) { return fibonacci(36); }

#define STEP(k) static NOINLINE word step##k(word x) { return x * (2 * k + 3) + k; }
STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
static word (*const steps[8])(word) = {step0, step1, step2, step3, step4, step5, step6, step7};

PROGRAM(indirect_calls) {
    word x = 1;
    for (word turn = 0; turn < 12000000; turn++) x = steps[x >> 13 & 7](x);
    return x;
}

/* ---- An interpreter of eight instructions, whose program strikes out multiples and counts what is left */

enum operation { SET, MOVE, ADD, STORE, LOAD, SKIP_BELOW, JUMP, STOP };
struct instruction { uint8_t operation, to, from; int32_t value; };
static word cells[8192];

static NOINLINE word interpreted(const struct instruction *code) {
    word r[8] = {0};
    for (const struct instruction *at = code;; at++) switch (at->operation) {
        case SET: r[at->to] = (word)at->value; break;
        case MOVE: r[at->to] = r[at->from]; break;
        case ADD: r[at->to] += r[at->from]; break;
        case STORE: cells[r[at->to] & 8191] = r[at->from]; break;
        case LOAD: r[at->to] = cells[r[at->from] & 8191]; break;
        case SKIP_BELOW: at += r[at->to] < r[at->from]; break;
        case JUMP: at += at->value; break;
        default: return r[0];
    }
}

PROGRAM(interpreter) {
    static const struct instruction sieve[] = {
        /* r0 count, r1 number, r2 multiple, r3 one, r4 limit, r5 scratch; cells are zero where not struck out */
        {SET, 3, 0, 1}, {SET, 4, 0, 8192}, {SET, 1, 0, 2},
        {SKIP_BELOW, 1, 4, 0}, {JUMP, 0, 0, 11},                               /* 3: while number < limit */
        {LOAD, 5, 1, 0}, {SKIP_BELOW, 5, 3, 0}, {JUMP, 0, 0, 6},               /* 5: struck out: next number */
        {ADD, 0, 3, 0}, {MOVE, 2, 1, 0},                                       /* 8: a prime; multiple = number */
        {STORE, 2, 3, 0}, {ADD, 2, 1, 0}, {SKIP_BELOW, 4, 2, 0}, {JUMP, 0, 0, -4}, /* 10: until limit < multiple */
        {ADD, 1, 3, 0}, {JUMP, 0, 0, -13}, {STOP, 0, 0, 0}};                   /* 14: the last of those that strike 8192 strikes 0 */
    uint64_t result = 0;
    for (int turn = 0; turn < 120; turn++) {
        for (int i = 0; i < 8192; i++) cells[i] = 0;
        result = mixed(result, interpreted(sieve));
    }
    return result;
}

/* ---- A hash table of 16,384 keys in 32,768 places, 256 KiB: with twice as much TCG's TLB may thrash, or not, as it was sized before */

static uint32_t keys[1 << 15], values[1 << 15];

PROGRAM(hash_table) {
    uint32_t seed = 88172645;
    for (word turn = 0; turn < 12000000; turn++) {
        seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
        uint32_t key = (seed & 0x3fff) + 1, place = key * 0x9E3779B9u >> 17;
        while (keys[place] && keys[place] != key) place = (place + 1) & 0x7fff;
        keys[place] = key;
        values[place] += seed;
    }
    uint64_t result = 0;
    for (int i = 0; i < 1 << 15; i++) result = mixed(result, keys[i] + values[i]);
    return result;
}

/* ---- Quicksort with a function that compares */

static int32_t numbers[20000];

static NOINLINE int compared(const int32_t *a, const int32_t *b) { return *a < *b ? -1 : *a > *b; }

static NOINLINE void sort_range(int32_t *at, long low, long high, int (*compare)(const int32_t *, const int32_t *)) {
    while (low < high) {
        int32_t pivot = at[(low + high) / 2];
        long i = low, j = high;
        while (i <= j) {
            while (compare(&at[i], &pivot) < 0) i++;
            while (compare(&at[j], &pivot) > 0) j--;
            if (i > j) break;
            int32_t held = at[i];
            at[i++] = at[j];
            at[j--] = held;
        }
        sort_range(at, low, j, compare);
        low = i;
    }
}

PROGRAM(sort) {
    uint64_t result = 0;
    uint32_t seed = 123;
    for (int turn = 0; turn < 16; turn++) {
        for (int i = 0; i < 20000; i++) numbers[i] = (int32_t)following(&seed);
        sort_range(numbers, 0, 19999, compared);
        for (int i = 0; i < 20000; i++) result = mixed(result, (uint32_t)numbers[i]);
    }
    return result;
}

/* ---- Bytes: words counted, letters made capital, two texts compared */

static char text[4096], copy[4096];

static NOINLINE word words_of(const char *at) {
    word count = 0;
    for (char before = ' '; *at; before = *at++) count += *at != ' ' && before == ' ';
    return count;
}
static NOINLINE void capitalize(char *to, const char *from) {
    for (; *from; from++) *to++ = *from >= 'a' && *from <= 'z' ? (char)(*from - 32) : *from;
    *to = 0;
}
static NOINLINE word equal_until(const char *a, const char *b) {
    const char *from = a;
    while (*a && (*a | 32) == (*b | 32)) a++, b++;
    return (word)(a - from);
}

PROGRAM(byte_loops) {
    uint32_t seed = 9;
    for (int i = 0; i < 4095; i++) text[i] = following(&seed) >> 29 ? (char)('a' + (seed >> 8) % 26) : ' ';
    uint64_t result = 0;
    for (word turn = 0; turn < 4000; turn++) {
        text[turn & 1023] = turn & 3 ? 'x' : ' ';
        capitalize(copy, text);
        result = mixed(result, words_of(copy) << 16 | equal_until(text, copy));
    }
    return result;
}
