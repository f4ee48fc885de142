"""What cannot be compiled is refused with the file, the line, and what to write instead."""

# ruff: noqa: E501  a case is a line
from __future__ import annotations

from pathlib import Path

import pytest

from denali.libos.compiler import CompileError, build

from .guest import write

# The source, of which the line with "# here" is to be named, and what the message says.
USUAL = {
    "async": ("async def later() -> int:  # here\n    return 1\n\ndef main() -> int:\n    later()\n    return 0", "a generator"),
    "a list": ("def main() -> int:\n    a = [1, 2]  # here\n    return a[0]", "needs a heap"),
    "a method of nothing": ("def main() -> int:\n    return (3).nothing  # here", "nothing"),
    "a wrong argument": ("def main() -> int:\n    return machine.console(5)  # here", "machine.console wants a contiguous array"),
    "a buffer that ended": ("def main() -> int:\n    return len(made())\n\ndef made():\n    return machine.buffer(5)[1:3]  # here",
                            "let the caller make it"),
    "an unknown size": ("def main() -> int:\n    return len(machine.buffer(machine.number()))  # here", "a constant size"),
    "an unknown name": ("def main() -> int:\n    return undefined  # here", "'undefined' is not defined"),
    "a broken import": ("import nosuchmodule  # here", "No module named 'nosuchmodule'"),
    "not Python": ("def main( -> int:  # here", "invalid syntax"),
}  # fmt: skip
RARE = {
    "try": ("def main() -> int:\n    try:  # here\n        return 1\n    except ValueError:\n        return 2", "test the condition first"),
    "an f-string": ("def main() -> int:\n    n = 3\n    print(f'{n}')  # here\n    return 0", "print the parts"),
    "global": ("n = 0\n\ndef main() -> int:\n    global n  # here\n    n = 1\n    return n", "module-level array"),
    "a dict of the module": ("D = {1: 2}\n\ndef main() -> int:\n    return D[1]  # here", "`D` is a dict"),
    "a heap": ("def main() -> int:\n    return len('abc' + str(5))  # here", "needs a heap"),
    "two types": ("def f(n):\n    if n > 3:\n        return 5\n    return (1, 2)\n\ndef main() -> int:\n    f(3)  # here\n    return 0",
                  "a function returns one type"),
    "the host's clock": ("import time\n\ndef main() -> int:\n    return int(time.time())  # here", "a guest has no `time.time`"),
    "a missing function": ("import math\n\nx = np.ones(1)\n\ndef main() -> int:\n    return int(math.sin(x[0]))  # here", "`sin`"),
    "a constant array": ("x = np.zeros(3)\nx.flags.writeable = False\n\ndef main() -> int:\n    x[0] = 1.0  # here\n    return 0",
                         "read-only"),
    "a float as status": ("def main() -> float:  # here\n    return 1.5", "main returns float64"),
    "an array made at run time": ("def main() -> int:\n    return int(np.zeros(10)[0])  # here", "a module-level array"),
    "a large integer": ("def main() -> int:\n    return 10**30  # here", "an integer of a guest has 64 bits"),
    "a value without a type": ("def main() -> int:\n    return (y := 3) + y  # here", "the type of this cannot be determined"),
    "too few arguments": ("def main() -> int:\n    machine.idle()  # here\n    return 0", "wants an integer as argument 1, not nothing"),
}  # fmt: skip


def check(folder: Path, source: str, words: str) -> None:
    """Build it and read the message."""
    file = write(folder, source)
    lines = file.read_text().splitlines()
    with pytest.raises(CompileError) as caught:
        build(file)
    assert words in caught.value.text
    assert Path(caught.value.file).name == "service.py"
    assert caught.value.line == next(i for i, text in enumerate(lines, 1) if "# here" in text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", USUAL)
def test_a_mistake_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    check(tmp_path, *USUAL[name])


@pytest.mark.full
@pytest.mark.parametrize("name", RARE)
def test_a_rarer_mistake_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    check(tmp_path, *RARE[name])


def test_a_service_without_main_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="a service has a function"):
        build(write(tmp_path, "x = 1"))
