/* Dependent loads through one random cycle of 1 MiB: the latency of memory, and of an address check before it. */
#include "kernel.h"

#define COUNT 262144

static u32 following[COUNT];

i64 kernel(i64 n) {
    u64 seed = 3;
    for (u32 i = 0; i < COUNT; i++)
        following[i] = i;
    for (u32 i = COUNT - 1; i > 0; i--) { /* Sattolo: one cycle through all */
        u32 k = (u32)((next(&seed) >> 33) % i), kept = following[i];
        following[i] = following[k];
        following[k] = kept;
    }
    u32 at = 0;
    u64 sum = 0;
    for (i64 i = 0; i < n; i++) {
        at = following[at];
        sum += at;
    }
    return (i64)(sum * 31 + at);
}
