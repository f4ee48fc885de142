/* Search for words in a text: by Horspool's table and by comparing everywhere. */
#include "kernel.h"

#define LENGTH 65536

static char text[LENGTH + 1];

static i64 everywhere(const char *word, i64 size) {
    i64 found = 0;
    for (i64 i = 0; i + size <= LENGTH; i++) {
        i64 k = 0;
        while (k < size && text[i + k] == word[k])
            k++;
        found += k == size;
    }
    return found;
}

static i64 skipping(const char *word, i64 size) {
    u8 skip[256];
    i64 found = 0;
    for (int i = 0; i < 256; i++)
        skip[i] = (u8)size;
    for (i64 i = 0; i < size - 1; i++)
        skip[(u8)word[i]] = (u8)(size - 1 - i);
    for (i64 i = 0; i + size <= LENGTH; i += skip[(u8)text[i + size - 1]]) {
        i64 k = size;
        while (k > 0 && text[i + k - 1] == word[k - 1])
            k--;
        found += k == 0;
    }
    return found;
}

i64 kernel(i64 n) {
    u64 seed = 11;
    for (int i = 0; i < LENGTH; i++)
        text[i] = "aabcdeab"[next(&seed) >> 61];
    i64 sum = 0;
    for (i64 round = 0; round < n; round++) {
        i64 at = (i64)((next(&seed) >> 40) % (LENGTH - 16)), size = 3 + round % 8;
        sum = sum * 31 + everywhere(text + at, size) * 7 + skipping(text + at, size);
    }
    return sum;
}
