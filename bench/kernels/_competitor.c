/* The guest that runs between the turns of the one that is measured: it touches some memory and never ends. */
#include <stdint.h>

static volatile uint32_t table[4096];

int main(void) {
    for (uint32_t i = 1;; i = i * 1664525 + 1013904223)
        table[i >> 20] += i;
}
