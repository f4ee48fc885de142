/* Every double is an integer times a power of two, so it has finitely many decimal digits. All of them are computed,
 * nine to a limb, and then rounded where the conversion says: no case is special, none is off by one in the last place.
 */
#include "decimal.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define LIMB 1000000000u
#define BEFORE 35 /* limbs before the decimal point: 2^1024 has 309 digits */
#define AFTER 120 /* limbs behind it: 2^-1074 has 1074 */

struct decimal {
    char digits[9 * (BEFORE + AFTER) + 1]; /* one leading zero, room for a carry */
    int point;                             /* index of the first digit behind the decimal point */
    int count;
};

#define STEP 29   /* bits shifted at once: a remainder times LIMB fits 64 bits */

static void shift_up(uint32_t *limbs, int bits) {
    uint64_t carry = 0;
    for (int i = BEFORE; i-- > 0; carry /= LIMB) {
        carry += (uint64_t)limbs[i] << bits;
        limbs[i] = (uint32_t)(carry % LIMB);
    }
}

/* Down by so few bits at a time that each step adds at most four limbs behind the last one. */
static void shift_down(uint32_t *limbs, int bits, int used) {
    uint64_t rest = 0;
    for (int i = 0; i < used; i++) {
        uint64_t whole = rest * LIMB + limbs[i];
        limbs[i] = (uint32_t)(whole >> bits);
        rest = whole & ((1u << bits) - 1);
    }
}

/* Returns how many limbs are used; those behind are not written. */
static int to_limbs(uint32_t *limbs, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff);
    uint64_t mantissa = (bits & ((1ull << 52) - 1)) | (uint64_t)(exponent != 0) << 52;
    exponent = (exponent ? exponent : 1) - 1075;
    memset(limbs, 0, BEFORE * sizeof *limbs);
    for (int i = BEFORE; mantissa; mantissa /= LIMB)
        limbs[--i] = (uint32_t)(mantissa % LIMB);
    for (; exponent >= STEP; exponent -= STEP)
        shift_up(limbs, STEP);
    if (exponent > 0)
        shift_up(limbs, exponent);
    int used = BEFORE;
    for (; exponent < 0; exponent += STEP) {
        for (int grown = used + 4; used < grown && used < BEFORE + AFTER; used++)
            limbs[used] = 0;
        shift_down(limbs, -exponent < STEP ? -exponent : STEP, used);
    }
    return used;
}

static void to_digits(struct decimal *number, double value) {
    uint32_t limbs[BEFORE + AFTER];
    int used = to_limbs(limbs, value);
    number->count = 9 * used + 1;
    number->point = 9 * BEFORE + 1;
    number->digits[0] = 0;
    for (int i = 0; i < used; i++) {
        uint32_t limb = limbs[i];
        for (int place = 9; place > 0; place--, limb /= 10)
            number->digits[9 * i + place] = (char)(limb % 10);
    }
}

/* Cut the digits at index `at`, rounding half to even. */
static void round_at(struct decimal *number, int at) {
    if (at >= number->count)
        return;
    at = at < 0 ? 0 : at;
    char *digits = number->digits;
    int rest = 0;
    for (int i = at + 1; i < number->count; i++)
        rest |= digits[i];
    int odd = at > 0 && digits[at - 1] & 1;
    int up = at > 0 && (digits[at] > 5 || (digits[at] == 5 && (rest || odd)));
    memset(digits + at, 0, (size_t)(number->count - at));
    for (int i = at - 1; up; i--) {
        up = digits[i] == 9;
        digits[i] = up ? 0 : (char)(digits[i] + 1);
    }
}

static int first_digit(const struct decimal *number) {
    for (int i = 0; i < number->count; i++)
        if (number->digits[i])
            return i;
    return number->point - 1; /* zero is 0e0 */
}

/* `count` digits from index `from`; zeros behind the last. */
static char *copy_digits(char *to, const struct decimal *number, int from, int count) {
    for (; count > 0; count--, from++)
        *to++ = (char)('0' + (from < number->count ? number->digits[from] : 0));
    return to;
}

static char *fixed(char *to, const struct decimal *number, int precision, int keep_point) {
    int first = first_digit(number) < number->point - 1 ? first_digit(number) : number->point - 1;
    to = copy_digits(to, number, first, number->point - first);
    if (precision || keep_point)
        *to++ = '.';
    return copy_digits(to, number, number->point, precision);
}

static char *scientific(char *to, const struct decimal *number, int precision, int keep_point, char letter) {
    int first = first_digit(number), power = number->point - 1 - first;
    to = copy_digits(to, number, first, 1);
    if (precision || keep_point)
        *to++ = '.';
    to = copy_digits(to, number, first + 1, precision);
    *to++ = letter;
    *to++ = power < 0 ? '-' : '+';
    power = power < 0 ? -power : power;
    if (power >= 100)
        *to++ = (char)('0' + power / 100);
    *to++ = (char)('0' + power / 10 % 10);
    *to++ = (char)('0' + power % 10);
    return to;
}

/* %g: the shorter of the two, without the zeros at the end of its fraction. */
static char *general(char *to, struct decimal *number, int precision, int keep_point, char letter) {
    precision = precision ? precision : 1;
    round_at(number, first_digit(number) + precision);
    int power = number->point - 1 - first_digit(number);
    int last = first_digit(number) + precision - 1;
    if (!keep_point)
        while (last > first_digit(number) && (last >= number->count || !number->digits[last]))
            last--;
    if (power < -4 || power >= precision)
        return scientific(to, number, last - first_digit(number), keep_point, letter);
    return fixed(to, number, last >= number->point ? last - number->point + 1 : 0, keep_point);
}

int decimal_text(char *to, double value, char kind, int precision, int keep_point) {
    struct decimal number;
    int upper = isupper(kind);
    precision = precision > 1100 ? 1100 : precision;
    if (!__builtin_isfinite(value)) {
        memcpy(to, __builtin_isnan(value) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf"), 3);
        return 3;
    }
    to_digits(&number, value);
    if (tolower(kind) == 'g')
        return (int)(general(to, &number, precision, keep_point, upper ? 'E' : 'e') - to);
    if (tolower(kind) == 'f') {
        round_at(&number, number.point + precision);
        return (int)(fixed(to, &number, precision, keep_point) - to);
    }
    round_at(&number, first_digit(&number) + 1 + precision);
    return (int)(scientific(to, &number, precision, keep_point, upper ? 'E' : 'e') - to);
}
