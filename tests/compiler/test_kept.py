"""Compiled functions on disk: found again by any service, and never when what they were made from has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from denali.isa.image import Image
from denali.isa.runtime.cache import Cache
from denali.libos.compiler import build, kept

from .guest import run_image

Build = Callable[..., tuple[int | None, list[str]]]

TOOLS = """import numpy as np

SCALE = 3
cells = np.arange(4)
pair = (cells, 5)


def scaled(n: int) -> int:
    return n * SCALE


def total() -> int:
    s = 0
    for i in range(len(cells)):
        s += cells[i]
    return scaled(s) + pair[1] + min(s, 1)


def down(n: int) -> int:
    return 0 if n == 0 else 1 + down(n - 1)
"""
FIRST = "import tools\n\n\ndef main() -> int:\n    return tools.total() + tools.down(2)\n"
SECOND = "import tools\n\n\ndef main() -> int:\n    return 1 + tools.total() + tools.down(2)\n"
ALL = ["tools.down", "tools.scaled", "tools.total"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build and run a service beside `tools.py`; gives its exit status and what of it and the tools was compiled."""
    monkeypatch.setenv("DENALI_CACHE", str(tmp_path / "cache"))

    def make(name: str, text: str, tools: str = TOOLS) -> tuple[int | None, list[str]]:
        (tmp_path / "tools.py").write_text(tools)
        service, said = tmp_path / f"{name}.py", list[str]()
        service.write_text(text)
        image = Image.from_elf(build(service, progress=said.append), name)
        compiled = [line.split()[-1] for line in said if "compiling " in line and ": " in line]
        return run_image(image).exit_status, sorted(f for f in compiled if f.startswith(("tools.", f"{name}.")))

    return make


def test_a_function_is_compiled_once_for_all_services(made: Build) -> None:
    assert made("first", FIRST) == (26, ["first.main", *ALL])
    assert made("second", SECOND) == (27, ["second.main"])


def test_an_image_is_the_same_with_and_without_kept_functions(
    made: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("first", FIRST)
    made("second", SECOND)
    reused = build(tmp_path / "second.py")
    monkeypatch.setenv("DENALI_CACHE", str(tmp_path / "other"))
    assert build(tmp_path / "second.py") == reused


@pytest.mark.parametrize(
    ("old", "new", "status", "compiled"),
    [
        ("SCALE = 3", "SCALE = 4", 32, ["tools.scaled"]),  # a number that it names
        ("n * SCALE", "n * 2", 20, ["tools.scaled"]),  # its own text; its callers go on as they are
        ("n * SCALE", "n > SCALE", 9, ["tools.scaled", "tools.total"]),  # it returns something else
        ("np.arange(4)", "np.arange(5)", 38, []),  # how large an array is, and what it holds
        ("np.arange(4)", "np.arange(4, dtype=np.int16)", 26, ["tools.total"]),  # what an array is made of
        ("(cells, 5)", "(cells, 6)", 27, ["tools.total"]),  # within a tuple
        ("down(n: int)", "down(n: int, m: int = 7)", 26, ["tools.down"]),  # how it is called
        ("import numpy", "\nimport numpy", 26, ALL),  # the lines that its messages name
    ],
)
def test_what_has_changed_is_compiled_again(made: Build, old: str, new: str, status: int, compiled: list[str]) -> None:
    made("first", FIRST)
    result, again = made("second", f"{SECOND}    # {new}\n", TOOLS.replace(old, new))
    assert result == status + 1
    assert again == ["second.main", *compiled]


@pytest.mark.parametrize("lost", [0, 1])
def test_damaged_and_lost_entries_are_made_again(made: Build, tmp_path: Path, lost: int) -> None:
    made("first", FIRST)
    entries = sorted((tmp_path / "cache" / "functions").iterdir())
    assert len(entries) >= 5  # the tools, main, and numba's `min`
    for number, entry in enumerate(entries):
        if number % 2 == lost:
            entry.unlink()
        else:
            entry.write_bytes(entry.read_bytes()[:-3] + b"???")
    assert made("second", SECOND) == (27, ["second.main", *ALL])


def test_an_array_without_a_name_is_none_that_could_be_found_again(made: Build) -> None:
    tools = (
        TOOLS
        + "\n\ndef hidden():\n    array = np.zeros(2, np.int64)\n    return lambda: array[0] + 7\n\n\nf = hidden()\n"
    )
    text = "import tools\n\n\ndef main() -> int:\n    return tools.f()\n"
    assert made("first", text, tools)[0] == 7
    assert made("second", text + "    # again\n", tools) == (7, ["second.main", "tools.hidden.<locals>.<lambda>"])


def test_functions_that_call_each_other_and_functions_as_arguments_are_compiled_each_time(made: Build) -> None:
    tools = """
def even(n: int) -> bool:
    return True if n == 0 else odd(n - 1)


def odd(n: int) -> bool:
    return False if n == 0 else even(n - 1)


def twice(f, n: int) -> int:
    return f(f(n))


def more(n: int) -> int:
    return n + 1
"""
    text = "import tools\n\n\ndef main() -> int:\n    return 10 * tools.even(7) + tools.twice(tools.more, 3)\n"
    assert made("first", text, tools)[0] == 5
    status, compiled = made("second", text + "    # again\n", tools)
    assert status == 5
    assert "tools.twice" in compiled
    assert "tools.more" not in compiled


def test_two_functions_of_one_name_are_told_apart(made: Build) -> None:
    tools = "def adder(n):\n    return lambda x: x + n\n\n\nfirst, second = adder(1), adder(10)\n"
    text = "import tools\n\n\ndef main() -> int:\n    return 100 * tools.first(1) + tools.second(1)\n"
    for service in ("first", "second"):
        assert made(service, text, tools)[0] == 211


def test_the_cache_is_cleared_with_the_rest(made: Build, tmp_path: Path) -> None:
    made("first", FIRST)
    assert Cache(tmp_path / "cache").clean(0) > len(ALL)
    assert made("second", SECOND) == (27, ["second.main", *ALL])


def test_who_has_waited_for_another_for_too_long_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENALI_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "PATIENCE_S", 0.1)
    kept.store.cache_clear()
    said, done = list[str](), list[str]()
    with kept.taking_turns(said.append):
        assert not said
        with kept.taking_turns(said.append):
            done.append("second")
    kept.store.cache_clear()
    assert done
    assert "waiting" in said[0]
