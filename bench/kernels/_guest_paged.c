/* A kernel as a guest that turns its virtual MMU on first.
 *
 * Every page gets an entry, at its own place; with SCATTERED, neighbours change places, so that no two pages in a row
 * lie in a row, and only the stack is wired. Otherwise the last page is, as it is not a whole one.
 */
#include "kernel.h"
#include <denali.h>

enum { PAGE = 4096, ENTRIES = 4096, STACK = 256 * 1024, READ_WRITE = 3 };

static void exchange(volatile u64 *one, volatile u64 *other) {
    for (int i = 0; i < PAGE / 8; i++) {
        u64 word = one[i];
        one[i] = other[i];
        other[i] = word;
    }
}

/* Where the page is bound to: itself, or the other of its pair. */
static u64 frame_of(u64 page, u64 start, u64 end) {
    u64 other = start + ((page - start) ^ PAGE);
    return SCATTERED && other < end ? other : page;
}

int main(void) {
    u64 start = denali_registers()->start, end = start + denali_registers()->memory;
    struct { u64 start, size; } wired = {(SCATTERED ? end - STACK : end - 1) & -PAGE, 0};
    wired.size = end - wired.start;
    for (u64 page = start; page < wired.start; page += PAGE)
        if (frame_of(page, start, wired.start) > page)
            exchange((u64 *)page, (u64 *)frame_of(page, start, wired.start));
    if (DENALI_SERVICE(DENALI_MMU, ENTRIES, &wired) != 0)
        denali_exit(-1);
    for (u64 page = wired.start; page > start;) { /* downwards, so that the TLB's window grows from what is wired */
        page -= PAGE;
        DENALI_SERVICE(DENALI_BIND, page | READ_WRITE, frame_of(page, start, wired.start));
    }
    denali_exit(kernel(N));
}
