/* Numbers, random numbers, sorting and the end of the program. */
#include <denali.h>
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void exit(int status) { denali_exit(status); }

void abort(void) { denali_fail("abort", 5); }

int abs(int value) { return value < 0 ? -value : value; }

long labs(long value) { return value < 0 ? -value : value; }

static unsigned digit_of(char character) {
    return isdigit(character) ? character - '0' : isalpha(character) ? (character | 32) - 'a' + 10 : UINT_MAX;
}

/* The digits of `text` as a number, saturated at `limit`; `*end` is where they stop, `text` itself where none are. */
static unsigned long digits(const char *text, const char **end, unsigned base, unsigned long limit) {
    unsigned long value = 0;
    if ((base == 0 || base == 16) && text[0] == '0' && (text[1] | 32) == 'x' && digit_of(text[2]) < 16)
        text += 2, base = 16;
    if (base == 0)
        base = *text == '0' ? 8 : 10;
    for (unsigned digit; (digit = digit_of(*text)) < base; *end = ++text)
        value = value > (limit - digit) / base ? limit : value * base + digit;
    return value;
}

static const char *sign_of(const char *text, int *negative) {
    while (isspace(*text))
        text++;
    *negative = *text == '-';
    return text + (*text == '-' || *text == '+');
}

unsigned long strtoul(const char *restrict text, char **restrict end, int base) {
    int negative;
    const char *stop = text;
    unsigned long value = digits(sign_of(text, &negative), &stop, (unsigned)base, ULONG_MAX);
    if (end)
        *end = (char *)stop;
    return negative && value != ULONG_MAX ? -value : value;
}

long strtol(const char *restrict text, char **restrict end, int base) {
    int negative;
    const char *stop = text, *start = sign_of(text, &negative);
    unsigned long value = digits(start, &stop, (unsigned)base, (unsigned long)LONG_MAX + (unsigned long)negative);
    if (end)
        *end = (char *)stop;
    return (long)(negative ? -value : value);
}

long atol(const char *text) { return strtol(text, NULL, 10); }

int atoi(const char *text) { return (int)atol(text); }

static uint64_t random_state = 1;

void srand(unsigned seed) { random_state = seed; }

int rand(void) { /* Knuth's MMIX generator; its high bits are the good ones */
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int)(random_state >> 33);
}

static void swap(char *a, char *b, size_t size) {
    for (; size; size--, a++, b++) {
        char kept = *a;
        *a = *b;
        *b = kept;
    }
}

static void sift(char *items, size_t top, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    for (size_t child; (child = 2 * top + 1) < count; top = child) {
        if (child + 1 < count && compare(items + child * size, items + (child + 1) * size) < 0)
            child++;
        if (compare(items + top * size, items + child * size) >= 0)
            return;
        swap(items + top * size, items + child * size, size);
    }
}

/* Heapsort: no memory, no bad case, no recursion. Not stable. */
void qsort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    for (size_t top = count / 2; top-- > 0;)
        sift(items, top, count, size, compare);
    while (count > 1) {
        count--;
        swap(items, (char *)items + count * size, size);
        sift(items, 0, count, size, compare);
    }
}
