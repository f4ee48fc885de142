/* Calls through pointers to functions, chosen by data. */
#include "kernel.h"

typedef u64 (*step)(u64 value, u64 argument);

static u64 add(u64 value, u64 argument) { return value + argument; }
static u64 mix(u64 value, u64 argument) { return (value ^ argument) * 0x9e3779b97f4a7c15u; }
static u64 turn(u64 value, u64 argument) { return value << 13 | (value >> 51 & argument) | 1; }
static u64 cut(u64 value, u64 argument) { return value - (argument >> 3); }
static u64 fold(u64 value, u64 argument) { return value ^ value >> 29 ^ argument; }
static u64 count(u64 value, u64 argument) { return value + (u64)__builtin_popcountll(argument & 0xff); }

static step volatile chosen[8] = {add, mix, turn, cut, fold, count, mix, add};

i64 kernel(i64 n) {
    u64 value = 1, pattern = 0x123456789abcdefu;
    for (i64 i = 0; i < n; i++) {
        value = chosen[pattern & 7](value, (u64)i);
        pattern = pattern >> 3 | pattern << 61;
    }
    return (i64)value;
}
