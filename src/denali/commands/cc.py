"""`denali-py cc`: a C program becomes an image."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import click

from ._terminal import Rejected


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: first source with .elf."
)
@click.option("--compiler", type=click.Choice(["gcc", "clang", "zig"]), help="Default: the first that is installed.")
def cc(sources: tuple[Path, ...], output: Path | None, compiler: str | None) -> None:
    """Compile C SOURCES with our start-up, header and small library into a standard RISC-V ELF executable.

    \b
    Options for the compiler itself follow after --.
    It is a RISC-V gcc, clang with lld, or zig cc (pip install 'denali-py[c]').

    \b
    denali-py cc primes.c -o primes.elf && denali-py run primes.elf
    denali-py cc server.c tcp.c -o server.elf --compiler clang -- -O3 -DPORT=80
    riscv64-linux-gnu-objdump -dl primes.elf
    """
    from ..isa.image import BadImage, Image
    from ..libos.cc import BuildError, build

    arguments = [str(source) for source in sources]
    files = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    flags = arguments[len(files) :]
    if not files:
        raise click.UsageError("no source file given")
    target = output or Path(files[0]).with_suffix(".elf")
    try:
        warnings = build(files, target, compiler=compiler, flags=flags)
        image = Image.load(target)
    except (BuildError, BadImage) as error:
        raise Rejected(str(error)) from None
    if warnings:
        click.echo(warnings.rstrip(), err=True)
    text = image.text_end - image.text_start
    click.echo(
        f"{target}: {text:,} bytes of text, {len(image.read_only):,} read-only, {image.footprint:,} private", err=True
    )
