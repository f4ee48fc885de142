/* Iterated complex squares: a loop of double arithmetic that stays in registers. */
#include "kernel.h"

i64 kernel(i64 n) {
    u64 sum = 0;
    for (i64 row = 0; row < n; row++)
        for (i64 column = 0; column < n; column++) {
            double x0 = 3.0 * (double)column / (double)n - 2.25, y0 = 3.0 * (double)row / (double)n - 1.5;
            double x = 0, y = 0;
            int steps = 0;
            while (x * x + y * y <= 4 && steps < 100) {
                double next_x = x * x - y * y + x0;
                y = 2 * x * y + y0;
                x = next_x;
                steps++;
            }
            sum = sum * 31 + (u64)steps;
        }
    return (i64)sum;
}
