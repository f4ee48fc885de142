"""`denali-py symbols`: the names of a running kernel's translated code, as a file for debuggers."""

from __future__ import annotations

from pathlib import Path

import click

from ..isa.image import PAGE, Segment, Symbol


@click.command()
@click.argument("pid", type=int)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; else PID.symbols, here."
)
def symbols(pid: int, output: Path | None) -> None:
    """Write the names of translated code in process PID as an ELF file, for gdb.

    The process has to be started with DENALI_PERF_MAP=1, which perf needs too. The names are those of its guests'
    functions, as they are now: what is translated later comes with another call.

    \b
    DENALI_PERF_MAP=1 denali-py spawn --count 10
    denali-py symbols 4711 -o guests.symbols
    gdb -p 4711 -ex 'add-symbol-file guests.symbols'
    """
    from ..isa.tools.elf import X86_64, write_elf

    path = Path(f"/tmp/perf-{pid}.map")
    if not path.is_file():
        raise click.UsageError(f"there is no {path}: start that process with DENALI_PERF_MAP=1")
    rows = [line.split(" ", 2) for line in path.read_text().splitlines()]
    functions = sorted((Symbol(name, int(start, 16), int(size, 16)) for start, size, name in rows), key=_place)
    output = output or Path(f"{pid}.symbols")
    code = [Segment(start, end - start, b"", writable=False, executable=True) for start, end in _mappings(functions)]
    output.write_bytes(write_elf(code, entry=0, functions=functions, machine=X86_64))
    click.echo(f"{len(functions)} functions in {output}")


def _place(function: Symbol) -> int:
    return function.start


def _mappings(functions: list[Symbol]) -> list[tuple[int, int]]:
    """The ranges of addresses that these functions, in order, fill but for gaps of less than a page."""
    found = list[tuple[int, int]]()
    for _, start, size in functions:
        if found and start - found[-1][1] < PAGE:
            found[-1] = found[-1][0], start + size
        else:
            found.append((start, start + size))
    return found
