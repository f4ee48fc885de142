"""What a guest computes is what CPython computes: the same functions, run in both."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from pathlib import Path
from types import ModuleType

import pytest

from denali.isa.image import Image
from denali.libos.compiler import build

from .guest import run_image

SNIPPETS = Path(__file__).parent / "snippets"
AREAS = sorted(path.stem for path in SNIPPETS.glob("*.py"))


def service(folder: Path, area: str, cases: list[str]) -> Path:
    """A service that runs all cases of an area, each under its name."""
    file = folder / f"all_{area}.py"
    head = f"import sys\nsys.path.insert(0, {str(SNIPPETS)!r})\nimport {area}\n\n\ndef main() -> int:\n"
    file.write_text(head + "".join(f"    print({case!r})\n    {area}.{case}()\n" for case in cases) + "    return 7\n")
    return file


def expected(module: ModuleType) -> str:
    """What CPython prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        for case in module.CASES:
            print(case.__name__)
            case()
    return text.getvalue()


@pytest.mark.parametrize("area", AREAS)
def test_a_guest_prints_what_cpython_prints(area: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(SNIPPETS), *sys.path])
    module = importlib.import_module(area)
    image = build(service(tmp_path, area, [case.__name__ for case in module.CASES]))
    end = run_image(Image.from_elf(image, area))
    assert end.failure is None
    assert end.console == expected(module)
    assert end.exit_status == 7
