# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Runs a few of the host's instructions from given registers, to see what the processor makes of them."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm

REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{n}" for n in range(8, 16)))  # all but rsp
WORD = 8
FLAGS = len(REGISTERS) * WORD  # where the flags are kept, behind the registers
VECTORS = FLAGS + WORD
LARGEST = 64  # bytes of a vector register
CODE = 4096


@cache
def vectors() -> tuple[str, int, int]:
    """How the host calls its widest vector registers, how many there are, and their lanes of 64 bits."""
    return ("zmm", 32, 8) if llvm.get_host_cpu_features().get("avx512f") else ("ymm", 16, 4)


@cache
def _ground() -> tuple[llvm.ExecutionEngine, Callable[[int, int, int], None], mmap.mmap, int]:
    """A function that fills all registers from one record, calls a place, and writes them to another."""
    name, count, _ = vectors()
    move = "vmovdqu64" if name == "zmm" else "vmovdqu"
    kept = ("rbx", "rbp", "r12", "r13", "r14", "r15")
    general = [register for register in REGISTERS if register != "rdi"]
    place = {register: REGISTERS.index(register) * WORD for register in REGISTERS}
    lines = [
        *(f"push %{register}" for register in kept),
        "push %rsi",  # where the results go
        "push %rdx",  # what is called
        *(f"{move} {VECTORS + n * LARGEST}(%rdi), %{name}{n}" for n in range(count)),
        *(f"mov {place[register]}(%rdi), %{register}" for register in general),
        f"mov {place['rdi']}(%rdi), %rdi",
        "call *(%rsp)",
        "pushfq",
        "push %rdi",
        "mov 24(%rsp), %rdi",
        *(f"mov %{register}, {place[register]}(%rdi)" for register in general),
        *(f"{move} %{name}{n}, {VECTORS + n * LARGEST}(%rdi)" for n in range(count)),
        f"pop %rax; mov %rax, {place['rdi']}(%rdi)",
        f"pop %rax; mov %rax, {FLAGS}(%rdi)",
        "pop %rdx; pop %rsi",
        *(f"pop %{register}" for register in reversed(kept)),
        "vzeroupper; cld; ret",
    ]
    asm = ["    .text", "    .globl run_code", "run_code:", *lines]
    text = "\n".join(f'module asm "{line}"' for line in asm) + "\ndeclare void @run_code(ptr, ptr, ptr)\n"
    text += (
        "define void @enter(ptr %a, ptr %b, ptr %c) {\n  call void @run_code(ptr %a, ptr %b, ptr %c)\n  ret void\n}\n"
    )
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(text), llvm.Target.from_default_triple().create_target_machine()
    )
    engine.finalize_object()
    enter = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
        engine.get_function_address("enter")
    )
    page = mmap.mmap(-1, CODE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    return engine, enter, page, ctypes.addressof(ctypes.c_char.from_buffer(page))


def executed(
    code: bytes, registers: dict[str, int], lanes: list[list[int]]
) -> tuple[dict[str, int], list[list[int]], int]:
    """What registers and lanes hold after `code`, which touches no memory and no stack; and the flags."""
    _, enter, page, address = _ground()
    _, count, width = vectors()
    page[: len(code) + 1] = code + b"\xc3"
    before = (ctypes.c_uint64 * ((VECTORS + count * LARGEST) // WORD))()
    after = (ctypes.c_uint64 * len(before))()
    for n, register in enumerate(REGISTERS):
        before[n] = registers[register]
    for n in range(count):
        for lane in range(width):
            before[(VECTORS + n * LARGEST) // WORD + lane] = lanes[n][lane]
    enter(ctypes.addressof(before), ctypes.addressof(after), address)
    found = {register: after[n] for n, register in enumerate(REGISTERS)}
    vector = [[after[(VECTORS + n * LARGEST) // WORD + lane] for lane in range(width)] for n in range(count)]
    return found, vector, after[FLAGS // WORD]
