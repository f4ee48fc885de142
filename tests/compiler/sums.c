/* Arithmetic of every width, floating point, recursion, pointers to functions, strings and the heap, folded into a few
 * printed numbers: the same on any right machine. */
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long seed = 42;
static unsigned long next(void) { return seed = seed * 6364136223846793005ul + 1442695040888963407ul; }

static unsigned long integers(void) {
    unsigned long sum = 0;
    for (int i = 0; i < 60; i++) {
        long a = (long)next() >> (i % 50), b = ((long)next() >> (i % 60)) | 1;
        sum = sum * 31 + (unsigned long)(a / b ^ a % b) + (unsigned int)a / (unsigned int)b;
        sum ^= (unsigned long)((int)a >> (b & 31)) + ((unsigned long)a >> (b & 63)) + (unsigned short)(a * b);
        sum += (unsigned long)__builtin_popcountl((unsigned long)a) + (unsigned long)((__int128)a * b >> 64);
    }
    return sum;
}

static double reals(void) {
    double sum = 0;
    for (int i = 1; i < 60; i++) {
        double x = (double)(long)next() / (1 << (i % 20)), y = (double)(int)next() + 0.25;
        sum += sqrt(fabs(x)) / y + floor(y / 3) - (double)(float)(x / 1e17) + (double)(long)(y * 1e3);
        sum = -sum * (i % 3 ? 0.5 : 1.25);
    }
    return sum;
}

static long twice(long x) { return 2 * x; }
static long square(long x) { return x * x; }
static long (*const steps[])(long) = {twice, square, labs};

static long ackermann(long m, long n) {
    return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

static int by_value(const void *a, const void *b) {
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void heap(void) {
    int *numbers = malloc(50 * sizeof *numbers);
    char *kept[8];
    for (int i = 0; i < 50; i++)
        numbers[i] = (int)(next() >> 40) % 1000;
    for (int i = 0; i < 8; i++)
        memset(kept[i] = calloc(1, (size_t)(17 * i + 1)), 'a' + i, (size_t)(17 * i));
    for (int i = 0; i < 8; i += 2)
        free(kept[i]);
    numbers = realloc(numbers, 80 * sizeof *numbers);
    qsort(numbers, 50, sizeof *numbers, by_value);
    for (int i = 1; i < 50; i++)
        if (numbers[i - 1] > numbers[i])
            abort();
    printf("%d %d %d %s\n", numbers[0], numbers[25], numbers[49], kept[3]);
}

static void strings(void) {
    char text[64] = "The quick brown fox";
    memmove(text + 4, text, 19);
    text[23] = 0;
    printf("%s %ld %ld %s %d %d\n", text, (long)strlen(text), (long)(strchr(text, 'q') - text), strstr(text, "bro"),
           strcmp("abc", "abd") < 0, strncmp("abcd", "abce", 3));
    printf("%s %d %d\n", strrchr(text, 'T'), memcmp("aab", "aac", 2), toupper('x'));
    printf("%ld %ld %lu %d\n", strtol(" -0x1fz", NULL, 0), strtol("99999999999999999999", NULL, 10), strtoul("0777", NULL, 0),
           atoi("12ab"));
}

int main(void) {
    printf("%lu\n", integers());
    printf("%.17g\n", reals());
    long x = 3;
    for (int i = 0; i < 9; i++)
        x = steps[i % 3](x) % 1000003;
    printf("%ld %ld\n", x, ackermann(2, 5));
    heap();
    strings();
    return INT_MAX % 100;
}
