/* An interpreter of a small stack machine: a switch that jumps through a table, data-dependent branches. */
#include "kernel.h"

enum { PUSH, LOAD, STORE, ADD, SUBTRACT, MULTIPLY, XOR, SHIFT, LESS, JUMP_IF, JUMP, SWAP, DUPLICATE, DROP, HALT };

/* i = n; a = 1; b = 0; do { b = (b + a * 5) ^ (b >> 7); a = b - a; if (a < b) a = a + 1; i = i - 1 } while (0 < i) */
static const i64 program[] = {
    PUSH, 1, STORE, 1, PUSH, 0, STORE, 2,
    /* 8 */ LOAD, 2, DUPLICATE, PUSH, 7, SHIFT, SWAP, LOAD, 1, PUSH, 5, MULTIPLY, ADD, XOR, STORE, 2,
    /* 24 */ LOAD, 2, LOAD, 1, SUBTRACT, STORE, 1,
    /* 31 */ LOAD, 1, LOAD, 2, LESS, JUMP_IF, 40, JUMP, 47,
    /* 40 */ LOAD, 1, PUSH, 1, ADD, STORE, 1,
    /* 47 */ LOAD, 0, DUPLICATE, DROP, PUSH, 1, SUBTRACT, DUPLICATE, STORE, 0,
    /* 57 */ PUSH, 0, SWAP, LESS, JUMP_IF, 8, LOAD, 2, HALT};

i64 kernel(i64 n) {
    i64 stack[16] = {0}, variables[4] = {n, 0, 0, 0};
    i64 *top = stack + 2;
    for (const i64 *pc = program;;)
        switch (*pc++) {
        case PUSH: *++top = *pc++; break;
        case LOAD: *++top = variables[*pc++]; break;
        case STORE: variables[*pc++] = *top--; break;
        case ADD: top--, *top = (i64)((u64)top[0] + (u64)top[1]); break;
        case SUBTRACT: top--, *top = (i64)((u64)top[0] - (u64)top[1]); break;
        case MULTIPLY: top--, *top = (i64)((u64)top[0] * (u64)top[1]); break;
        case XOR: top--, *top ^= top[1]; break;
        case SHIFT: top--, *top >>= top[1] & 63; break;
        case LESS: top--, *top = top[0] < top[1]; break;
        case JUMP_IF: pc = *top-- ? program + *pc : pc + 1; break;
        case JUMP: pc = program + *pc; break;
        case SWAP: { i64 kept = top[0]; top[0] = top[-1]; top[-1] = kept; break; }
        case DUPLICATE: top[1] = top[0], top++; break;
        case DROP: top--; break;
        default: return *top;
        }
}
