/* Every conversion of printf that a guest has; the same program prints the same text on the host. */
#include <stdio.h>
#include <string.h>

#ifdef FEW
static const double doubles[] = {-0.0, 2.5, 0.1, 99999.5};
#else
static const double doubles[] = {0.0, -0.0, 1.0, 0.5, 1.5, 2.5, 0.1, 1.0 / 3, 9.995, 99999.5, 123456789.125, 1e22,
                                 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1e-5, 0.0001234, 1e100};
#endif
static const char *const shapes[] = {"[%f]", "[%.0f]", "[%12.3f]", "[%-12.1e]", "[%g]", "[%#.3G]", "[%+.15g]", "[%017.8e]"};

int main(void) {
    printf("%d %i %5d|%-5d|%05d|%+d|% d|%.3d|%.0d|\n", 1, -2, 3, 4, -5, 6, 7, 8, 0);
    printf("%u %x %X %#x %o %#o %#x|%8x|%-8X|%08x\n", 4294967295u, 255, 255, 255, 8, 8, 0, 48879, 48879, 48879);
    printf("%ld %lld %lu %lx %zu %hd %hhd %hu %hhu\n", -1L << 63, -5LL, -1UL, 1UL << 63, sizeof(long), (short)70000, (signed char)300,
           (unsigned short)70000, (unsigned char)300);
    printf("%c|%5c|%-5c|%s|%10s|%-10s|%.2s|%.*s|%*d|%%\n", 'a', 'b', 'c', "text", "right", "left", "cut", 1, "xyz", -6, 42);
    for (unsigned i = 0; i < sizeof doubles / sizeof *doubles; i++)
        for (unsigned k = i % 2; k < sizeof shapes / sizeof *shapes; k += 2)
            printf(shapes[k], doubles[i]);
    printf("\n%f %F %e %010f %-10f|\n", 1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0 * -1 > 0 ? 1.0 : 2.0, 1.0 / 0.0, -1.0 / 0.0);
    char small[8];
    int wanted = snprintf(small, sizeof small, "%s-%d", "truncated", 12345);
    printf("%d %s %d\n", wanted, small, snprintf(small, 0, "%d", 77));
    puts("done");
    return 0;
}
