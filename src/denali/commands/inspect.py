"""`denali-py inspect`: what the machine made of a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._terminal import Bytes, Rejected, masked_option, one_line_errors, spinner

if TYPE_CHECKING:
    from ..isa.image import Image


@click.command()
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--show", type=click.Choice(["map", "ops", "llvm", "asm"]), default="map", show_default=True)
@click.option("--function", help="Only this function, by the name that --show=ops prints.")
@click.option("--memory", type=Bytes(), help="Private memory for which to translate; see spawn.")
@masked_option
def inspect(program: Path, show: str, function: str | None, memory: int | None, masked: bool) -> None:
    """Show PROGRAM, a Python service or an ELF image, at one of four depths.

    \b
    --show=map    segments, functions and data objects, with sizes
    --show=ops    guest instructions, by function
    --show=llvm   the optimised LLVM of the translation, with guest addresses
    --show=asm    the host's code

    \b
    denali-py inspect examples/hello.py --show=ops | less
    denali-py inspect prog.elf --show=llvm --function main
    """
    from ..system import load

    with one_line_errors(), spinner(f"loading {program.name}") as progress:
        image = load(program, progress=progress)
    try:
        for line in _lines(image, show, function, memory, masked=masked):
            click.echo(line)
    except KeyError as error:
        raise Rejected(str(error.args[0])) from None


def _lines(image: Image, show: str, function: str | None, memory: int | None, *, masked: bool) -> Iterable[str]:
    if show == "map":
        return _map(image)
    if show == "ops":
        return _ops(image, function)
    from ..isa.runtime import compile as translation
    from ..kernel.births import private_size

    inspect_depth = translation.inspect_llvm if show == "llvm" else translation.inspect_asm
    return [inspect_depth(image, private_size(image, memory), function, masked=masked)]


def _map(image: Image) -> Iterator[str]:
    yield f"{image.name}: entry {image.entry:#x}"
    yield f"  {image.ro_start:#10x} {len(image.read_only):8,}  read-only, shared by all guests"
    yield f"  {image.text_start:#10x} {image.text_end - image.text_start:8,}  of it text"
    yield f"  {image.private_start:#10x} {len(image.data):8,}  data, then {image.zeroed:,} of zeros"
    for title, symbols in (("functions", image.functions), ("objects", image.objects)):
        yield f"{title}:"
        yield from (f"  {start:#10x} {size:8,}  {name}" for name, start, size in symbols)


def _ops(image: Image, function: str | None) -> Iterator[str]:
    from ..isa.tools.disassembler import listing

    if function is None:
        yield from listing(image)
        return
    if function not in {name for name, _, _ in image.functions}:
        raise KeyError(f"{image.name} has no function {function!r}; --show=map lists them")
    shown = False
    for line in listing(image):
        if line.startswith("\n"):
            shown = line.endswith(f"<{function}>:")
        if shown:
            yield line
