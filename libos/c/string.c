/* Memory eight bytes at a time where that fits; this machine allows misaligned access, so only lengths matter. */
#include <stdint.h>
#include <string.h>

typedef uint64_t __attribute__((may_alias)) word;

/* Upwards: right for ranges that overlap too, as long as `target` is the lower one. */
static inline void copy_up(unsigned char *target, const unsigned char *source, size_t size) {
    for (; size >= sizeof(word); size -= sizeof(word), target += sizeof(word), source += sizeof(word))
        *(word *)target = *(const word *)source;
    while (size--)
        *target++ = *source++;
}

static inline void copy_down(unsigned char *target, const unsigned char *source, size_t size) {
    for (; size >= sizeof(word); size -= sizeof(word))
        *(word *)(target + size - sizeof(word)) = *(const word *)(source + size - sizeof(word));
    while (size--)
        target[size] = source[size];
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    copy_up(to, from, size);
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    if ((uintptr_t)to <= (uintptr_t)from)
        copy_up(to, from, size);
    else
        copy_down(to, from, size);
    return to;
}

void *memset(void *to, int byte, size_t size) {
    unsigned char *target = to;
    word pattern = (unsigned char)byte * 0x0101010101010101u;
    for (; size >= sizeof(word); size -= sizeof(word), target += sizeof(word))
        *(word *)target = pattern;
    while (size--)
        *target++ = (unsigned char)byte;
    return to;
}

int memcmp(const void *left, const void *right, size_t size) {
    const unsigned char *a = left, *b = right;
    for (; size; size--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

void *memchr(const void *bytes, int byte, size_t size) {
    for (const unsigned char *p = bytes; size; size--, p++)
        if (*p == (unsigned char)byte)
            return (void *)p;
    return NULL;
}

size_t strlen(const char *text) {
    const char *end = text;
    while (*end)
        end++;
    return (size_t)(end - text);
}

size_t strnlen(const char *text, size_t limit) {
    size_t length = 0;
    while (length < limit && text[length])
        length++;
    return length;
}

int strcmp(const char *left, const char *right) {
    while (*left && *left == *right)
        left++, right++;
    return (unsigned char)*left - (unsigned char)*right;
}

int strncmp(const char *left, const char *right, size_t limit) {
    while (limit && *left && *left == *right)
        left++, right++, limit--;
    return limit ? (unsigned char)*left - (unsigned char)*right : 0;
}

char *strcpy(char *restrict to, const char *restrict from) {
    memcpy(to, from, strlen(from) + 1);
    return to;
}

char *strncpy(char *restrict to, const char *restrict from, size_t size) {
    size_t length = strnlen(from, size);
    memcpy(to, from, length);
    memset(to + length, 0, size - length);
    return to;
}

char *strcat(char *restrict to, const char *restrict from) {
    strcpy(to + strlen(to), from);
    return to;
}

char *strchr(const char *text, int character) {
    for (;; text++) {
        if (*text == (char)character)
            return (char *)text;
        if (!*text)
            return NULL;
    }
}

char *strrchr(const char *text, int character) {
    const char *found = text + strlen(text);
    while (found > text && *found != (char)character)
        found--;
    return *found == (char)character ? (char *)found : NULL;
}

char *strstr(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; *text || !length; text++)
        if (!strncmp(text, part, length))
            return (char *)text;
    return NULL;
}
