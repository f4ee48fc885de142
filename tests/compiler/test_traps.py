"""What raises under CPython stops a guest, with a message that names the class, the file and the line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from denali.isa.image import Image
from denali.libos.compiler import build

from .guest import Run, run_image, write

# Each case: its body, of which the line with "# here" is the one to be named, and how the message starts.
CASES = {
    "index": ("cells[which[1] + 4] = 1  # here", "IndexError: index is out of bounds"),
    "negative index": ("print(cells[which[1] - 5])  # here", "IndexError: index is out of bounds"),
    "two dimensions": ("grid[1, which[1] + 3] = 1  # here", "IndexError: index is out of bounds"),
    "tuple": ("t = (1, 2, 3)\nprint(t[which[1] + 3])  # here", "IndexError: tuple index out of range"),
    "division": ("print(7 // which[1])  # here", "ZeroDivisionError: "),
    "remainder": ("print(7 % which[1])  # here", "ZeroDivisionError: "),
    "true division": ("print(int(7 / which[1]))  # here", "ZeroDivisionError: division by zero"),
    "float division": ("print(int(float(which[1] + 1) / which[1]))  # here", "ZeroDivisionError: division by zero"),
    "assertion": ("assert which[1] == 1, 'one expected'  # here", "AssertionError: one expected"),
    "bare assertion": ("assert which[1] == 1  # here", "AssertionError"),
    "raise": ("raise ValueError('no such thing')  # here", "ValueError: no such thing"),
    "raise a class": ("raise RuntimeError  # here", "RuntimeError"),
    "called function": ("print(raises(which[1]))", "KeyError: "),
    "lengths": ("cells[0:2] = cells[0 : which[1] + 3]  # here", "ValueError: the two sides differ in length"),
    "next": ("walk = count(0)\nprint(next(walk))  # here", "StopIteration"),
    "send": ("machine.send(frame, which[1] + 61)  # here", "IndexError: length outside the buffer"),
    "send a negative length": ("machine.send(frame, which[1] - 1)  # here", "IndexError: length outside the buffer"),
    "fail": ("machine.fail(b'as I say')", "as I say"),
}

HEAD = """
which = np.full(2, -1, np.int64)
cells = np.zeros(4, np.int64)
grid = np.zeros((2, 3), np.int64)
frame = np.zeros(60, np.uint8)


def raises(n: int) -> int:
    if n == 0:
        raise KeyError("which")  # there
    return n


def count(limit: int):
    for n in range(limit):
        yield n


"""


def body() -> str:
    """One function for each case, and a main that calls the one that is asked for."""
    text = HEAD
    for number, (code, _) in enumerate(CASES.values()):
        text += f"def case_{number}() -> None:\n" + "".join(f"    {line}\n" for line in code.splitlines()) + "\n\n"
    text += "def main() -> int:\n    which[1] = 0\n"
    text += "".join(f"    if which[0] == {number}:\n        case_{number}()\n" for number in range(len(CASES)))
    return text + "    return 0\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Image]:
    file = write(tmp_path_factory.mktemp("traps"), body())
    return file, Image.from_elf(build(file), "service")


def run_case(image: Image, number: int, engine: str) -> Run:
    """Run the case: its number is written into the guest's data."""
    symbol = image.object("service.which")
    at = symbol.start - image.private_start
    data = image.data[:at] + number.to_bytes(8, "little") + image.data[at + 8 :]
    return run_image(dataclasses.replace(image, data=data), engine)


def line_of(file: Path, number: int) -> int:
    """The line that the message must name."""
    lines = file.read_text().splitlines()
    start = lines.index(f"def case_{number}() -> None:")
    return next((i + 1 for i in range(start, len(lines)) if "# here" in lines[i]), 0) if start >= 0 else 0


@pytest.mark.parametrize("name", CASES)
def test_what_raises_names_class_file_and_line(service: tuple[Path, Image], name: str) -> None:
    file, image = service
    number = list(CASES).index(name)
    end = run_case(image, number, "interpreter")
    code, start = CASES[name]
    assert end.failure is not None
    assert end.failure.startswith(start)
    if "# here" in code:
        assert end.failure.endswith(f"(service.py, line {line_of(file, number)}, in case_{number})")
        assert "\n" not in end.failure


def test_a_function_that_was_called_names_its_own_line(service: tuple[Path, Image]) -> None:
    file, image = service
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if "# there" in text)
    end = run_case(image, list(CASES).index("called function"), "interpreter")
    assert end.failure == f"KeyError: which (service.py, line {line}, in raises)"


def test_nothing_is_raised_when_no_case_is_asked_for(service: tuple[Path, Image]) -> None:
    end = run_case(service[1], 1000, "interpreter")
    assert (end.failure, end.exit_status) == (None, 0)


def test_the_line_table_knows_the_line_of_every_call(service: tuple[Path, Image]) -> None:
    file, image = service
    lines = {image.line_at(pc) for pc in range(image.text_start, image.text_end, 2)}
    named = {line for place in lines if place is not None and place[0] == file.name for line in [place[1]]}
    wanted = {i for i, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text}
    assert wanted <= named
