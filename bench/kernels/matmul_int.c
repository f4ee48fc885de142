/* Integer matrix product, the inner loop along columns of b. */
#include "kernel.h"

#define SIZE 192

static u32 a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

i64 kernel(i64 n) {
    u64 seed = 1;
    for (int i = 0; i < SIZE; i++)
        for (int k = 0; k < SIZE; k++)
            a[i][k] = (u32)(next(&seed) >> 40), b[i][k] = (u32)(next(&seed) >> 40);
    u64 sum = 0;
    for (i64 round = 0; round < n; round++) {
        for (int i = 0; i < SIZE; i++)
            for (int j = 0; j < SIZE; j++) {
                u32 cell = 0;
                for (int k = 0; k < SIZE; k++)
                    cell += a[i][k] * b[k][j];
                c[i][j] = cell;
            }
        for (int i = 0; i < SIZE; i++)
            sum = sum * 31 + c[i][(i * 7 + (int)round) % SIZE], a[i][i] += (u32)sum;
    }
    return (i64)sum;
}
