# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""numba's errors as one message: the place in the service, and the sentence that matters."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from denali.libos.compiler.errors import CompileError

PLACE = re.compile(r'File "([^"]+)", line (\d+)|(?:at|in) (/\S+\.py) \((\d+)\)')
NOT_OURS = re.compile(r"/numba/|/numpy/|/llvmlite/|libos/compiler/|<frozen|^(?!/)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
HEAP = "this needs a heap: use a tuple, `machine.buffer(n)`, a view, or a module-level array"
VALUES = "module-level values that a guest can use are numbers, bytes, tuples, numpy arrays, enumerations and functions"

# What numba says, and what we say instead; {n} is the n-th group.
SENTENCES = [
    (r"(machine\.\w+ wants [^\n]*)", "{0}"),
    (r"(np\.frombuffer takes [^\n]*)", "{0}"),
    (r"(a \w+ needs a heap[^\n]*)", "{0}"),
    (r"NRT required", HEAP),
    (r"Cannot modify readonly array", "this array is read-only"),
    (r"Untyped global name '(\w+)':[^\n]*Numba type of <class '([^']+)'>", "`{0}` is a {1}: " + VALUES),
    (r"reflected (\w+)\([^\n]*assigned to variable '(\w+)' in globals", "`{1}` is a {0}: " + VALUES),
    (r"array\(pyobject", "an array of Python objects cannot be in a guest"),
    (r"Unknown attribute '(\w+)' of type Module\(<module '([^']+)'", "a guest has no `{1}.{0}`"),
    (r"(NameError: [^\n]*)", "{0}"),
    (r"(Can't unify return type[^\n]*)", "{0}; a function returns one type"),
    (r"(Cannot unify [^\n]*)", "{0}; a variable has one type"),
    (r"Int value is too large: (\d+)", "{0} is too large: an integer of a guest has 64 bits"),
    (r"Type of variable '[^']*' cannot be determined", "the type of this cannot be determined; write simpler steps"),
    (r">>> ((?:zeros|ones|empty|full|arange|array)\([^\n]*)",
     "a guest has no {0}, which needs a heap: use `machine.buffer(n)` or a module-level array"),
    (r"No implementation of function Function\((?:<[^>]*'(\w+)'>|<[\w-]+ (?:function |class )?'?([\w.]+)'?>)[^\n]*"
     r"found for signature:\s+>>> ([^\n]*)", "a guest has no {2}"),
    (r"No implementation of function[^>]*[^\n]*\s+>>> ([^\n]*)", "a guest has no {0}"),
]  # fmt: skip


def explain(error: BaseException, path: Path, compiling: list) -> CompileError:
    """The deepest place in code that is not numba's, and the sentence; `compiling`: the functions it was busy with."""
    text = COLOUR.sub("", str(error))
    file, line = place(error, text, path) or (str(path), 0)
    if not line and compiling:
        code = compiling[-1].__code__
        file, line = code.co_filename, code.co_firstlineno
    return CompileError(file, line, sentence(error, text))


def place(error: BaseException, text: str, path: Path) -> tuple[str, int] | None:
    """The last place that the message or the traceback names outside numba and this package."""
    if isinstance(error, SyntaxError):
        return error.filename or str(path), error.lineno or 0
    named = [(a or c, int(b or d)) for a, b, c, d in PLACE.findall(text)]
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    loc = getattr(error, "loc", None)
    if loc is not None:
        frames.append((loc.filename, loc.line))
    for places in (named, frames):
        ours = [(f, n) for f, n in places if not NOT_OURS.search(f)]
        if ours:
            file, line = ours[-1]
            return (str(path) if Path(file).name == path.name else file), line
    return None


def sentence(error: BaseException, text: str) -> str:
    """One line: ours where we have one for what numba says, else the first line of its message."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    for pattern, words in SENTENCES:
        found = re.search(pattern, text)
        if found:
            return words.format(*found.groups())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Failed in")]
    from numba.core.errors import NumbaError

    name = "" if isinstance(error, NumbaError) else f"{type(error).__name__}: "
    return name + (lines[0] if lines else "no reason given")
