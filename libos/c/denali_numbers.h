/* Written by `python -m denali.libos.numbers` from isa/virtual.py, where each number is explained. */
#ifndef DENALI_NUMBERS_H
#define DENALI_NUMBERS_H

#include <stdint.h>

#define DENALI_CUSTOM_0 11
#define DENALI_EXIT 0
#define DENALI_IDLE 1
#define DENALI_YIELD 2
#define DENALI_SEND 3
#define DENALI_RECEIVE 4
#define DENALI_CONSOLE 5
#define DENALI_CLOCK 6
#define DENALI_FAIL 7
#define DENALI_RETURN 8
#define DENALI_ACCEPT 9
#define DENALI_READ 10
#define DENALI_WRITE 11
#define DENALI_CLOSE 12
#define DENALI_PEEK 13
#define DENALI_GATHER 14
#define DENALI_MARK 15
#define DENALI_MMU 16
#define DENALI_BIND 17
#define DENALI_BINDS 18
#define DENALI_PROBE 19
#define DENALI_DROP 20
#define DENALI_ALLOCATE 21
#define DENALI_RELEASE 22
#define DENALI_SHARE 23
#define DENALI_ATTACH 24

#define DENALI_QUEUED 0
#define DENALI_NOBODY 1
#define DENALI_FULL 2

#define DENALI_EVENT_FRAME 1
#define DENALI_EVENT_TIMER 2
#define DENALI_EVENT_STREAM 4
#define DENALI_EVENT_QUANTUM 8
#define DENALI_EVENT_REVOKE 16
#define DENALI_EVENT_REPOSSESSED 32

#define DENALI_CLOSE_ORDERLY 0
#define DENALI_CLOSE_RESET 1
#define DENALI_CLOSE_HALF 2

struct denali_registers {
    uint64_t clock;
    uint32_t number;
    uint32_t address;
    uint64_t memory;
    uint64_t start;
    uint64_t random[2];
    uint32_t pending;
    uint32_t mask;
    uint64_t handler;
    uint64_t saved_pc;
    uint64_t cause;
    uint64_t value;
    uint64_t revoked;
    uint64_t revoke_by;
    uint64_t repossession;
    uint64_t reserved[2];
};
_Static_assert(sizeof(struct denali_registers) == 128, "as the kernel lays it out");

struct denali_stream_open {
    uint32_t address;
    uint32_t port;
};
_Static_assert(sizeof(struct denali_stream_open) == 8, "as the kernel lays it out");

#endif
