"""Write the pages that are made from code: `python docs/generate.py`; a test keeps them equal to it.

reference.md     the Python interface, from signatures and docstrings, read without importing them
commands.md      what every `denali-py COMMAND --help` prints
instructions.md  the machine's instructions, by isa/tools/manual.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100
SECTION = re.compile(r"^(Args|Returns|Raises):$")
ITEM = re.compile(r"^ {4}(\*{0,2}[\w.]+): (.*)$")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Part(NamedTuple):
    """One heading of the reference: a class (its `bases` give methods too), or functions of a module."""

    title: str
    file: str
    name: str = ""  # of the class; none: a module
    bases: tuple[tuple[str, str], ...] = ()
    functions: tuple[str, ...] = ()  # which functions of a module; none: all public ones


PARTS = (
    Part("denali.load", "src/denali/system.py", functions=("load",)),
    Part("denali.Kernel", "src/denali/system.py", "Kernel", (("kernel/kernel.py", "Kernel"),)),
    Part("denali.Guest", "kernel/guest.py", "Guest"),
    Part("Ending, of a guest", "kernel/guest.py", "Ending"),
    Part("denali.Image", "isa/image.py", "Image"),
    Part("denali.BadImage", "isa/image.py", "BadImage"),
    Part("denali.Overdrawn", "tlb/frames.py", "Overdrawn"),
    Part("denali.CompileError", "libos/compiler/errors.py", "CompileError"),
    Part("denali.libos.machine", "libos/machine.py"),
    Part("denali.libos.net.http", "libos/net/http.py"),
    Part("denali.libos.net.tcp", "libos/net/tcp.py"),
    Part("denali.libos.net.tcp: sizes", "libos/net/table.py", functions=("configure",)),
)
HEAD = """# Reference

The Python interface, written from the code by `python docs/generate.py`; a test keeps this page equal to it. On the
host: `load`, `Kernel`, `Guest`, `Image`. In a service: `machine`, `http`, `tcp`. Commands: [commands.md](commands.md).
"""


def pages() -> dict[str, str]:
    """The content of each generated page of docs/, by file name."""
    from denali.isa.tools.manual import reference as instructions

    return {"reference.md": reference(), "commands.md": commands(), "instructions.md": instructions()}


def reference() -> str:
    """The content of reference.md."""
    return "\n".join([HEAD, *(line for part in PARTS for line in section(part))]).rstrip() + "\n"


def tree(file: str) -> ast.Module:
    """The parsed source."""
    return ast.parse((ROOT / file).read_text())


def class_of(file: str, name: str) -> ast.ClassDef:
    """A class by name."""
    return next(node for node in tree(file).body if isinstance(node, ast.ClassDef) and node.name == name)


def functions_of(body: list[ast.stmt]) -> Iterator[Function]:
    """The public functions, in the order of the source."""
    for node in body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node


def section(part: Part) -> Iterator[str]:
    """The lines of one heading."""
    yield f"## {part.title}\n"
    if not part.name:
        module = tree(part.file)
        if not part.functions:
            yield prose(ast.get_docstring(module))
        for node in functions_of(module.body):
            if not part.functions or node.name in part.functions:
                yield from entry(node, node.name)
        return
    classes = [class_of(file, name) for file, name in ((part.file, part.name), *part.bases)]
    yield prose(ast.get_docstring(classes[0]))
    fields = [ast.unparse(node) for node in classes[0].body if isinstance(node, ast.AnnAssign)]
    if fields:
        yield "\n".join(["```python", *fields, "```\n"])
    constructor = next((n for n in classes[0].body if isinstance(n, Function) and n.name == "__init__"), None)
    if constructor is not None:
        yield fence(constructor, part.name, method=True)
    seen: set[str] = set()
    for node in (node for one in classes for node in functions_of(one.body)):
        if node.name not in seen:
            seen.add(node.name)
            yield from entry(node, f"{part.name}.{node.name}", method=True)


def entry(node: Function, name: str, *, method: bool = False) -> Iterator[str]:
    """A function: heading, signature, docstring."""
    yield f"### {name}\n"
    yield fence(node, node.name, method=method)
    yield prose(ast.get_docstring(node))


def fence(node: Function, name: str, *, method: bool) -> str:
    """The signature as code; of a property its type."""
    decorators = {ast.unparse(one) for one in node.decorator_list}
    result = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    before = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    given = parameters(node.args)[1:] if method else parameters(node.args)
    lines = [f"{before}{name}({', '.join(given)}){result}"]
    if decorators & {"property", "cached_property"}:
        lines = [name + result.replace(" ->", ":")]
    elif len(lines[0]) > WIDTH:
        lines = [f"{before}{name}(", *(f"    {one}," for one in given), f"){result}"]
    return "\n".join(["```python", *lines, "```\n"])


def parameters(given: ast.arguments) -> list[str]:
    """How each parameter is written, and the star behind which names are needed."""
    plain = [*given.posonlyargs, *given.args]
    missing = [None] * (len(plain) - len(given.defaults))
    texts = [parameter(*pair) for pair in zip(plain, [*missing, *given.defaults], strict=True)]
    if given.vararg is not None:
        texts.append("*" + parameter(given.vararg))
    elif given.kwonlyargs:
        texts.append("*")
    texts += [parameter(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return texts + (["**" + parameter(given.kwarg)] if given.kwarg is not None else [])


def parameter(one: ast.arg, default: ast.expr | None = None) -> str:
    """`name: type = default`."""
    kind = f": {ast.unparse(one.annotation)}" if one.annotation is not None else ""
    return one.arg + kind + (f" = {ast.unparse(default)}" if default is not None else "")


def prose(text: str | None) -> str:
    """A docstring as Markdown: what it raises and takes becomes a list."""
    lines: list[str] = []
    listing = False
    for line in (text or "").splitlines():
        found = SECTION.match(line)
        item = ITEM.match(line) if listing else None
        if found:
            listing = True
            lines += [f"{found[1]}:", ""]
        elif item:
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif listing and line.startswith(" " * 8):
            lines.append("  " + line.strip())
        elif listing and line.startswith(" " * 4):
            lines.append(f"- {line.strip()}")
        else:
            listing = listing and not line
            lines.append(line)
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The content of commands.md."""
    from denali.__main__ import cli

    head = f"""# Commands

What `denali-py COMMAND --help` prints, written by `python docs/generate.py`; a test keeps this page equal to it.

<!-- click {click_version()} -->
"""
    root = click.Context(cli, info_name="denali-py", terminal_width=WIDTH, **cli.context_settings)
    return "\n".join([head, *helps(cli, root, "denali-py")]).rstrip() + "\n"


def helps(command: click.Command, context: click.Context, name: str) -> Iterator[str]:
    """A command's help, then those of its subcommands."""
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    yield "\n".join([f"## {name}\n", "```text", *lines, "```\n"])
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            inner = command.get_command(context, sub)
            assert inner is not None
            yield from helps(inner, click.Context(inner, info_name=sub, parent=context), f"{name} {sub}")


def click_version() -> str:
    """Which click laid the help out; others break its lines elsewhere."""
    from importlib.metadata import version

    return version("click")


if __name__ == "__main__":
    for file, content in pages().items():
        (ROOT / "docs" / file).write_text(content)
