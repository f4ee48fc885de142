"""`denali-py build`: a Python service becomes an image."""

from __future__ import annotations

from pathlib import Path

import click

from ._terminal import one_line_errors, spinner


@click.command()
@click.argument("service", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: SERVICE with .elf.")
def build(service: Path, output: Path | None) -> None:
    """Compile the Python SERVICE into a standard RISC-V ELF executable.

    \b
    denali-py build examples/hello.py -o hello.elf
    riscv64-unknown-elf-objdump -d hello.elf
    """
    from ..system import load

    target = output or service.with_suffix(".elf")
    with one_line_errors(), spinner(f"compiling {service.name}") as progress:
        image = load(service, progress=progress)
        target.write_bytes(image.elf)
    text = image.text_end - image.text_start
    sizes = f"{text:,} bytes of text, {len(image.read_only):,} shared, {image.footprint:,} of data in each guest"
    click.echo(f"{target}: {sizes}", err=True)
