/* What every kernel is: one function of one number, without a library, the same on every machine. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdint.h>

typedef int64_t i64;
typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

__attribute__((visibility("default"))) i64 kernel(i64 n);

/* Knuth's MMIX generator; the high bits are the good ones. */
static inline u64 next(u64 *state) { return *state = *state * 6364136223846793005u + 1442695040888963407u; }

/* The bits of a double, so that a checksum sees the last one. */
static inline i64 bits_of(double value) {
    union { double value; i64 bits; } both = {value};
    return both.bits;
}

#endif
