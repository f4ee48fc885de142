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
from ..definitions.operands import DYNAMIC_ROUNDING, Kind
from ..image import TEXT_BASE
from .consequences import flags, traps
from .disassembler import disassemble
from .encoding import encode, limits, unit_of
from .forms import BY_MNEMONIC, split_order
from .names import register_name
from .notation import step_lines
from .pseudo import BUILT, PSEUDOS, Pseudo

TITLES = {"rd": "destination", "rs1": "first source", "rs2": "second source", "rs3": "third source"}


def find(name: str) -> list[Instruction]:
    """The instructions called `name`, or with this mnemonic, with or without an ordering behind it.

    Raises:
        KeyError: there is none; the message names some that are like it.
    """
    name = split_order(name.lower())[0]
    found = [BY_NAME[name]] if name in BY_NAME else BY_MNEMONIC.get(name, [])
    if not found:
        known = [*BY_NAME, *BY_MNEMONIC, *BUILT, *(pseudo.name for pseudo in PSEUDOS.values())]
        near = difflib.get_close_matches(name, dict.fromkeys(known), 4, 0.5)
        raise KeyError(f"no instruction {name!r}" + (f"; like it: {', '.join(near)}" if near else ""))
    return found


def page(name: str) -> str:
    """All about the instruction `name`: how it is written, its bits, its operands, what it does, step by step.

    Of a pseudo-instruction: what it is written for, and all about that.

    Raises:
        KeyError: there is no such instruction; the message names some that are like it.
    """
    pseudos = [pseudo for pseudo in PSEUDOS.values() if pseudo.name == name.lower()]
    if name.lower() in BUILT:
        return "{}: written for {}".format(*BUILT[name.lower()])
    if not pseudos or name.lower() in BY_MNEMONIC:
        return "\n\n".join(_page(one) for one in find(name))
    meanings = "\n".join(f"{pseudo.usage}: written for {pseudo.meaning}" for pseudo in pseudos)
    targets = dict.fromkeys(pseudo.target for pseudo in pseudos if pseudo.target in BY_MNEMONIC)
    return "\n\n".join([meanings, *(_page(one) for target in targets for one in BY_MNEMONIC[target])])


def _page(one: Instruction) -> str:
    raised = ", ".join(flags(one))
    sections = (
        (f"{one.name}: {one.description}", [usage(one)]),
        ("Part of", [title_of(one.extension)]),
        ("Bits", bit_rows(one)),
        ("Operands", operand_rows(one)),
        ("For example", [example(one)]),
        ("Also written", [f"{pseudo.usage}: for {pseudo.meaning}" for pseudo in pseudos_of(one)]),
        ("May trap", traps(one)),
        ("May raise in fflags", [raised] if raised else []),
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
    """A line for each operand: what it is, and its values where these are not all that the kind has."""
    width = max(map(len, one.operands), default=0)
    rows = [(name, TITLES.get(name), kind.value + values(one, name)) for name, kind in one.operands.items()]
    return [f"{name:{width}}  {f'{title}: ' if title else ''}{text}" for name, title, text in rows]


def values(one: Instruction, name: str) -> str:
    """Which numbers an immediate may be; which register may not be named."""
    kind, text = one.operands[name], ""
    if kind in (Kind.SIGNED, Kind.UNSIGNED, Kind.OFFSET):
        (low, high), unit = limits(one, name), unit_of(one, name)
        text = f", {low} to {high}" + (f", a multiple of {unit}" if unit > 1 else "")
    refused = [] if kind is Kind.ROUNDING else one.never(name)
    names = [register_name(value, kind) if kind.is_register else str(value) for value in refused]
    return text + (f", not {' or '.join(names)}" if names else "")


def example(one: Instruction) -> str:
    """A word that is this instruction, and how it is written."""
    numbers = {"rd": 10, "rs1": 11, "rs2": 12, "rs3": 13}
    operands: dict[str, int] = {}
    for name, kind in one.operands.items():
        plain = 0 if kind is Kind.ORDER else 15 if kind is Kind.FENCE else 0x1000 if kind is Kind.UPPER else 8
        operands[name] = min(
            numbers.get(name, DYNAMIC_ROUNDING if kind is Kind.ROUNDING else plain), limits(one, name)[1]
        )
        if name not in one.text and kind is not Kind.ORDER:
            operands[name] = 0
        elif kind is Kind.SIGNED and unit_of(one, name) > 8:
            operands[name] = unit_of(one, name)
    word = encode(one, operands)
    return f"{word:#0{2 + 2 * one.length}x}  {disassemble(word, TEXT_BASE)}" + (
        f"   at {TEXT_BASE:#x}" if Kind.OFFSET in one.operands.values() else ""
    )


def pseudos_of(one: Instruction) -> list[Pseudo]:
    """The pseudo-instructions that are written for this one."""
    fixed = [part for part in one.text.split(", ") if part not in one.operands and "(" not in part]
    return [
        p for p in PSEUDOS.values() if p.target == one.mnemonic and ("csr" in p.operands or set(fixed) <= {*p.operands})
    ]


def title_of(extension: str) -> str:
    """What the first line of the module that defines an extension says."""
    module = next(module for module in EXTENSIONS if module.__name__.rpartition(".")[2] == extension)
    return inspect.cleandoc(module.__doc__ or "").splitlines()[0]


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
    width = max(len(written) for written, _ in pseudo_rows())
    rows = [f"  {written:{width}}  {meaning}" for written, meaning in pseudo_rows()]
    return "\n\n".join([*parts, "\n".join([PSEUDO_TITLE, "", *rows])])


def pseudo_rows() -> list[tuple[str, str]]:
    """How each pseudo-instruction is written, and for what."""
    return [*BUILT.values(), *((pseudo.usage, pseudo.meaning) for pseudo in PSEUDOS.values())]


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
    rows = "\n".join(f"| `{written}` | `{meaning}` |" for written, meaning in pseudo_rows())
    parts.append(f"## {PSEUDO_TITLE}\n\n| written | for |\n|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


PSEUDO_TITLE = "Pseudo-instructions: what the assembler takes as well (assembly programmer's manual)"
INTRODUCTION = """# Instructions

The machine's {count} instructions, written from their definitions by `python -m denali.isa.tools.manual`; a test keeps
this file equal to them. `denali-py manual NAME` shows one in full: operands, definition, recorded steps. What is not
here is an illegal instruction."""


if __name__ == "__main__":
    print(reference(), end="")
