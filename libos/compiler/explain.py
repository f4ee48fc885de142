# pyright: basic
"""numba's errors as one message: the place in the service, and the sentence that matters."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from denali.libos.compiler.errors import CompileError

PLACE = re.compile(r'File "([^"]+)", line (\d+)')
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NOISE = re.compile(
    r"^(Failed in|During|File|\^|There are|Overload of|Overload in|def |Rejected|With argument|\* |- |@|<source|"
    r"Known signatures|Enable|This error|This is|If you|https?:|To see|Please|You may|Unfortunately|Traceback|\.\.\.)"
)
HINTS = {
    "NRT required": "this needs a heap: use `machine.buffer(n)`, a view, or a module-level array",
    "unresolved": "",
    "needs CPython": "this needs CPython, which a guest does not have",
    "cannot allocate": "",
}


def explain(error: BaseException, path: Path) -> CompileError:
    """The deepest place in code that is not numba's, and the first line that says something."""
    text = COLOUR.sub("", str(error))
    places = [(f, int(n)) for f, n in PLACE.findall(text) if "/numba/" not in f and "/numpy/" not in f]
    loc = getattr(error, "loc", None)
    if loc is not None and not places:
        places = [(loc.filename, loc.line)]
    if not places:
        frames = traceback.extract_tb(error.__traceback__)
        places = [(f.filename, f.lineno or 0) for f in frames if Path(f.filename).name == path.name]
    file, line = places[-1] if places else (str(path), 0)
    file = str(path) if Path(file).name == path.name else file
    return CompileError(file, line, sentence(error, text))


def sentence(error: BaseException, text: str) -> str:
    """One line of the message, with advice where we have some."""
    for mark, advice in HINTS.items():
        if mark in text and advice:
            return advice
    lines = [line.strip() for line in text.splitlines()]
    telling = [line for line in lines if line and not NOISE.match(line)]
    return telling[0] if telling else f"{type(error).__name__}: {lines[0] if lines else ''}"
