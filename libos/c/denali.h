/* The virtual machine seen from C: one inline function for each virtual instruction, and the registers page.
 *
 * Nothing here is more than one instruction: a service is asked by an R-type instruction in custom-0 whose funct7 is
 * its number; the registers page lies at the address in tp. Numbers and layout come from denali_numbers.h, which is
 * derived from the machine's own definition (isa/virtual.py). A refused argument traps.
 */
#ifndef DENALI_H
#define DENALI_H

#include "denali_numbers.h"

#include <stddef.h>
#include <stdint.h>

#define DENALI_FOREVER UINT64_MAX /* denali_idle: sleep until an event, however long it takes */

#define DENALI_SERVICE(number, first, second)                                                                          \
    ({                                                                                                                 \
        int64_t result_;                                                                                               \
        __asm__ volatile(".insn r %1, 0, %2, %0, %3, %4"                                                               \
                         : "=r"(result_)                                                                               \
                         : "i"(DENALI_CUSTOM_0), "i"(number), "r"((uint64_t)(first)), "r"((uint64_t)(second))          \
                         : "memory");                                                                                  \
        result_;                                                                                                       \
    })

/* The registers page: read without a trap; pending, mask, handler and saved_pc are the guest's to write. */
static inline volatile struct denali_registers *denali_registers(void) {
    return (volatile struct denali_registers *)__builtin_thread_pointer();
}

/* End this guest. */
static inline _Noreturn void denali_exit(int64_t status) {
    for (;;)
        DENALI_SERVICE(DENALI_EXIT, status, 0);
}

/* Sleep until the clock reaches until_ns or an event of the mask is pending. */
static inline void denali_idle(uint64_t until_ns) { DENALI_SERVICE(DENALI_IDLE, until_ns, 0); }

/* End this turn; stay ready. */
static inline void denali_yield(void) { DENALI_SERVICE(DENALI_YIELD, 0, 0); }

/* Send an Ethernet frame of 14 to 1514 bytes; returns DENALI_QUEUED, DENALI_NOBODY or DENALI_FULL. */
static inline int64_t denali_send(const void *frame, size_t length) { return DENALI_SERVICE(DENALI_SEND, frame, length); }

/* Copy the next waiting frame to buffer; returns its length, 0 when none waits. */
static inline int64_t denali_receive(void *buffer, size_t size) { return DENALI_SERVICE(DENALI_RECEIVE, buffer, size); }

/* Send a frame in two parts, the first with all its headers (34 bytes at least); returns a DENALI_SENT number. */
static inline int64_t denali_gather(const void *head, size_t length, const void *rest, size_t more) {
    return DENALI_SERVICE(DENALI_GATHER, (uint64_t)length << 32 | (uint64_t)head, (uint64_t)more << 32 | (uint64_t)rest);
}

/* Copy what fits of the frame that waits first, from byte start on; returns its length from there, 0 when none waits. */
static inline int64_t denali_peek(void *buffer, uint32_t start, uint32_t size) {
    return DENALI_SERVICE(DENALI_PEEK, buffer, (uint64_t)start << 32 | size);
}

/* Say that this guest is set up; 1 in a guest that starts here from a warmed image, else 0. */
static inline int64_t denali_mark(void) { return DENALI_SERVICE(DENALI_MARK, 0, 0); }

/* Write to the console; returns how many bytes it took this turn. */
static inline int64_t denali_console(const void *bytes, size_t length) {
    return DENALI_SERVICE(DENALI_CONSOLE, bytes, length);
}

/* The clock, ns. */
static inline uint64_t denali_clock(void) { return (uint64_t)DENALI_SERVICE(DENALI_CLOCK, 0, 0); }

/* Stop this guest as failed, with a message. */
static inline _Noreturn void denali_fail(const char *message, size_t length) {
    for (;;)
        DENALI_SERVICE(DENALI_FAIL, message, length);
}

/* Leave the event handler: go on at saved_pc. Only the pc changes; the handler restores the registers it used. */
static inline _Noreturn void denali_return(void) {
    DENALI_SERVICE(DENALI_RETURN, 0, 0);
    __builtin_unreachable();
}

/* For the gateway guest only: the streams that clients on the host opened. */
static inline int64_t denali_accept(void *open) { return DENALI_SERVICE(DENALI_ACCEPT, open, 0); }

static inline int64_t denali_read(uint32_t handle, void *buffer, uint32_t size) {
    return DENALI_SERVICE(DENALI_READ, buffer, (uint64_t)handle << 32 | size);
}

static inline int64_t denali_write(uint32_t handle, const void *bytes, uint32_t size) {
    return DENALI_SERVICE(DENALI_WRITE, bytes, (uint64_t)handle << 32 | size);
}

static inline void denali_close(uint32_t handle, int how) { DENALI_SERVICE(DENALI_CLOSE, handle, how); }

#endif
