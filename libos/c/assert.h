/* assert: a failed one stops the guest with the condition and its place as the message. */
#include <denali.h>

#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define DENALI_TEXT_(x) #x
#define DENALI_TEXT(x) DENALI_TEXT_(x)
#define assert(condition)                                                                                              \
    ((condition) ? (void)0                                                                                             \
                 : denali_fail(__FILE__ ":" DENALI_TEXT(__LINE__) ": assertion failed: " #condition,                   \
                               sizeof(__FILE__ ":" DENALI_TEXT(__LINE__) ": assertion failed: " #condition) - 1))
#endif

#ifndef DENALI_ASSERT_H
#define DENALI_ASSERT_H
#define static_assert _Static_assert
#endif
