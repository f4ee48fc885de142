"""Guests in assembly that several tests run."""

from __future__ import annotations

from denali.tlb.frames import FRAME

EXIT = """
_start: li a0, {status}
        v.exit zero, a0, zero
"""
SLEEPER = """
_start: li a0, -1
        v.idle zero, a0, zero
        j _start
"""
SPIN = "_start: j _start"
TRAPS = {
    "load access fault at 0x0": "_start: ld a0, 0(zero)",
    "store access fault at 0x10000": "_start: lui a0, 16\n sd a0, 0(a0)",
    "jump to 0x123456": "_start: li a0, 0x123456\n jr a0",
    "illegal instruction": "_start: .word 0xffffffff",
    "breakpoint": "_start: ebreak",
    "ecall without a handler": "_start: ecall",
    "misaligned atomic": "_start: addi a0, sp, -15\n lr.w a1, (a0)",
    "refused the argument 0x7 (console: the text has to lie": "_start: li a0, 7\n li a1, 8\n v.console a0, a0, a1",
}
# Sends one frame to the guest whose number is in `peer`, from its own address; exits with the answer.
SENDER = """
        .data
peer:   .dword 0
times:  .dword 1
answers:.dword 0, 0, 0
frame:  .zero 64
        .text
_start: la s0, frame
        li a0, 2
        sb a0, 0(s0)
        sb a0, 6(s0)
        li a0, 10
        sb a0, 2(s0)
        sb a0, 8(s0)
        li a0, 1
        sb a0, 3(s0)
        sb a0, 9(s0)
        la a1, peer
        ld a1, 0(a1)
        srli a2, a1, 8
        sb a2, 4(s0)
        sb a1, 5(s0)
        lw a1, 8(tp)
        srli a2, a1, 8
        sb a2, 10(s0)
        sb a1, 11(s0)
        la s1, times
        ld s1, 0(s1)
        la s2, answers
again:  li a1, 64
        v.send a2, s0, a1
        slli a3, a2, 3
        add a3, a3, s2
        ld a4, 0(a3)
        addi a4, a4, 1
        sd a4, 0(a3)
        addi s1, s1, -1
        bnez s1, again
        v.exit zero, a2, zero
"""
# Counts the frames it receives in `count`; exits when it has `enough`.
RECEIVER = """
        .data
count:  .dword 0
enough: .dword 1
buffer: .zero 1514
        .text
_start: sw zero, 48(tp)
more:   la a0, buffer
        li a1, 1514
        v.receive a2, a0, a1
        beqz a2, empty
        la a3, count
        ld a4, 0(a3)
        addi a4, a4, 1
        sd a4, 0(a3)
        la a5, enough
        ld a5, 0(a5)
        bltu a4, a5, more
        v.exit zero, a2, zero
empty:  li a0, -1
        v.idle zero, a0, zero
        j _start
"""
# A gateway that answers every stream with its first bytes, as soon as it reads any, and closes it in an orderly way.
ECHO = """
        .data
target: .zero 8
count:  .dword 0
handles:.zero 8192
buffer: .zero 4096
        .text
_start: sw zero, 48(tp)
accept: la a0, target
        v.accept s0, a0, zero
        bltz s0, serve
        la a0, count
        ld a1, 0(a0)
        slli a2, a1, 3
        addi a1, a1, 1
        sd a1, 0(a0)
        la a3, handles
        add a3, a3, a2
        sd s0, 0(a3)
        j accept
serve:  li s1, 0
next:   la a0, count
        ld a0, 0(a0)
        bgeu s1, a0, sleep
        la a1, handles
        slli a2, s1, 3
        add s2, a1, a2
        ld s3, 0(s2)
        li a5, 4096
        slli a4, s3, 32
        or a4, a4, a5
        la a0, buffer
        v.read a1, a0, a4
        li a2, -1
        beq a1, a2, skip
        bltz a1, reset
        beqz a1, done
        slli a4, s3, 32
        or a4, a4, a1
        v.write a1, a0, a4
        bltz a1, reset
done:   v.close zero, s3, zero
        j remove
reset:  li a1, 1
        v.close zero, s3, a1
remove: la a0, count
        ld a1, 0(a0)
        addi a1, a1, -1
        sd a1, 0(a0)
        la a3, handles
        slli a1, a1, 3
        add a3, a3, a1
        ld a1, 0(a3)
        sd a1, 0(s2)
        j next
skip:   addi s1, s1, 1
        j next
sleep:  li a0, -1
        v.idle zero, a0, zero
        j _start
"""

# For ever: idles as long as s2 says, and at each frame that it receives adds one to the word at s0, which t0 has then.
COUNT_FRAMES = """
again: v.idle zero, s2, zero
sw zero, 48(tp)
la a0, buffer
li a1, 64
more: v.receive a2, a0, a1
beqz a2, again
ld t0, 0(s0)
addi t0, t0, 1
sd t0, 0(s0)
"""
PAGES = 64
SIZE = 72 + (PAGES - 1) * FRAME + 8  # of the data that is written
# Writes a table at boot, marks; from then on each frame it receives adds one to a count and to one word of the table.
TABLE = f"""
.data
count: .dword 0
buffer: .zero 64
table: .zero {PAGES * FRAME}
.text
_start: la s0, count
la s1, table
li s2, {PAGES}
li t1, 4096
fill: sd s2, 0(s1)
add s1, s1, t1
addi s2, s2, -1
bnez s2, fill
v.mark zero, zero, zero
la s1, table
li s2, -1
{COUNT_FRAMES}
slli t1, t0, 14
add t1, t1, s1
ld t2, 0(t1)
addi t2, t2, 1
sd t2, 0(t1)
j more
"""
