/* Formatted output to the console and to memory. There are no files here and no input. */
#ifndef DENALI_STDIO_H
#define DENALI_STDIO_H

#include <stdarg.h>
#include <stddef.h>

#define EOF (-1)

/* Conversions: d i u x X o b c s p f F e E g G %, flags - + space 0 #, width and precision as numbers or *, lengths hh
 * h l ll j z t. Doubles are converted exactly. */
int printf(const char *restrict format, ...) __attribute__((format(printf, 1, 2)));
int snprintf(char *restrict to, size_t size, const char *restrict format, ...) __attribute__((format(printf, 3, 4)));
int sprintf(char *restrict to, const char *restrict format, ...) __attribute__((format(printf, 2, 3)));
int vprintf(const char *restrict format, va_list arguments);
int vsnprintf(char *restrict to, size_t size, const char *restrict format, va_list arguments);
int puts(const char *text);
int putchar(int character);

#endif
