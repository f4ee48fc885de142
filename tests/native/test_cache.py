"""The cache: entries appear whole, are checked, and are bounded; nothing that is wrong with it is an error."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from denali.commands.cache import cache as command
from denali.isa.runtime.cache import Cache, code_version, is_concerned, key, limit_of


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_what_was_put_is_got(cache: Cache) -> None:
    cache.put("kind", "name", b"content")
    assert cache.get("kind", "name") == b"content"
    assert cache.get("kind", "other") is None
    assert cache.get("other", "name") is None


def test_different_parts_have_different_keys() -> None:
    names = {key("ab", "c"), key("a", "bc"), key("abc"), key(b"abc", b""), key("ab", "c", "")}
    assert len(names) == 5
    assert key("ab", 1) == key(b"ab", "1")


def test_the_version_of_the_code_is_stable_within_a_run() -> None:
    assert code_version() == code_version()


def test_what_the_version_leaves_out_makes_no_native_code() -> None:
    program = "import sys, denali.isa.runtime.compile; print(*(n for n in sys.modules if n.startswith('denali.isa.')))"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    used = {name.removeprefix("denali.isa.").replace(".", "/") for name in run.stdout.split()}
    assert "translator/translate" in used
    assert all(is_concerned(f"{name}.py") for name in used)


@pytest.mark.parametrize("place", [0, 9, 20, 45, -1])
def test_a_damaged_entry_is_ignored_with_a_note(cache: Cache, place: int, caplog: pytest.LogCaptureFixture) -> None:
    cache.put("kind", "name", b"content" * 10)
    path = cache.path("kind", "name")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert cache.get("kind", "name") is None
    assert "ignored" in caplog.text
    cache.put("kind", "name", b"new")
    assert cache.get("kind", "name") == b"new"


@pytest.mark.parametrize("length", [0, 5, 8, 39, 40, 60])
def test_a_cut_entry_is_ignored(cache: Cache, length: int) -> None:
    cache.put("kind", "name", b"content" * 10)
    path = cache.path("kind", "name")
    path.write_bytes(path.read_bytes()[:length])
    assert cache.get("kind", "name") is None


def test_an_entry_others_can_write_is_ignored(cache: Cache) -> None:
    cache.put("kind", "name", b"content")
    cache.path("kind", "name").chmod(0o666)
    assert cache.get("kind", "name") is None


def test_an_entry_is_for_its_user_only(cache: Cache) -> None:
    cache.put("kind", "name", b"content")
    assert cache.path("kind", "name").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    cache.put("kind", "name", b"content")
    assert "cannot keep" in caplog.text
    assert cache.get("kind", "name") is None


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=10_000)
    for number in range(8):
        cache.put("kind", str(number), bytes(1000))
        os.utime(cache.path("kind", str(number)), (number, number))
    os.utime(cache.path("kind", "0"))
    cache.put("kind", "last", bytes(3000))
    there = {path.name for path, _, _ in cache.entries()}
    assert {"0", "last"} <= there
    assert "1" not in there
    assert sum(size for _, size, _ in cache.entries()) <= 10_000


def test_use_is_noted(cache: Cache) -> None:
    cache.put("kind", "name", b"content")
    os.utime(cache.path("kind", "name"), (1, 1))
    assert cache.get("kind", "name") == b"content"
    assert cache.path("kind", "name").stat().st_mtime > time.time() - 60


def test_readers_see_whole_entries_while_many_write(cache: Cache) -> None:
    contents = {bytes([number]) * 50_000 for number in range(4)}
    stop = threading.Event()

    def write(content: bytes) -> None:
        while not stop.is_set():
            cache.put("kind", "name", content)

    cache.put("kind", "name", next(iter(contents)))
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    seen = [cache.get("kind", "name") for _ in range(200)]
    stop.set()
    for writer in writers:
        writer.join()
    assert set(seen) <= contents
    assert [path.name for path, _, _ in cache.entries()] == ["name"]


def test_processes_share_it(cache: Cache) -> None:
    program = "import sys, denali.isa.runtime.cache as c; c.Cache(sys.argv[1]).put('kind', sys.argv[2], b'x' * 1000)"
    command = [sys.executable, "-c", program, str(cache.folder)]
    for one in [subprocess.Popen([*command, str(number)]) for number in range(3)]:
        assert one.wait() == 0
    assert [cache.get("kind", str(number)) for number in range(3)] == [b"x" * 1000] * 3


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DENALI_CACHE", str(tmp_path))
    assert Cache().folder == tmp_path


def test_an_entry_in_anothers_place_is_ignored(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    cache.put("kind", "name", b"content")
    cache.path("kind", "name").rename(cache.path("kind", "other"))
    with caplog.at_level(logging.WARNING):
        assert cache.get("kind", "other") is None
    assert "another entry's" in caplog.text


def test_the_limit_can_be_set_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENALI_CACHE_LIMIT", "2K")
    cache = Cache(tmp_path)
    for number in range(8):
        cache.put("kind", str(number), bytes(500))
        assert sum(size for _, size, _ in cache.entries()) <= 2048


@pytest.mark.parametrize("text", ["much", "-1", "1.5G", "K", "12Q", "١"])
def test_a_limit_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        limit_of(text)


def test_the_command_shows_checks_bounds_and_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENALI_CACHE", str(tmp_path))
    cache, run = Cache(), CliRunner().invoke
    for number in range(4):
        cache.put("native", str(number), bytes(1000))
    shown = json.loads(run(command, ["--json", "--verify"]).output)
    assert (shown["entries"], shown["faults"], shown["kinds"]["native"]["entries"]) == (4, [], 4)
    cache.path("native", "2").write_bytes(b"foreign")
    checked = run(command, ["--verify"])
    assert checked.exit_code == 1
    assert "native/2 is ignored: it is none of ours" in checked.output
    assert json.loads(run(command, ["--limit", "2K", "--json"]).output)["bytes"] <= 2048
    assert json.loads(run(command, ["--clear", "--json"]).output)["entries"] == 0
    assert run(command, ["--limit", "much"]).exit_code == 2
