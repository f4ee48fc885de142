/* Recursion: the cost of a call and a return. */
#include "kernel.h"

__attribute__((noinline)) static i64 fib(i64 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

i64 kernel(i64 n) { return fib(n); }
