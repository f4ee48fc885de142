/* Recursion with three arguments and calls in arguments. */
#include "kernel.h"

__attribute__((noinline)) static i64 tak(i64 x, i64 y, i64 z) {
    return y < x ? tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y)) : z;
}

i64 kernel(i64 n) { return tak(n, n * 2 / 3, n / 3); }
