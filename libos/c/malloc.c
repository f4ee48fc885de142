/* The heap: from the end of bss upwards, towards the stack. First fit over a list of free blocks ordered by address,
 * neighbours joined again when they are freed. Each block is preceded by a header of 16 bytes that holds its size. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STACK_RESERVE 4096 /* malloc fails rather than come nearer to the stack pointer than this */

struct block {
    size_t size; /* of the whole block with this header, a multiple of 16 */
    struct block *next;
};

extern char _end[]; /* end of bss, from image.ld */
static char *heap_end = _end;
static struct block *free_list;

static struct block *grow(size_t size) {
    uintptr_t room = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)heap_end;
    if ((intptr_t)room < STACK_RESERVE || size > room - STACK_RESERVE)
        return NULL;
    struct block *fresh = (struct block *)heap_end;
    heap_end += size;
    fresh->size = size;
    return fresh;
}

static struct block *take(size_t size) {
    for (struct block **link = &free_list; *link; link = &(*link)->next) {
        struct block *block = *link;
        if (block->size < size)
            continue;
        if (block->size - size >= 2 * sizeof(struct block)) {
            struct block *rest = (struct block *)((char *)block + size);
            rest->size = block->size - size;
            rest->next = block->next;
            block->size = size;
            *link = rest;
        } else {
            *link = block->next;
        }
        return block;
    }
    return grow(size);
}

void *malloc(size_t size) {
    if (size > PTRDIFF_MAX - 32)
        return NULL;
    struct block *block = take((size + sizeof(struct block) + 15) & -(size_t)16);
    return block ? block + 1 : NULL;
}

void free(void *memory) {
    if (!memory)
        return;
    struct block *block = (struct block *)memory - 1, *before = NULL, *after = free_list;
    for (; after && after < block; after = after->next)
        before = after;
    block->next = after;
    *(before ? &before->next : &free_list) = block;
    if (after && (char *)block + block->size == (char *)after)
        block->size += after->size, block->next = after->next;
    if (before && (char *)before + before->size == (char *)block)
        before->size += block->size, before->next = block->next;
}

void *calloc(size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *memory = malloc(total);
    return memory ? memset(memory, 0, total) : NULL;
}

void *realloc(void *memory, size_t size) {
    void *fresh = malloc(size);
    if (fresh && memory) {
        size_t held = ((struct block *)memory - 1)->size - sizeof(struct block);
        memcpy(fresh, memory, held < size ? held : size);
        free(memory);
    }
    return fresh;
}
