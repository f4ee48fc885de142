"""The command: what it prints, where, and its exit status."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from denali.__main__ import COMMANDS
from denali.isa.image import FILE_LIMIT
from denali.libos.compiler import build

COMMAND = [sys.executable, "-m", "denali"]


def run(*arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False
    )


def service(folder: Path, body: str) -> Path:
    file = folder / "service.py"
    file.write_text(f"from denali.libos import machine\n\n\ndef main() -> int:\n{body}")
    return file


def test_the_console_is_our_output_and_the_exit_status_ours(tmp_path: Path) -> None:
    done = run("run", service(tmp_path, '    machine.console(b"one\\ntwo\\n")\n    return 300\n'))
    assert (done.stdout, done.returncode) == ("one\ntwo\n", 300 & 0xFF)


def test_a_long_console_is_whole(tmp_path: Path) -> None:
    body = '    for _ in range(20000):\n        text = b"0123456789abcdef\\n"\n        done = machine.console(text)\n'
    body += "        while done < 17:\n            machine.yield_()\n"
    body += "            done += machine.console(text[done:])\n    return 0\n"
    done = run("run", service(tmp_path, body))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0123456789abcdef\n" * 20000


def test_a_trap_is_a_message_and_status_70(examples: Path) -> None:
    done = run("run", examples / "hostile" / "null.py")
    assert done.returncode == 70
    assert "guest 1 (null): load access fault at 0x0" in done.stderr
    assert "null.py:" in done.stderr
    assert done.stdout == ""


def test_masked_guests_do_what_others_do(examples: Path) -> None:
    null = run("run", examples / "hostile" / "null.py", "--masked")
    assert null.returncode == 70
    said = null.stderr.removeprefix("compiling the interpreter\n")  # where no test before has needed a masked one
    assert said == run("run", examples / "hostile" / "null.py").stderr
    report = json.loads(run("spawn", examples / "counter.py", "--count", "20", "--once", "--json", "--masked").stdout)
    assert report["answered"] == 20


def test_inspect_shows_masks(examples: Path) -> None:
    shown = [
        run("inspect", examples / "hostile" / "null.py", "--show=asm", *flag).stdout for flag in ((), ("--masked",))
    ]
    assert shown[1].count("cmovaeq") > shown[0].count("cmovaeq")


def test_fuel_is_a_limit_for_life(examples: Path) -> None:
    done = run("run", examples / "hostile" / "endless_loop.py", "--fuel", "1000000")
    assert done.returncode == 70
    assert "used up its 1,000,000 instructions" in done.stderr


def test_a_service_that_never_asks_for_anything_is_stopped_unless_it_may_compute(examples: Path) -> None:
    endless = examples / "hostile" / "endless_loop.py"
    done = run("run", endless)
    assert done.returncode == 70
    assert "hung: 1,000,000,000 instructions without asking for anything" in done.stderr
    assert "endless_loop.py:" in done.stderr
    done = run("run", endless, "--watchdog", "0", "--fuel", "1100000000")
    assert "used up its 1,100,000,000 instructions" in done.stderr


def test_ctrl_c_says_where_the_guest_was(tmp_path: Path) -> None:
    body = '    n = 1\n    machine.console(b"go")\n    while n != 0:\n        n = n * 3 | 1\n    return n\n'
    command = [*COMMAND, "run", "--watchdog", "0", str(service(tmp_path, body))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.read(2) == b"go"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert b"guest 1 (service): killed: pc 0x" in said
    assert b"service.py:" in said
    assert b"Traceback" not in said


def test_nobody_who_reads_the_console_ends_the_guest(examples: Path) -> None:
    command = [*COMMAND, "run", str(examples / "hostile" / "console_flood.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("all work")
        running.stdout.close()
        assert running.wait(60) == 141
        assert running.stderr is not None
        assert "Traceback" not in running.stderr.read()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an ELF file"),
        (b"hello", "not an ELF file"),
        (b"\x7fELF" + bytes(100), "damaged"),
        (Path("/bin/true").read_bytes(), "64-bit little-endian RISC-V"),
    ],
    ids=["empty", "text", "truncated", "another machine's"],
)
def test_what_is_no_image_is_one_line_and_status_2(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "file.elf"
    file.write_bytes(content)
    done = run("run", file)
    assert done.returncode == 2
    assert "denali-py: file.elf: " in done.stderr
    assert reason in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("denali-py: ")]) == 1
    assert "Traceback" not in done.stderr


def test_a_file_too_large_to_be_an_image_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.elf"
    with file.open("wb") as sparse:
        sparse.truncate(FILE_LIMIT + 1)
    assert run("run", file).returncode == 2
    assert run("run", "/dev/zero").returncode == 2


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    done = run("run", tmp_path)
    assert (done.returncode, done.stderr) == (2, f"denali-py: {tmp_path}: Is a directory\n")


def test_the_half_of_an_image_is_refused(tmp_path: Path) -> None:
    whole = build(service(tmp_path, "    return 0\n"))
    half = tmp_path / "half.elf"
    half.write_bytes(whole[:-1])
    done = run("run", half)
    assert done.returncode == 2
    assert "truncated" in done.stderr


def test_a_service_that_cannot_compile_names_file_and_line(tmp_path: Path) -> None:
    done = run("run", service(tmp_path, "    return undefined\n"))
    assert done.returncode == 2
    assert "service.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_status_2() -> None:
    assert run("run", "nowhere.elf").returncode == 2


def test_spawn_tells_machines_everything_on_stdout() -> None:
    done = run("spawn", "--count", "50", "--once", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["guests"], report["answered"], report["failed"]) == (50, 50, 0)
    assert report["first_guest_s"] > 0
    assert report["spawn_ns_per_guest"] > 0
    assert report["bytes_per_guest"] > 0
    assert report["requests_per_second"] > 0
    assert 0 < report["latency_us"]["p50"] <= report["latency_us"]["p99"]


def test_spawn_of_a_service_that_does_not_answer_fails(examples: Path) -> None:
    done = run("spawn", examples / "hostile" / "null.py", "--count", "3", "--once", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["failed"] == 3


def test_spawn_says_why_guests_do_not_answer_a_few_by_name(examples: Path) -> None:
    done = run("spawn", examples / "hostile" / "null.py", "--count", "20", "--once")
    assert done.returncode == 1
    assert done.stderr.count("load access fault at 0x0") == 5
    assert "and 15 more were stopped" in done.stderr


def test_lines_for_a_pipe_are_not_broken() -> None:
    done = run("spawn", "--count", "3", "--port", "0", "--duration", "0")
    assert done.returncode == 0
    assert not any(line.endswith(" ") for line in done.stdout.splitlines())
    assert re.search(r"^Now .*curl http://127\.\S+:[1-9]\d*/ .*Ctrl-C ends\)$", done.stdout, re.MULTILINE), done.stdout


def asked(address: str, port: int) -> bytes:
    """What an HTTP server answers; nothing where there is none."""
    with contextlib.suppress(ConnectionError), socket.create_connection((address, port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(4096), b""))
    return b""


def test_guests_of_spawn_have_the_first_addresses_and_beyond_them_is_nobody() -> None:
    command = [*COMMAND, "spawn", "--count", "3", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        report = json.loads(serving.stdout.readline())
        assert report["addresses"] == ["127.1.0.1", "127.1.0.3"]
        for number in (1, 3):
            assert f"Hello from guest {number} ".encode() in asked(f"127.1.0.{number}", report["port"])
        assert asked("127.1.0.4", report["port"]) == b""
        serving.send_signal(signal.SIGINT)
        serving.wait(20)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--port", "-1"], "-1 is not in the range"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--duration", "-1"], "-1"),
        (["--fuel", "9" * 30], "is not in the range"),
        (["--watchdog", "9" * 30], "is not in the range"),
        (["--memory", "1T"], "bytes of memory; it takes"),
        (["--count", "1000000", "--memory", "1G"], r"frames (4 KiB each) asked for"),
        (["--swap", "/nowhere/swap"], "denali-py: /nowhere/swap: No such file or directory"),
    ],
    ids=lambda value: "".join(value)[:20],
)
def test_what_spawn_cannot_do_is_one_line_and_status_2(arguments: list[str], reason: str) -> None:
    done = run("spawn", "--once", *arguments)
    assert (done.returncode, reason in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_a_port_that_is_taken_is_said_before_anything_is_spawned() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("spawn", "--port", str(port))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"denali-py: port {port}: Address already in use" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_spawn_serves_until_it_is_told_to_stop(number: signal.Signals, status: int) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [*COMMAND, "spawn", "--count", "5", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        for line in serving.stdout:
            if "curl http://" in line:
                break
        with socket.create_connection(("127.1.0.5", port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")
            assert b"Hello from guest 5" in b"".join(iter(lambda: client.recv(4096), b""))
        serving.send_signal(number)
        serving.communicate(timeout=20)
        assert serving.returncode == status
    assert _nobody_listens(port)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_compiler_that_never_ends_ends_with_us(number: signal.Signals, status: int, tmp_path: Path) -> None:
    file = tmp_path / "service.py"
    file.write_text("import time\n\ntime.sleep(1000)\n\n\ndef main() -> int:\n    return 0\n")
    (tmp_path / "scratch").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    command = [*COMMAND, "run", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, start_new_session=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == b"compiling service.py\n"
        time.sleep(0.5)
        running.send_signal(number)
        assert running.wait(20) == status
        with pytest.raises(ProcessLookupError):
            os.killpg(running.pid, 0)
    assert list((tmp_path / "scratch").iterdir()) == []


def _nobody_listens(port: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.1.0.5", port)) != 0:
                return True
    return False


@pytest.mark.parametrize("show", ["map", "ops", "llvm", "asm"])
def test_inspect_shows_each_depth(show: str, examples: Path) -> None:
    done = run("inspect", examples / "hostile" / "null.py", f"--show={show}")
    assert done.returncode == 0, done.stderr
    assert {"map": "functions:", "ops": "null.main", "llvm": "define", "asm": "ret"}[show] in done.stdout


PYTHON = "from denali.libos import unsafe\n\n\n\ndef main() -> int:\n    return unsafe.load(8)\n"
C = "int *volatile nowhere;\n__attribute__((noinline)) int lost(int *p)\n{\n    p++;\n\n    return *p;\n}\n"
MAIN = "int main(void) { return lost(nowhere); }\n"


def lost(folder: Path, language: str) -> Path:
    """A program that reads address 8 or 4 in line 6."""
    if language == "python":
        (folder / "lost.py").write_text(PYTHON)
        return folder / "lost.py"
    (folder / "lost.c").write_text(C + MAIN)
    built = run("cc", folder / "lost.c", "-o", folder / "lost.elf")
    if "no C compiler for RISC-V found" in built.stderr:
        pytest.skip(built.stderr)
    assert built.returncode == 0, built.stderr
    return folder / "lost.elf"


@pytest.mark.parametrize(("language", "file"), [("python", "lost.py"), ("c", "lost.c")])
def test_a_trap_and_inspect_name_function_and_line(language: str, file: str, tmp_path: Path) -> None:
    program = lost(tmp_path, language)
    said = run("run", program).stderr
    found = re.search(rf"load access fault at 0x[48]: pc 0x(\w+) in ([\w.]*)\S* \({file}:6\)", said)
    assert found, said
    place, function = found.groups()
    shown = run("inspect", program, "--show=ops", "--function", function).stdout
    assert re.search(rf"^\w+ <{re.escape(function)}>:$", shown, re.MULTILINE), shown
    assert re.search(rf"^; {file}:6\n(?:(?!;).*\n)*? *{place}: ", shown, re.MULTILINE), shown


def test_inspect_of_a_function_that_is_not_there_lists_where_to_look(examples: Path) -> None:
    done = run("inspect", examples / "hostile" / "null.py", "--show=ops", "--function", "nothing")
    assert done.returncode == 2
    assert "--show=map" in done.stderr


def test_doctor_is_content_with_a_host_that_passes_these_tests() -> None:
    done = run("doctor", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["ready"] is True


def test_manual_explains_and_suggests() -> None:
    assert "divu" in run("manual", "divu").stdout
    done = run("manual", "divuu")
    assert done.returncode == 2
    assert "divu" in done.stderr


def test_help_of_every_command_has_an_example() -> None:
    for name in COMMANDS:
        assert f"\n  denali-py {name}" in run(name, "--help").stdout


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m denali manual | head -n 1"], capture_output=True, text=True, check=False,
        env={**os.environ},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
