# pyright: basic
"""What a translation worker does: LLVM IR text in, a relocatable ELF object for this host out."""

from __future__ import annotations

from functools import lru_cache

import llvmlite.binding as llvm

from denali.isa.context import Mode
from denali.isa.image import Image
from denali.isa.interpreter.native import runtime_text
from denali.isa.runtime.worker import LEVEL, QUICK, Answer, Request
from denali.isa.translator.translate import Translation

BATCH = 8 << 10  # bytes of guest text that are translated together
OPTIONS = (  # of LLVM's back end
    "-align-all-nofallthru-blocks=4",  # to 16 bytes where a jump leads: processors guess computed jumps better then
    "-enable-ext-tsp-block-placement",  # blocks in an order that makes the most of falling through
    "-unroll-peel-max-count=0",  # no first turns apart: that is much code, and in it choices become branches
    "-x86-cmov-converter=false",  # RISC-V code branches where it can, so what became a choice stays one
)
SPARING = ",+prefer-no-gather,+prefer-no-scatter"  # no faster where tried, and slow where mended against leaks
LONG = 8 << 20  # characters of LLVM IR; without optimisation every value has its place in a native stack frame


def serve(request: Request) -> Answer:
    """Answer one request.

    Raises:
        Exception: whatever goes wrong; the worker sends its text back.
    """
    if request.kind == "runtime":
        return Answer(compile_object(runtime_text(masked=request.masked), level=2), [])
    assert request.image is not None
    translation = translation_of(request.image, request.private_size, request.mode, masked=request.masked)
    if request.kind == "plan":
        return Answer(b"", batches(request.image, translation.entries()))
    text, entries = translation.module(request.entries)
    if request.level == QUICK and len(text) > LONG:
        raise ValueError("too large to be translated quickly")
    return Answer(compile_object(text, request.level), [entries])


def translation_of(image: Image, private_size: int, mode: Mode, *, masked: bool) -> Translation:
    """The analysed image; that of the last request again when it is the same."""
    global _last
    name = (image.digest, private_size, mode, masked)
    if _last is None or _last[0] != name:
        _last = (name, Translation(image, private_size, mode, masked=masked))
    return _last[1]


_last: tuple[tuple[str, int, Mode, bool], Translation] | None = None


def batches(image: Image, entries: list[int]) -> list[list[int]]:
    """Entries in the order of addresses, in groups whose text is about `BATCH` bytes."""
    groups: list[list[int]] = []
    for entry in sorted(entries):
        if not groups or entry - groups[-1][0] > BATCH:
            groups.append([])
        groups[-1].append(entry)
    return groups


@lru_cache
def host() -> tuple[str, str]:
    """The processor's name and features as LLVM knows them."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten() + SPARING


@lru_cache
def _begin() -> None:
    """Set LLVM up for this host."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # of what a masked body says in assembly
    for option in OPTIONS:
        llvm.set_option("", option)


def machine(level: int) -> llvm.TargetMachine:
    """A target machine for this host; its code goes anywhere and reaches 2 GB."""
    _begin()
    cpu, features = host()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=level, reloc="pic", codemodel="small")


def optimise(text: str, level: int = LEVEL) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    """Parse and verify a module, and optimise it unless it is wanted quickly."""
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context)
    module.verify()
    host_machine = machine(level)
    if level == QUICK:
        return module, host_machine
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    builder = llvm.create_pass_builder(host_machine, options)
    builder.getModulePassManager().run(module, builder)
    return module, host_machine


def compile_object(text: str, level: int = LEVEL) -> bytes:
    """An ELF object of the optimised module."""
    module, host_machine = optimise(text, level)
    return host_machine.emit_object(module)


def inspect_llvm(image: Image, private_size: int, function: str | None = None, *, masked: bool = False) -> str:
    """The optimised LLVM IR of an image's translation, or of one function's (all when None)."""
    return str(optimise(_text_for(image, private_size, function, masked))[0])


def inspect_asm(image: Image, private_size: int, function: str | None = None, *, masked: bool = False) -> str:
    """The host's assembly of an image's translation, or of one function's (all when None)."""
    module, host_machine = optimise(_text_for(image, private_size, function, masked))
    return host_machine.emit_assembly(module)


def _text_for(image: Image, private_size: int, function: str | None, masked: bool) -> str:
    translation = Translation(image, private_size, masked=masked)
    entries = translation.entries()
    if function is not None:
        start = next((symbol.start for symbol in image.functions if symbol.name == function), None)
        if start is None:
            raise KeyError(f"{image.name} has no function {function!r}")
        entries = [start]
    return translation.module(entries)[0]
