"""C programs as guests: what they print and return is what they print and return on real machines."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from c_guest import MEMORY, run_guest
from engines import ENGINES, Call, run

from denali.isa.context import Status
from denali.isa.definitions.record import ALL_ONES
from denali.isa.image import Image
from denali.isa.virtual import Service
from denali.libos import cc, numbers

HERE = Path(__file__).parent
PROGRAMS = {"sums": (), "formats": ("-DFEW",)}


def compile_text(folder: Path, text: str, *flags: str, compiler: str | None = None) -> Path:
    (folder / "prog.c").write_text(text)
    cc.build([folder / "prog.c"], folder / "prog.elf", compiler=compiler, flags=flags)
    return folder / "prog.elf"


def need(compiler: str) -> str:
    if cc.FINDERS[compiler]() is None:
        pytest.skip(f"no {compiler} for RISC-V here: {cc.INSTALL[compiler]}")
    return compiler


@pytest.fixture(params=cc.FINDERS)
def compiler(request: pytest.FixtureRequest) -> str:
    return need(request.param)


@pytest.fixture(scope="module", autouse=True)
def some_compiler() -> None:
    try:
        cc.find()
    except cc.BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def real(command: list[str], source: Path, flags: tuple[str, ...], folder: Path, runner: list[str]) -> tuple[str, int]:
    """What a real machine (or qemu) prints and returns."""
    for tool in (command[0], *runner[:1]):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    target = str(folder / "real")
    subprocess.run([*command, "-w", "-O1", *flags, str(source), "-o", target, "-lm"], check=True)
    result = subprocess.run([*runner, target], capture_output=True, text=True, check=False)
    return result.stdout, result.returncode


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_guest_prints_and_returns_what_the_program_does_on_the_host(
    program: str, compiler: str, tmp_path: Path
) -> None:
    source, flags = HERE / f"{program}.c", PROGRAMS[program]
    expected = real(["gcc", "-funsigned-char"], source, flags, tmp_path, [])
    cc.build([source], tmp_path / "guest.elf", compiler=compiler, flags=flags)
    guest = run_guest(tmp_path / "guest.elf")
    assert (guest.console, guest.exit_status) == expected


def test_every_engine_prints_and_returns_the_same(engine: str, tmp_path: Path) -> None:
    cc.build([HERE / "sums.c"], tmp_path / "guest.elf")
    expected = real(["gcc"], HERE / "sums.c", (), tmp_path, [])
    guest = run_guest(tmp_path / "guest.elf", engine)
    assert (guest.console, guest.exit_status) == expected


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_guest_prints_and_returns_what_qemu_says(program: str, tmp_path: Path) -> None:
    source, flags = HERE / f"{program}.c", PROGRAMS[program]
    expected = real(["riscv64-linux-gnu-gcc", "-static"], source, flags, tmp_path, ["qemu-riscv64"])
    cc.build([source], tmp_path / "guest.elf", flags=flags)
    guest = run_guest(tmp_path / "guest.elf")
    assert (guest.console, guest.exit_status) == expected


@pytest.mark.full
def test_every_conversion_of_every_kind_of_double_is_exact(compiler: str, engine: str, tmp_path: Path) -> None:
    expected = real(["gcc"], HERE / "formats.c", (), tmp_path, [])
    cc.build([HERE / "formats.c"], tmp_path / "guest.elf", compiler=compiler, flags=["-w"])
    guest = run_guest(tmp_path / "guest.elf", engine)
    assert (guest.console, guest.exit_status) == expected


def test_the_header_is_derived_from_the_machine() -> None:
    assert numbers.HEADER.read_text() == numbers.header(), "run python -m denali.libos.numbers"


def test_nothing_is_both_writable_and_executable(compiler: str, tmp_path: Path) -> None:
    text = "int zeroed[99], set = 7; const char kept[] = {1, 2, 3}; int main(void) { return zeroed[set] + kept[1]; }"
    image = Image.load(compile_text(tmp_path, text, compiler=compiler))
    assert image.ro_start == image.text_start == 0x10000
    assert image.text_end <= image.ro_end <= image.private_start
    assert image.private_start % 4096 == 0
    assert {"main", "_start"} <= {function.name for function in image.functions}
    assert image.private_start <= image.object("set").start


def test_a_trap_names_function_and_line(compiler: str, tmp_path: Path) -> None:
    reads = "int *volatile nowhere;\n\n__attribute__((noinline)) int reads(int *p)\n{\n    return *p;\n}\n"
    text = reads + "int main(void) { return reads(nowhere); }\n"
    guest = run_guest(compile_text(tmp_path, text, compiler=compiler))
    assert guest.outcome.status is Status.TRAP
    assert guest.place == ("reads", 5)


def test_a_failed_assertion_is_the_message(compiler: str, tmp_path: Path) -> None:
    text = "#include <assert.h>\nint main(void) {\n    assert(1 + 1 == 2);\n    assert(1 + 1 == 3);\n}\n"
    guest = run_guest(compile_text(tmp_path, text, compiler=compiler))
    assert guest.failure is not None
    assert guest.failure.endswith("prog.c:4: assertion failed: 1 + 1 == 3")


def test_abort_is_a_failure(tmp_path: Path) -> None:
    guest = run_guest(compile_text(tmp_path, "#include <stdlib.h>\nint main(void) { abort(); }\n"))
    assert guest.failure == "abort"


def test_what_if_the_console_takes_only_a_few_bytes(tmp_path: Path) -> None:
    text = '#include <stdio.h>\nint main(void) { for (int i = 0; i < 40; i++) printf("line %d, ", i); return 0; }'
    guest = run_guest(compile_text(tmp_path, text), console_takes=3)
    assert guest.console == "".join(f"line {i}, " for i in range(40))


def test_what_if_memory_runs_out(tmp_path: Path) -> None:
    text = """#include <stdio.h>
    #include <stdlib.h>
    int main(void) {
        int blocks = 0, again = 0;
        void *last = NULL;
        for (void **p; (p = malloc(1000)); last = p, blocks++) *p = last;
        for (void *next; last; last = next) next = *(void **)last, free(last);
        while (malloc(1000)) again++;
        printf("%d %d %d", blocks > 40, blocks == again, malloc(-1ul) == NULL);
        return 0;
    }"""
    assert run_guest(compile_text(tmp_path, text)).console == "1 1 1"


def test_constructors_run_before_main(tmp_path: Path) -> None:
    before = "static int set;\n__attribute__((constructor)) static void before(void) { set = 5; }\n"
    text = before + "int main(void) { return set; }"
    assert run_guest(compile_text(tmp_path, text)).exit_status == 5


def test_the_registers_page_is_read_without_a_trap(tmp_path: Path) -> None:
    text = "#include <denali.h>\nint main(void) { return denali_registers()->handler == 0; }"
    assert run_guest(compile_text(tmp_path, text)).exit_status == 1


@pytest.mark.parametrize(
    ("call", "number", "a", "b"),
    [
        ("denali_idle(DENALI_FOREVER)", Service.IDLE, ALL_ONES, 0),
        ("denali_send((void *)5, 6)", Service.SEND, 5, 6),
        ("denali_receive((void *)5, 6)", Service.RECEIVE, 5, 6),
        ("denali_gather((void *)5, 34, (void *)6, 7)", Service.GATHER, 34 << 32 | 5, 7 << 32 | 6),
        ("denali_peek((void *)5, 6, 7)", Service.PEEK, 5, 6 << 32 | 7),
        ("denali_clock()", Service.CLOCK, 0, 0),
        ("denali_mark()", Service.MARK, 0, 0),
        ("denali_accept((void *)5)", Service.ACCEPT, 5, 0),
        ("denali_read(7, (void *)5, 6)", Service.READ, 5, 7 << 32 | 6),
        ("denali_write(7, (void *)5, 6)", Service.WRITE, 5, 7 << 32 | 6),
        ("denali_close(7, DENALI_CLOSE_HALF)", Service.CLOSE, 7, 2),
        ("denali_return()", Service.RETURN, 0, 0),
    ],
)
def test_each_inline_function_is_its_virtual_instruction(
    call: str, number: int, a: int, b: int, compiler: str, tmp_path: Path
) -> None:
    seen: list[tuple[int, int, int]] = []

    def service(asked: Call) -> int:
        seen.append((asked.number, asked.a & ALL_ONES, asked.b & ALL_ONES))
        return asked.leave()

    elf = compile_text(tmp_path, f"#include <denali.h>\nint main(void) {{ {call}; return 0; }}\n", compiler=compiler)
    run("interpreter", Image.load(elf), fuel=1000, private_size=MEMORY, service=service)
    assert seen == [(number, a, b)]


def test_a_program_that_is_wrong_gives_the_compilers_words(compiler: str, tmp_path: Path) -> None:
    with pytest.raises(cc.BuildError, match=r"prog\.c:1:.*unknown_name"):
        compile_text(tmp_path, "int main(void) { return unknown_name; }", compiler=compiler)


def test_a_missing_compiler_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(shutil, "which", nothing)
    monkeypatch.setattr(cc, "find_spec", nothing)
    with pytest.raises(cc.BuildError, match=r"gcc-riscv64-linux-gnu.*denali-py\[c\]"):
        cc.find()


def test_the_command_builds_and_passes_flags_on(tmp_path: Path) -> None:
    (tmp_path / "prog.c").write_text("int main(void) { return STATUS; }")
    command = [sys.executable, "-m", "denali", "cc", "prog.c", "--", "-DSTATUS=9"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "bytes of text" in result.stderr
    assert run_guest(tmp_path / "prog.elf").exit_status == 9


def test_the_command_says_in_one_line_that_a_file_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "denali", "cc", "nowhere.c"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == ["denali-py: nowhere.c: no such file"]
