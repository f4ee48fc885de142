"""Corners of translated code, each a small guest: deep recursion, switches, strange returns, code in private memory."""

from __future__ import annotations

import pytest
from twins import SIZE, Twins

from denali.isa.context import CONTEXT, Status
from denali.isa.definitions.record import Cause
from denali.isa.image import Image
from denali.isa.runtime.compile import compile_object
from denali.isa.runtime.engine import Engine
from denali.isa.runtime.loader import Unloadable, load
from denali.isa.tools.assembler import assemble
from denali.isa.translator.emit import field_offset
from denali.isa.translator.frame import STACK_SHORT
from denali.isa.translator.registers import RESULT
from denali.isa.translator.translate import Translation
from denali.isa.translator.units import Program

LOOP = """
        .text
_start: li a0, 0
        li a1, 1000
again:  addi a0, a0, 3
        addi a1, a1, -1
        bnez a1, again
        ebreak
"""
SWITCH = """
        .text
_start: li s0, 0
again:  andi a0, s0, 3
        slli a0, a0, 2
        la a1, table
        add a0, a0, a1
        lw a0, 0(a0)
        add a0, a0, a1
        jr a0
zero:   addi s1, s1, 1
        j next
one:    addi s1, s1, 10
        j next
two:    addi s1, s1, 100
        j next
three:  addi s1, s1, 1000
next:   addi s0, s0, 1
        j again
        .rodata
table:  .word zero - table, one - table, two - table, three - table
"""
RECURSION = """
        .text
_start: li a0, 20000
        call down
        ebreak
down:   addi a0, a0, -1
        beqz a0, up
        call down
        addi a1, a1, 1
up:     ret
"""
WRITTEN = """
        .data
code:   .zero 16
        .text
_start: li s0, 5
        la a1, code
again:  li a2, 0x00150513
        sw a2, 0(a1)
        li a2, 0x00008067
        sw a2, 4(a1)
        fence.i
        jalr ra, 0(a1)
        addi s0, s0, -1
        bnez s0, again
        ebreak
"""
ODD_RETURN = """
        .text
_start: call f
        ebreak
f:      addi ra, ra, 1
        ret
"""
ELSEWHERE = """
        .text
_start: call f
        j _start
f:      addi sp, sp, -16
        sd ra, 8(sp)
        call g
        ld ra, 8(sp)
        addi sp, sp, 16
        ret
g:      addi t0, t0, 1
        andi t1, t0, 1
        bnez t1, normal
        ld ra, 8(sp)
        addi sp, sp, 16
normal: ret
"""
FIBONACCI = """
        .text
_start: li a0, 9
        call fib
        ebreak
fib:    li a1, 2
        blt a0, a1, done
        addi sp, sp, -32
        sd ra, 24(sp)
        sd s0, 16(sp)
        sd s1, 8(sp)
        mv s0, a0
        addi a0, a0, -1
        call fib
        mv s1, a0
        addi a0, s0, -2
        call fib
        add a0, a0, s1
        ld ra, 24(sp)
        ld s0, 16(sp)
        ld s1, 8(sp)
        addi sp, sp, 32
done:   ret
"""
FAR = "        addi t2, t2, 1\n" * 30  # more than stands in a caller
MOVED = f"""
        .text
_start: addi sp, sp, -64
again:  sd a0, 8(sp)
        mv s1, sp
        call f
        sd a0, 16(sp)
        ld a1, 8(s1)
        add a2, a2, a1
        call inside
        addi a0, a0, 1
        j again
f:      andi t1, a0, 7
        bnez t1, even
        addi sp, sp, -16
even:   andi t1, a0, 15
{FAR}   bnez t1, out
        addi s1, s1, 8
out:    ret
inside: andi t1, a0, 3
        bnez t1, normal
        addi ra, ra, 4
normal: ret
"""
STRANGE_NANS = """
        .text
_start: li t0, 0x7ff8000000001234
        li s0, 6
outer:  fmv.d.x fa0, t0
        li s1, 5
inner:  fadd.d fa0, fa0, fa1
        fmul.d fa2, fa0, fa0
        addi s1, s1, -1
        bnez s1, inner
        fmv.x.d a0, fa2
        fmv.x.d a1, fa0
        xor t0, t0, a0
        addi s0, s0, -1
        bnez s0, outer
        ebreak
"""
# A loop stands at the callee's beginning, and the call has changed the register that it computes its target from.
STRANGE_NANS_PASSED = """
        .text
_start: li t0, 0x7ff8000000001234
        li s0, 6
outer:  fmv.d.x fa0, t0
        li s1, 5
        la ra, inner
        jalr ra, 0(ra)
        fmv.x.d a0, fa0
        addi s0, s0, -1
        bnez s0, outer
        ebreak
inner:  fadd.d fa0, fa0, fa1
        addi s1, s1, -1
        bnez s1, inner
        ret
"""
CONSTANT_BYTES = """
        .text
_start: la s0, bytes
        li s1, 40
        la s2, room
again:  lbu a0, 0(s0)
        lbu a1, 3(s0)
        beq a0, a1, same
        lw a2, 4(s0)
        sw a2, 0(s2)
        lw a3, 0(s2)
        add a4, a4, a3
same:   addi s0, s0, 1
        addi s1, s1, -1
        bnez s1, again
        lui a6, 1
        add a6, a6, s0
        ld a5, 0(a6)
        ebreak
        .rodata
bytes:  .byte 1, 2, 3, 1, 5, 6, 7, 5, 9, 10, 11, 12
        .zero 64
        .data
room:   .zero 16
"""
ROTATIONS = """
        .text
_start: li a0, 0x789abcde
        li s0, 40
again:  slliw a1, a0, 7
        srliw a2, a0, 25
        or a3, a1, a2
        xor a4, a2, a1
        add a5, a1, a2
        srliw a2, a0, 24
        or a6, a1, a2
        slli a1, a0, 7
        or a7, a1, a2
        addw a0, a3, a6
        addi s0, s0, -1
        bnez s0, again
        ebreak
"""
ACROSS = """
        .text
_start: la a0, words  # read-only memory ends with the page that this lies in
        srli a0, a0, 12
        addi a0, a0, 1
        slli a0, a0, 12
        ld a1, -8(a0)
        ld a1, -4(a0)
        ebreak
        .rodata
words:  .zero 64
"""


SOURCES = [
    *(LOOP, SWITCH, WRITTEN, ODD_RETURN, ELSEWHERE, ACROSS, ROTATIONS),
    *(FIBONACCI, MOVED, STRANGE_NANS, STRANGE_NANS_PASSED, CONSTANT_BYTES),
]


def twins_of(engine: Engine, image: Image) -> Twins:
    """A guest on both engines, translated."""
    twins = Twins(engine, image)
    translation = Translation(image, SIZE)
    text, _ = translation.module(translation.entries())
    assert twins.space.flat.install(compile_object(text))
    return twins


@pytest.mark.parametrize("step", [1, 2, 5, 17, 1000])
@pytest.mark.parametrize("source", SOURCES)
def test_a_guest_stopped_anywhere_goes_on_as_if_it_had_not_been(engine: Engine, source: str, step: int) -> None:
    twins = twins_of(engine, assemble(source).image())
    for _ in range(min(400, 4000 // step)):
        if twins.run(step) is Status.TRAP:
            break
    twins.space.close()


def test_a_recursive_function_stands_in_itself() -> None:
    image = assemble(FIBONACCI).image()
    translation = Translation(image, SIZE)
    fib = next(entry for entry in translation.functions if entry != image.entry)
    text, _ = translation.module([fib])
    bodies = text.count(" blt\n")
    calls = text.count(f"= call x86_regcallcc {RESULT} @pc_{fib:x}(")
    assert bodies > 4
    assert calls == bodies + 1, "of two calls in each body one for each other body is inside"


def test_the_fuel_behind_a_call_is_exact_wherever_it_ends(engine: Engine) -> None:
    """What is behind a call is paid before it: at every stop the counts are those of the reference interpreter."""
    twins = twins_of(engine, assemble(FIBONACCI).image())
    for step in range(1, 200):
        if twins.run(step) is Status.TRAP:
            break
    twins.space.close()


def test_endless_recursion_needs_no_more_native_stack_than_it_has(engine: Engine) -> None:
    twins = twins_of(engine, assemble(RECURSION).image())
    twins.run(50_000)
    twins.run(10_000)
    twins.space.close()


def test_the_places_a_switch_goes_to_are_found() -> None:
    image = assemble(SWITCH).image()
    (function,) = Program(image).functions.values()
    assert len(function.switch) == 4


def test_a_group_whose_end_is_outside_traps_at_the_access_that_is(engine: Engine) -> None:
    twins = twins_of(engine, assemble(ACROSS).image())
    assert twins.run(100) is Status.TRAP
    assert twins.reference.cause is Cause.LOAD
    twins.space.close()


def test_translating_twice_gives_the_same_text() -> None:
    image = assemble(SWITCH).image()
    assert Translation(image, SIZE).module([image.entry]) == Translation(image, SIZE).module([image.entry])


def test_a_unit_that_finds_even_an_empty_native_stack_short_is_interpreted(engine: Engine) -> None:
    slots = ", ".join(["i64"] * 11)
    back = f"{{ {slots} }} {{ i64 {STACK_SHORT}, {', '.join(['i64 poison'] * 10)} }}"
    slots_in = f"i64, ptr %ctx, {', '.join(['i64'] * 9)}"
    flag = f"%flag = getelementptr i8, ptr %ctx, i64 {field_offset(CONTEXT, 'unwound')}\n  store i64 1, ptr %flag"
    text = f"define x86_regcallcc {{ {slots} }} @pc_10000({slots_in}) {{\n  {flag}\n  ret {back}\n}}\n"
    twins = Twins(engine, assemble(LOOP).image())
    assert twins.space.flat.install(compile_object(f'target triple = "x86_64-unknown-linux-gnu"\n{text}'))
    assert twins.run(10_000) is Status.TRAP
    twins.space.close()


def test_a_unit_with_a_large_frame_is_not_loaded() -> None:
    text = "define void @large() {\n  %frame = alloca [70000 x i8]\n  call void @use(ptr %frame)\n  ret void\n}\n"
    code = compile_object(f'target triple = "x86_64-unknown-linux-gnu"\n{text}declare void @use(ptr)\n')
    with pytest.raises(Unloadable, match="native stack"):
        load(code, {"use": 4096})


def test_a_unit_in_the_middle_of_a_loop_goes_on_in_the_unit_of_its_header() -> None:
    """So a guest that was stopped anywhere in a loop is back in code as good as before after one turn."""
    image = assemble(".text\n_start: nop\nagain: addi a0, a0, 1\n nop\n bne a0, a1, again\n ebreak\n").image()
    header = image.entry + 4
    translation = Translation(image, SIZE)
    text, _ = translation.module([header, header + 4])
    middle = text[text.index(f"@pc_{header + 4:x}(") :].split("\n}")[0]
    assert f"musttail call x86_regcallcc {RESULT} @pc_{header:x}(" in middle
    assert f"label %pc_{header:x}" not in middle


def test_a_unit_of_a_loop_goes_on_in_the_unit_of_the_one_behind_it() -> None:
    loops = "first: addi a0, a0, 1\n bne a0, a1, first\nsecond: addi a2, a2, 1\n bne a2, a3, second"
    program = assemble(f".text\n_start: nop\n{loops}\n ebreak\n")
    first, second = (program.symbols[name] for name in ("first", "second"))
    text, _ = Translation(program.image(), SIZE).module([first, second])
    unit = text[text.index(f"@pc_{first:x}(") :].split("\n}")[0]
    assert f"musttail call x86_regcallcc {RESULT} @pc_{second:x}(" in unit
    assert f"label %pc_{second:x}" not in unit


def test_a_part_of_a_recursive_function_holds_no_copies_of_it() -> None:
    image = assemble(FIBONACCI).image()
    translation = Translation(image, SIZE)
    fib = next(entry for entry in translation.functions if entry != image.entry)
    call = next(block for block in translation.functions[fib].blocks.values() if block.kind == "call")
    text, _ = translation.module([call.after])
    assert " blt\n" not in text


def test_whether_something_is_zero_is_said_as_branches_say_it() -> None:
    """LLVM then knows behind a branch what a block has computed of it, and can choose instead of branching."""
    image = assemble(".text\n_start: snez a1, a0\n seqz a2, a0\n bnez a0, _start\n ebreak\n").image()
    text, _ = Translation(image, SIZE).module([image.entry])
    assert "icmp ult i64 0," not in text
    assert "icmp eq i64" in text
    assert text.count("icmp ne i64") == 2
