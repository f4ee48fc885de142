/* The mathematics that the processor does itself; there is no sine here. */
#ifndef DENALI_MATH_H
#define DENALI_MATH_H

#define INFINITY __builtin_inf()
#define NAN __builtin_nan("")
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

static inline double sqrt(double x) {
    double root;
    __asm__("fsqrt.d %0, %1" : "=f"(root) : "f"(x));
    return root;
}

static inline float sqrtf(float x) {
    float root;
    __asm__("fsqrt.s %0, %1" : "=f"(root) : "f"(x));
    return root;
}

static inline double fabs(double x) { return __builtin_fabs(x); }
static inline float fabsf(float x) { return __builtin_fabsf(x); }
static inline double copysign(double x, double sign) { return __builtin_copysign(x, sign); }
static inline double fmin(double a, double b) { return a < b || b != b ? a : b; }
static inline double fmax(double a, double b) { return a > b || b != b ? a : b; }

/* Numbers of 2^52 and beyond, infinities and NaN have no fraction to cut off. */
static inline double trunc(double x) { return fabs(x) < 0x1p52 ? copysign((double)(long)x, x) : x; }
static inline double floor(double x) { return trunc(x) > x ? trunc(x) - 1 : trunc(x); }
static inline double ceil(double x) { return trunc(x) < x ? copysign(trunc(x) + 1, x) : trunc(x); }
static inline double round(double x) {
    double whole = trunc(x);
    return fabs(x - whole) >= 0.5 ? whole + copysign(1, x) : whole;
}

#endif
