"""`denali-py build`: a Python service becomes an image."""

from __future__ import annotations

from pathlib import Path

import click

from .. import load
from ._terminal import fail, status


@click.command()
@click.argument("service", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: SERVICE with .elf.")
def build(service: Path, output: Path | None) -> None:
    """Compile the Python SERVICE into a standard RISC-V ELF executable.

    \b
    denali-py build examples/hello.py -o hello.elf
    riscv64-unknown-elf-objdump -d hello.elf
    """
    target = output or service.with_suffix(".elf")
    with fail(), status(f"compiling {service.name}") as progress:
        image = load(service, progress=progress)
    target.write_bytes(image.elf)
    text, data = image.text_end - image.text_start, image.footprint
    click.echo(f"{target}: {text:,} bytes of text, {len(image.read_only):,} read-only in all, {data:,} private", err=True)
