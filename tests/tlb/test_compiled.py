"""Native functions: compiled apart, kept on disk, and called without numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import denali.kernel.kernel
from denali.tlb import compiled

MODULE = """
from __future__ import annotations
from denali.tlb.compiled import entry
from denali.tlb.native import numbers_at

@entry
def third(address: int, count: int) -> int:
    return numbers_at(address, count)[2]

@entry
def below(one: int, other: int) -> bool:
    return one < other
"""


def told(folder: Path, script: str, source: str = MODULE, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a process says that has `source` as its module `natives`."""
    (folder / "natives.py").write_text(source)
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    variables = {**os.environ, "PYTHONPATH": path, "DENALI_CACHE": str(folder / "cache"), **environment}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=False)


def test_with_its_object_on_disk_a_kernel_starts_without_numba_and_llvm() -> None:
    compiled.prepare("denali.kernel")
    script = (
        "import sys\n"
        "from denali.kernel.kernel import Kernel\n"
        "with Kernel(frames=64, capacity=4) as kernel: kernel.metrics()\n"
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_integers_and_truth_values_go_in_and_out(tmp_path: Path) -> None:
    script = (
        "import natives, numpy as np\n"
        "numbers = np.array([5, 6, -7])\n"
        "assert natives.third(numbers.ctypes.data, 3) == -7\n"
        "assert natives.below(-1, 1) is True and natives.below(1, -1) is False\n"
    )
    assert told(tmp_path, script).stderr == ""


def test_with_bounds_checked_an_index_out_of_range_ends_the_process_and_names_the_function(tmp_path: Path) -> None:
    script = "import natives, numpy as np; natives.third(np.zeros(2, int).ctypes.data, 2)"
    done = told(tmp_path, script, NUMBA_BOUNDSCHECK="1")
    assert done.returncode == -6
    assert "third" in done.stderr
    assert "IndexError" in done.stderr


def test_what_cannot_be_compiled_is_said_with_its_line(tmp_path: Path) -> None:
    done = told(tmp_path, "import natives; natives.below(1, 2)", MODULE.replace("one < other", "one.imag.nothing"))
    assert "natives.py" in done.stderr
    assert "one.imag.nothing" in done.stderr


def test_an_edit_of_any_file_of_native_functions_makes_a_new_object(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {Path(compiled.__file__).resolve().parent / "flat.py", Path(denali.kernel.kernel.__file__).resolve()}
    read = Path.read_bytes
    names = {compiled.stamp()}
    for file in files:
        compiled.stamp.cache_clear()

        def edited(path: Path, file: Path = file) -> bytes:
            return read(path) + b"#" * (path == file)

        monkeypatch.setattr(Path, "read_bytes", edited)
        names.add(compiled.stamp())
    compiled.stamp.cache_clear()
    assert len(names) == 1 + len(files)
