/* What computes beside the integer unit: scalar doubles, packed SSE, REP string instructions, x87. Only operations that IEEE 754 defines
 * to the bit, so that results are the same on every CPU. 64-bit. */
#include <emmintrin.h>
#include "programs.h"

static uint64_t bits(double x) {
    uint64_t value;
    __builtin_memcpy(&value, &x, 8);
    return value;
}

/* ---- Scalar doubles: four bodies that attract each other */

enum { BODIES = 4 };
struct body { double x[3], v[3], mass; };

static __attribute__((noinline)) void advance(struct body *all, double by) {
    for (int i = 0; i < BODIES; i++)
        for (int j = i + 1; j < BODIES; j++) {
            double d[3], square = 0.01;
            for (int k = 0; k < 3; k++) d[k] = all[i].x[k] - all[j].x[k], square += d[k] * d[k];
            double force = by / (square * __builtin_sqrt(square));
            for (int k = 0; k < 3; k++) all[i].v[k] -= d[k] * all[j].mass * force, all[j].v[k] += d[k] * all[i].mass * force;
        }
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++) all[i].x[k] += by * all[i].v[k];
}

PROGRAM(doubles) {
    struct body all[BODIES] = {{{0, 0, 0}, {0, 0, 0}, 3}, {{1, 0, 0.1}, {0, 1, 0}, 0.5}, {{0, 2, 0}, {1, 0, 0.2}, 0.25}, {{3, 1, 1}, {0, 0.5, 0}, 0.1}};
    for (int turn = 0; turn < 200000; turn++) advance(all, 0.001);
    uint64_t result = 0;
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++) result = mixed(mixed(result, bits(all[i].x[k])), bits(all[i].v[k]));
    return result;
}

/* ---- Packed SSE: floats scaled and added, pixels blended, distances of bytes */

static float left[1024], right[1024];
static uint8_t pixels[4096], others[4096];

static __attribute__((noinline)) void scale_and_add(float *to, const float *from, float by) {
    __m128 factor = _mm_set1_ps(by);
    for (int i = 0; i < 1024; i += 4) {
        __m128 value = _mm_add_ps(_mm_mul_ps(_mm_loadu_ps(to + i), factor), _mm_loadu_ps(from + i));
        _mm_storeu_ps(to + i, _mm_min_ps(_mm_max_ps(value, _mm_set1_ps(-100)), _mm_set1_ps(100)));
    }
}
static __attribute__((noinline)) void blend(uint8_t *to, const uint8_t *from, int weight) {
    __m128i zero = _mm_setzero_si128(), mine = _mm_set1_epi16((short)weight), theirs = _mm_set1_epi16((short)(256 - weight));
    for (int i = 0; i < 4096; i += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(to + i)), b = _mm_loadu_si128((const __m128i *)(from + i));
        __m128i low = _mm_add_epi16(_mm_mullo_epi16(_mm_unpacklo_epi8(a, zero), mine), _mm_mullo_epi16(_mm_unpacklo_epi8(b, zero), theirs));
        __m128i high = _mm_add_epi16(_mm_mullo_epi16(_mm_unpackhi_epi8(a, zero), mine), _mm_mullo_epi16(_mm_unpackhi_epi8(b, zero), theirs));
        __m128i blended = _mm_packus_epi16(_mm_srli_epi16(low, 8), _mm_srli_epi16(high, 8));
        _mm_storeu_si128((__m128i *)(to + i), _mm_adds_epu8(blended, _mm_set1_epi8(1)));
    }
}
static __attribute__((noinline)) uint64_t distance(const uint8_t *a, const uint8_t *b) {
    __m128i sum = _mm_setzero_si128();
    for (int i = 0; i < 4096; i += 16)
        sum = _mm_add_epi64(sum, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)(a + i)), _mm_loadu_si128((const __m128i *)(b + i))));
    return (uint64_t)_mm_cvtsi128_si64(sum) + (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sum, sum));
}

PROGRAM(sse) {
    uint32_t seed = 77;
    for (int i = 0; i < 1024; i++) left[i] = (float)(following(&seed) >> 20), right[i] = (float)(following(&seed) >> 24) / 16;
    for (int i = 0; i < 4096; i++) pixels[i] = following(&seed) >> 24, others[i] = following(&seed) >> 24;
    uint64_t result = 0;
    for (int turn = 0; turn < 9000; turn++) {
        scale_and_add(left, right, turn & 1 ? 0.75f : -1.125f);
        blend(pixels, others, 64 + (turn & 63));
        others[turn & 4095] ^= (uint8_t)turn;
        result = mixed(result, distance(pixels, others));
    }
    for (int i = 0; i < 1024; i++) result = mixed(result, bits(left[i]));
    return result;
}

/* ---- REP MOVS, STOS, SCAS and CMPS of 1 to 4,095 bytes, as C libraries use them */

static char source[8192], target[8192];

PROGRAM(strings) {
    uint32_t seed = 31;
    for (int i = 0; i < 8192; i++) source[i] = (char)(1 + (following(&seed) >> 25));
    uint64_t result = 0;
    for (int turn = 0; turn < 60000; turn++) {
        word length = following(&seed) >> 20 >> (turn % 12), from = following(&seed) >> 20;
        void *to = target + 1, *at = source + from;
        word count = ++length;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(at), "+c"(count) : : "memory");
        count = length / 8, to = target + 4096;
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"((word)turn) : "memory");
        source[from + length] = 0;
        to = source + from, count = ~0ul;
        __asm__ volatile("repne scasb" : "+D"(to), "+c"(count) : "a"(0) : "memory", "cc");
        result = mixed(result, ~count);
        source[from + length] = (char)(1 + (turn & 63));
        to = target + 1, at = source + from, count = length + 1;
        __asm__ volatile("repe cmpsb" : "+D"(to), "+S"(at), "+c"(count) : : "memory", "cc");
        result = mixed(result, count);
    }
    for (int i = 0; i < 8192; i++) result = mixed(result, (uint8_t)target[i]);
    return result;
}

/* ---- x87: a polynomial, quotients and roots in 80 bits */

PROGRAM(x87) {
    volatile long double start = 1.25L;
    long double x = start, total = 0;
    for (int turn = 0; turn < 1000000; turn++) {
        long double value = (((x * 0.125L - 0.5L) * x + 1.5L) * x - 2.0L) * x + 0.75L;
        total += value / (x + 3.0L);
        x = __builtin_sqrtl(x * x + 1.0L / (1 + (turn & 15)));
        if (x > 4.0L) x -= 3.5L;
    }
    struct { uint64_t mantissa; uint16_t exponent; } parts = {0, 0};
    __builtin_memcpy(&parts, &total, 10);
    return mixed(parts.mantissa, parts.exponent);
}
