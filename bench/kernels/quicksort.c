/* Sorting: unpredictable branches, swaps, recursion. */
#include "kernel.h"

#define COUNT 200000

static u32 items[COUNT];

static void sort(u32 *low, u32 *high) {
    while (high - low > 12) {
        u32 pivot = low[(high - low) / 2], *left = low, *right = high;
        while (left <= right) {
            while (*left < pivot)
                left++;
            while (*right > pivot)
                right--;
            if (left <= right) {
                u32 kept = *left;
                *left++ = *right;
                *right-- = kept;
            }
        }
        if (right - low < high - left) {
            sort(low, right);
            low = left;
        } else {
            sort(left, high);
            high = right;
        }
    }
    for (u32 *next = low + 1; next <= high; next++) {
        u32 item = *next, *hole = next;
        for (; hole > low && hole[-1] > item; hole--)
            *hole = hole[-1];
        *hole = item;
    }
}

i64 kernel(i64 n) {
    u64 seed = 5, sum = 0;
    for (i64 round = 0; round < n; round++) {
        for (int i = 0; i < COUNT; i++)
            items[i] = (u32)(next(&seed) >> 33);
        sort(items, items + COUNT - 1);
        for (int i = 0; i < COUNT; i += 1000)
            sum = sum * 31 + items[i];
    }
    return (i64)sum;
}
