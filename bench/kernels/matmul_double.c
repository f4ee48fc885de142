/* Matrix product of doubles in row order, so that a compiler may vectorise. */
#include "kernel.h"

#define SIZE 192

static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

i64 kernel(i64 n) {
    u64 seed = 1;
    for (int i = 0; i < SIZE; i++)
        for (int k = 0; k < SIZE; k++)
            a[i][k] = (double)(i64)(next(&seed) >> 40), b[i][k] = (double)(i64)(next(&seed) >> 44) * 0.001;
    u64 sum = 0;
    for (i64 round = 0; round < n; round++) {
        for (int i = 0; i < SIZE; i++) {
            for (int j = 0; j < SIZE; j++)
                c[i][j] = 0;
            for (int k = 0; k < SIZE; k++) {
                double factor = a[i][k];
                for (int j = 0; j < SIZE; j++)
                    c[i][j] += factor * b[k][j];
            }
        }
        for (int i = 0; i < SIZE; i++)
            sum = sum * 31 + (u64)bits_of(c[i][(i * 7 + (int)round) % SIZE]), a[i][i] += 1;
    }
    return (i64)sum;
}
