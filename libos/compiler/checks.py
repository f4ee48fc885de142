# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Refuse what cannot be compiled, before numba sees it, in words that say what to write instead.

numba would compile an `async def` as a plain function and explain the rest in terms of its own passes.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType
from typing import Any

from numba.core import types

from denali.libos.compiler.errors import CompileError

REFUSED: dict[type[ast.AST], str] = {
    ast.AsyncFunctionDef: "`async def`: write a plain function, or a generator that its caller drives with `for`",
    ast.Await: "`await`: call the function, or loop over a generator",
    ast.AsyncFor: "`async for`: use a plain `for`",
    ast.AsyncWith: "`async with`: call the functions it would call",
    ast.Try: "`try`: an exception stops the guest; test the condition first",
    ast.With: "`with`: call the functions it would call",
    ast.Global: "`global`: keep the value in a module-level array, as in `count = np.zeros(1, np.int64)`",
    ast.JoinedStr: "an f-string: print the parts, as in `print('n =', n)`, or write digits into a buffer",
    ast.ListComp: "a list, which needs a heap: use a tuple, `machine.buffer(n)` or a module-level array",
    ast.List: "a list, which needs a heap: use a tuple, `machine.buffer(n)` or a module-level array",
    ast.Dict: "a dict, which needs a heap: use a module-level array of records",
    ast.DictComp: "a dict, which needs a heap: use a module-level array of records",
    ast.Set: "a set, which needs a heap: use a module-level array",
    ast.SetComp: "a set, which needs a heap: use a module-level array",
    ast.Import: "`import` inside a function: move it to the top of the module",
    ast.ImportFrom: "`import` inside a function: move it to the top of the module",
    ast.ClassDef: "`class` inside a function: a module-level array of records holds state",
    ast.Delete: "`del`: a guest's variables cost nothing to keep",
    ast.YieldFrom: "`yield from`: write `for item in generator: yield item`",
}


def check(function: FunctionType) -> None:
    """Look at a function's source.

    Raises:
        CompileError: it holds something of `REFUSED`.
    """
    if function.__module__.split(".")[0] in {"numba", "numpy"}:
        return
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return  # a lambda within a line, or no source: numba will do
    for node in walk(tree):
        if type(node) in REFUSED:
            line = first + getattr(node, "lineno", 1) - 1
            raise CompileError(function.__code__.co_filename, line, f"cannot compile {REFUSED[type(node)]}")


def walk(tree: ast.AST) -> list[ast.AST]:
    """The nodes that end up as code: neither annotations nor decorators."""
    found: list[ast.AST] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        found.append(node)
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "returns", "decorator_list"}:
                continue
            stack += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, ast.AST)]
    return found


def check_return(function_ir: Any, types_of: Any, kind: Any) -> None:
    """Refuse a function that makes a buffer on the stack and returns an array: it would return what has ended.

    Raises:
        CompileError: it does.
    """
    parts = kind.types if isinstance(kind, types.BaseTuple) else (kind,)
    if not any(isinstance(part, types.Array) for part in parts):
        return
    for block in function_ir.blocks.values():
        for call in block.find_exprs(op="call"):
            if "machine_buffer" in str(types_of[call.func.name]):
                place = call.loc
                text = (
                    "a buffer ends with the function that made it: let the caller make it, and pass it as an argument"
                )
                raise CompileError(place.filename, place.line, text)
