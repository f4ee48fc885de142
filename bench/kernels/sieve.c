/* Strided byte stores and a scan: the primes below a million, n times. */
#include "kernel.h"

#define LIMIT 1000000

static u8 composite[LIMIT];

i64 kernel(i64 n) {
    i64 count = 0;
    for (i64 round = 0; round < n; round++) {
        for (i64 i = 0; i < LIMIT; i++)
            composite[i] = 0;
        for (i64 i = 2; i * i < LIMIT; i++)
            if (!composite[i])
                for (i64 k = i * i; k < LIMIT; k += i)
                    composite[k] = 1;
        for (i64 i = 2; i < LIMIT; i++)
            count += !composite[i];
    }
    return count;
}
