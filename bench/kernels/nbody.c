/* Five planets: double arithmetic with division and square root. */
#include "kernel.h"

struct body {
    double x, y, z, vx, vy, vz, mass;
};

static struct body bodies[5];

static void place(void) {
    u64 seed = 7;
    for (int i = 0; i < 5; i++) {
        double *part = &bodies[i].x;
        for (int k = 0; k < 6; k++)
            part[k] = (double)(i64)(next(&seed) >> 34) / (1 << 28) - 2;
        bodies[i].mass = 1.0 / (1 + i);
    }
}

static void advance(double step) {
    for (int i = 0; i < 5; i++) {
        struct body *a = &bodies[i];
        for (int k = i + 1; k < 5; k++) {
            struct body *b = &bodies[k];
            double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
            double square = dx * dx + dy * dy + dz * dz + 0.01;
            double pull = step / (square * __builtin_sqrt(square));
            a->vx -= dx * b->mass * pull, a->vy -= dy * b->mass * pull, a->vz -= dz * b->mass * pull;
            b->vx += dx * a->mass * pull, b->vy += dy * a->mass * pull, b->vz += dz * a->mass * pull;
        }
    }
    for (int i = 0; i < 5; i++) {
        struct body *a = &bodies[i];
        a->x += step * a->vx, a->y += step * a->vy, a->z += step * a->vz;
    }
}

i64 kernel(i64 n) {
    place();
    for (i64 i = 0; i < n; i++)
        advance(0.001);
    u64 sum = 0;
    for (int i = 0; i < 5; i++)
        sum = sum * 31 + (u64)bits_of(bodies[i].x) + (u64)bits_of(bodies[i].vz);
    return (i64)sum;
}
