/* printf, puts and putchar: a conversion is read into a `spec`, written into a `sink`. */
#include <ctype.h>
#include <denali.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "decimal.h"

struct sink {
    char *to;     /* the next byte goes here */
    char *end;    /* no byte goes here */
    size_t total; /* bytes asked for, written or not */
    int console;  /* a full buffer is emptied to the console */
    char *start;
};

struct spec {
    int left, plus, space, zero, alternate, width, precision; /* precision -1: none given */
    int size;                                                 /* bytes of an integer argument */
};

/* The console takes what it has room for this turn; the rest waits for the next one. */
static void console(const char *bytes, size_t length) {
    while (length) {
        size_t taken = (size_t)denali_console(bytes, length);
        bytes += taken, length -= taken;
        if (length)
            denali_yield();
    }
}

static void put(struct sink *sink, char character) {
    sink->total++;
    if (sink->to == sink->end && sink->console) {
        console(sink->start, (size_t)(sink->to - sink->start));
        sink->to = sink->start;
    }
    if (sink->to < sink->end)
        *sink->to++ = character;
}

static void fill(struct sink *sink, char character, int count) {
    while (count-- > 0)
        put(sink, character);
}

static void put_all(struct sink *sink, const char *text, size_t length) {
    while (length--)
        put(sink, *text++);
}

/* prefix, zeros, body; padded to the width on the side the flags say */
static void put_padded(struct sink *sink, const struct spec *spec, const char *prefix, int zeros, const char *body,
                       size_t length) {
    int used = (int)(strlen(prefix) + length) + zeros;
    if (!spec->left)
        fill(sink, ' ', spec->width - used);
    put_all(sink, prefix, strlen(prefix));
    fill(sink, '0', zeros);
    put_all(sink, body, length);
    if (spec->left)
        fill(sink, ' ', spec->width - used);
}

static const char *sign(const struct spec *spec, int negative) {
    return negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
}

static void integer(struct sink *sink, const struct spec *spec, uint64_t value, const char *prefix, unsigned base,
                    int upper) {
    char text[64], *first = text + sizeof text;
    for (uint64_t rest = value; rest; rest /= base)
        *--first = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[rest % base];
    int length = (int)(text + sizeof text - first), least = spec->precision < 0 ? 1 : spec->precision;
    if (spec->alternate && base == 8 && least <= length)
        least = length + 1;
    if (spec->zero && !spec->left && spec->precision < 0)
        least = spec->width - (int)strlen(prefix) > least ? spec->width - (int)strlen(prefix) : least;
    put_padded(sink, spec, prefix, least > length ? least - length : 0, first, (size_t)length);
}

static void floating(struct sink *sink, const struct spec *spec, double value, char kind) {
    char text[DECIMAL_TEXT];
    const char *prefix = sign(spec, __builtin_signbit(value));
    int finite = __builtin_isfinite(value);
    int length = decimal_text(text, __builtin_fabs(value), kind, spec->precision < 0 ? 6 : spec->precision,
                              spec->alternate);
    int zeros = finite && spec->zero && !spec->left ? spec->width - length - (int)strlen(prefix) : 0;
    put_padded(sink, spec, prefix, zeros > 0 ? zeros : 0, text, (size_t)length);
}

static int64_t as_signed(uint64_t value, int size) {
    return size == 1 ? (signed char)value : size == 2 ? (short)value : size == 4 ? (int)value : (int64_t)value;
}

static uint64_t as_unsigned(uint64_t value, int size) {
    return size == 8 ? value : value & ((1ull << 8 * size) - 1);
}

static const char *read_flags(const char *format, struct spec *spec) {
    for (;; format++)
        switch (*format) {
        case '-': spec->left = 1; break;
        case '+': spec->plus = 1; break;
        case ' ': spec->space = 1; break;
        case '0': spec->zero = 1; break;
        case '#': spec->alternate = 1; break;
        default: return format;
        }
}

static const char *read_number(const char *format, int *number) {
    for (*number = 0; isdigit(*format); format++)
        *number = *number > INT_MAX / 10 - 1 ? *number : *number * 10 + *format - '0';
    return format;
}

static const char *read_size(const char *format, struct spec *spec) {
    spec->size = 4;
    for (;; format++)
        switch (*format) {
        case 'h': spec->size /= 2; break;
        case 'l': case 'j': case 'z': case 't': spec->size = 8; break;
        default: return format;
        }
}

static const char *read_spec(const char *format, struct spec *spec, va_list *arguments) {
    format = read_flags(format, spec);
    if (*format == '*') {
        spec->width = va_arg(*arguments, int), format++;
        if (spec->width < 0)
            spec->left = 1, spec->width = -spec->width;
    } else {
        format = read_number(format, &spec->width);
    }
    spec->precision = -1;
    if (*format == '.' && *++format == '*')
        spec->precision = va_arg(*arguments, int), format++;
    else if (format[-1] == '.')
        format = read_number(format, &spec->precision);
    return read_size(format, spec);
}

static void text(struct sink *sink, const struct spec *spec, const char *text) {
    text = text ? text : "(null)";
    put_padded(sink, spec, "", 0, text, strnlen(text, spec->precision < 0 ? INT_MAX : (size_t)spec->precision));
}

static void convert(struct sink *sink, struct spec *spec, char kind, va_list *arguments) {
    uint64_t value = 0;
    char character;
    if (strchr("diuxXobcp", kind))
        value = spec->size == 8 || kind == 'p' ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned);
    int64_t number = as_signed(value, spec->size);
    uint64_t whole = as_unsigned(value, spec->size);
    int marked = spec->alternate && whole;
    switch (kind) {
    case 'd': case 'i': integer(sink, spec, number < 0 ? -(uint64_t)number : (uint64_t)number, sign(spec, number < 0), 10, 0); break;
    case 'u': integer(sink, spec, whole, "", 10, 0); break;
    case 'x': integer(sink, spec, whole, marked ? "0x" : "", 16, 0); break;
    case 'X': integer(sink, spec, whole, marked ? "0X" : "", 16, 1); break;
    case 'o': integer(sink, spec, whole, "", 8, 0); break;
    case 'b': integer(sink, spec, whole, marked ? "0b" : "", 2, 0); break;
    case 'p': integer(sink, spec, value, "0x", 16, 0); break;
    case 'c': character = (char)value, put_padded(sink, spec, "", 0, &character, 1); break;
    case 's': text(sink, spec, va_arg(*arguments, const char *)); break;
    case 'f': case 'F': case 'e': case 'E': case 'g': case 'G':
        floating(sink, spec, va_arg(*arguments, double), kind);
        break;
    case '%': put(sink, '%'); break;
    default: denali_fail("printf: unknown conversion", 26);
    }
}

static void format_all(struct sink *sink, const char *format, va_list *arguments) {
    while (*format) {
        if (*format != '%') {
            put(sink, *format++);
            continue;
        }
        struct spec spec = {0};
        format = read_spec(format + 1, &spec, arguments);
        convert(sink, &spec, *format, arguments);
        format++;
    }
}

int vsnprintf(char *restrict to, size_t size, const char *restrict format, va_list arguments) {
    struct sink sink = {.to = to, .end = to + (size ? size - 1 : 0), .start = to};
    va_list copy;
    va_copy(copy, arguments);
    format_all(&sink, format, &copy);
    va_end(copy);
    if (size)
        *sink.to = 0;
    return (int)sink.total;
}

int vprintf(const char *restrict format, va_list arguments) {
    char buffer[256];
    struct sink sink = {.to = buffer, .end = buffer + sizeof buffer, .console = 1, .start = buffer};
    va_list copy;
    va_copy(copy, arguments);
    format_all(&sink, format, &copy);
    va_end(copy);
    console(buffer, (size_t)(sink.to - buffer));
    return (int)sink.total;
}

int printf(const char *restrict format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int total = vprintf(format, arguments);
    va_end(arguments);
    return total;
}

int snprintf(char *restrict to, size_t size, const char *restrict format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int total = vsnprintf(to, size, format, arguments);
    va_end(arguments);
    return total;
}

int sprintf(char *restrict to, const char *restrict format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int total = vsnprintf(to, (size_t)INT_MAX, format, arguments);
    va_end(arguments);
    return total;
}

int puts(const char *text) { return printf("%s\n", text); }

int putchar(int character) {
    char byte = (char)character;
    console(&byte, 1);
    return (unsigned char)byte;
}
