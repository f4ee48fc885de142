/* Memory to have and ways to stop: what of C's <stdlib.h> makes sense in a guest. */
#ifndef DENALI_STDLIB_H
#define DENALI_STDLIB_H

#include <stddef.h>

#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1
#define RAND_MAX 0x7fffffff

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void free(void *block);

_Noreturn void exit(int status);
_Noreturn void abort(void);

int abs(int value);
long labs(long value);
int atoi(const char *text);
long atol(const char *text);
long strtol(const char *restrict text, char **restrict end, int base);
unsigned long strtoul(const char *restrict text, char **restrict end, int base);

int rand(void);
void srand(unsigned seed);
void qsort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *));

#endif
