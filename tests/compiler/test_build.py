"""Building: the same bytes every time, kept until a source changes, and an image that any tool reads."""

from __future__ import annotations

import subprocess
import sysconfig
from importlib import import_module
from pathlib import Path

import pytest

from denali import CompileError
from denali.isa.image import Image
from denali.libos.compiler import build, worker

from .guest import run_image, write

SERVICE = """
from neighbour import FACTOR, scaled

count = np.zeros(3, np.int64)
table = np.array([5, 6, 7], np.int64)
fixed = np.array([1, 2], np.int64)
fixed.flags.writeable = False


def total(cells) -> int:
    s = 0
    for c in cells:
        s += c
    return s


def main() -> int:
    count[1] = total(table) + total(fixed)
    return scaled(count[1]) + FACTOR
"""
NEIGHBOUR = "FACTOR = 100\n\n\ndef scaled(n: int) -> int:\n    return 2 * n\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    (folder / "neighbour.py").write_text(NEIGHBOUR)
    return write(folder, SERVICE)


def build_anew(service: Path, cache: Path) -> bytes:
    """Build with an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENALI_CACHE", str(cache))
        return build(service)


def test_the_same_service_gives_the_same_bytes(service: Path, tmp_path: Path) -> None:
    assert build_anew(service, tmp_path / "a") == build_anew(service, tmp_path / "b")


def test_a_second_build_comes_from_the_cache_until_a_source_changes(service: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENALI_CACHE", str(tmp_path))
        first = build(service, progress=said.append)
        assert said
        said.clear()
        assert build(service, progress=said.append) == first
        assert not said
        neighbour = service.with_name("neighbour.py")
        neighbour.write_text(NEIGHBOUR.replace("100", "200"))
        try:
            second = build(service, progress=said.append)
        finally:
            neighbour.write_text(NEIGHBOUR)
        assert said
    ends = [run_image(Image.from_elf(image, "service")).exit_status for image in (first, second)]
    assert ends == [2 * 21 + 100, 2 * 21 + 200]


def test_an_image_depends_on_our_files_even_where_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything_is_installed(kind: str) -> str:
        return "/"

    monkeypatch.setattr(sysconfig, "get_path", everything_is_installed)
    found = worker.sources()
    assert worker.__file__ in found
    assert not any(file.endswith("pytest/__init__.py") for file in found)


def test_the_image_names_functions_and_arrays(service: Path) -> None:
    image = Image.from_elf(build(service), "service")
    assert "service.main" in {s.name for s in image.functions}
    assert image.function_at(image.entry) == "_start"
    count, table = image.object("service.count"), image.object("service.table")
    assert (count.size, table.size) == (24, 24)
    start = table.start - image.private_start
    assert image.data[start : start + 24] == b"".join(n.to_bytes(8, "little") for n in (5, 6, 7))


def test_zeroed_arrays_take_no_bytes_and_read_only_ones_are_shared(service: Path) -> None:
    image = Image.from_elf(build(service), "service")
    names = {s.name: s.start for s in image.objects}
    assert names["service.count"] >= image.private_start + len(image.data)
    assert "service.fixed" not in names or names["service.fixed"] < image.ro_end


def test_the_host_finds_what_the_guest_wrote(service: Path) -> None:
    end = run_image(Image.from_elf(build(service), "service"))
    assert end.words("service.count") == [0, 21, 0]


def test_other_tools_read_the_image(service: Path, tmp_path: Path) -> None:
    file = tmp_path / "service.elf"
    file.write_bytes(build(service))
    try:
        tool = subprocess.run(["riscv64-linux-gnu-readelf", "-hlSs", file], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("binutils for riscv64 are not installed")
    assert "service.main" in tool.stdout
    assert tool.stderr == ""


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no service at"):
        build(tmp_path / "nothing.py")


def test_a_service_whose_import_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("denali.libos.compiler.build"), "LIMIT_S", 2)
    service = write(tmp_path, "import time\n\ntime.sleep(1000)\n\n\ndef main() -> int:\n    return 0\n")
    with pytest.raises(CompileError, match="was killed; it has 2 s"):
        build(service)
