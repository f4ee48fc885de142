"""The manual: a page for each instruction, and one table of all, written from the definitions.

`python -m denali.isa.tools.manual` prints docs/instructions.md.
"""

from __future__ import annotations

import difflib
import inspect
import linecache
import textwrap

from ..definitions.decode import BY_NAME, DEFINITIONS, EXTENSIONS
from ..definitions.instruction import Instruction
from ..definitions.operands import Kind
from .notation import step_lines

TITLES = {"rd": "destination", "rs1": "first source", "rs2": "second source", "rs3": "third source"}


def find(name: str) -> list[Instruction]:
    """The instructions called `name`, or with this mnemonic.

    Raises:
        KeyError: there is none; the message names some that are like it.
    """
    name = name.lower()
    found = [BY_NAME[name]] if name in BY_NAME else [one for one in DEFINITIONS if one.mnemonic == name]
    if not found:
        near = difflib.get_close_matches(name, BY_NAME, 4, 0.5)
        raise KeyError(f"no instruction {name!r}" + (f"; like it: {', '.join(near)}" if near else ""))
    return found


def page(name: str) -> str:
    """All about the instruction `name`: how it is written, its bits, its operands, what it does, step by step.

    Raises:
        KeyError: there is no such instruction; the message names some that are like it.
    """
    return "\n\n".join(_page(one) for one in find(name))


def _page(one: Instruction) -> str:
    sections = (
        (f"{one.name}: {one.description}", [usage(one)]),
        ("Bits", bit_rows(one)),
        ("Operands", operand_rows(one)),
        (f"Definition, line {one.source[1]} of isa/definitions/{one.extension}.py", definition(one)),
        ("Steps recorded from it", step_lines(one)),
    )
    return "\n\n".join(f"{title}\n\n{_indented(lines)}" for title, lines in sections if lines)


def _indented(lines: list[str]) -> str:
    return textwrap.indent("\n".join(line.rstrip() for line in lines), "    ")


def usage(one: Instruction) -> str:
    """How the instruction is written."""
    order = "{.aq,.rl,.aqrl}" if Kind.ORDER in one.operands.values() else ""
    return f"{one.mnemonic}{order} {one.text}".rstrip()


def bit_rows(one: Instruction) -> list[str]:
    """The layout as a ruler of bit numbers above the fields, highest bit first."""
    numbers, contents = list[str](), list[str]()
    for piece in one.pieces:
        high = piece.shift + piece.width - 1
        number = f"{high}:{piece.shift}" if piece.width > 1 else str(piece.shift)
        whole = piece.low == 0 and piece.width == one.bits(piece.name) if piece.name else False
        part = f"{piece.low + piece.width - 1}:{piece.low}" if piece.width > 1 else str(piece.low)
        content = f"{piece.low:0{piece.width}b}" if not piece.name else piece.name if whole else f"{piece.name}[{part}]"
        size = max(len(number), len(content))
        numbers.append(number.center(size))
        contents.append(content.center(size))
    return ["  ".join(numbers), "  ".join(contents)]


def operand_rows(one: Instruction) -> list[str]:
    """A line for each operand."""
    width = max(map(len, one.operands), default=0)
    rows = [(name, TITLES.get(name), kind.value) for name, kind in one.operands.items()]
    return [f"{name:{width}}  {f'{title}: ' if title else ''}{kind}" for name, title, kind in rows]


def definition(one: Instruction) -> list[str]:
    """The source of the definition, as it stands in its module."""
    file, line = one.source
    return [text.rstrip("\n") for text in inspect.getblock(linecache.getlines(file)[line - 1 :])]


def overview() -> str:
    """All instructions, by extension: how each is written and what it does."""
    parts: list[str] = []
    for module in EXTENSIONS:
        title = inspect.cleandoc(module.__doc__ or "").splitlines()[0]
        members = [one for one in DEFINITIONS if one.extension == module.__name__.rpartition(".")[2]]
        width = max(len(usage(one)) for one in members)
        parts.append("\n".join([title, "", *(f"  {usage(one):{width}}  {one.description}" for one in members)]))
    return "\n\n".join(parts)


def reference() -> str:
    """The content of docs/instructions.md."""
    parts = [INTRODUCTION.format(count=len(DEFINITIONS))]
    for module in EXTENSIONS:
        members = [one for one in DEFINITIONS if one.extension == module.__name__.rpartition(".")[2]]
        title, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n")
        cells = [(f"`{usage(one)}`", f"`{one.layout}`", one.description) for one in members]
        rows = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells]
        table = "\n".join(("| written | bits, highest first | what it does |", "|---|---|---|", *rows))
        parts.append(f"## {title}\n\n{rest.strip()}\n\n{table}".replace("\n\n\n", "\n"))
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """# Instructions

The machine's {count} instructions, written from their definitions by `python -m denali.isa.tools.manual`; a test keeps
this file equal to them. `denali-py manual NAME` shows one in full: operands, definition, recorded steps. What is not
here is an illegal instruction."""


if __name__ == "__main__":
    print(reference(), end="")
