/* Doubles in decimal, exactly. */
#ifndef DENALI_DECIMAL_H
#define DENALI_DECIMAL_H

#define DECIMAL_TEXT 1500 /* sign excluded; a precision beyond 1100 is cut to that: no double has more digits */

/* Write |value| by conversion f, e or g (upper case too), rounded half to even; returns the length, no final zero. */
int decimal_text(char *to, double value, char kind, int precision, int keep_point);

#endif
