"""Random instructions do on every engine what they do on qemu: registers, memory, flags and all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import engines
import oracles
import pytest
import streams

from denali.isa.definitions.record import Cause, Op
from denali.isa.translator.units import Program


def on_engine(engine: str, stream: streams.Stream) -> bytes:
    """The blocks that one of our engines leaves; it stops at the first system call."""
    outcome = engines.run(engine, stream.image, fuel=10**9, private_size=stream.private_size)
    assert outcome.cause is Cause.ENVIRONMENT_CALL, f"{outcome.cause!r} at {outcome.pc:#x}, value {outcome.value:#x}"
    return outcome.memory[: stream.size]


def on_qemu(stream: streams.Stream, folder: Path) -> bytes:
    """The blocks that qemu-riscv64 leaves."""
    file = folder / "stream.elf"
    file.write_bytes(stream.elf)
    file.chmod(0o700)
    command = [oracles.tool(oracles.QEMU), "-cpu", "rv64,zba=true,zbb=true,zbs=true", str(file)]
    return subprocess.run(command, capture_output=True, check=True, timeout=250, env={**os.environ}).stdout


def compare(stream: streams.Stream, folder: Path, tried: Sequence[str] = engines.ENGINES) -> None:
    expected = on_qemu(stream, folder)
    for engine in tried:
        wrong = stream.differences(on_engine(engine, stream), expected)
        count = f"{engine}: {len(wrong)} cases of {len(stream.cases)} differ"
        assert not wrong, count + " (ours, theirs):\n" + "\n".join(wrong[:8])


@oracles.needs(oracles.QEMU)
@pytest.mark.parametrize("group", sorted(set(streams.GROUPS)))
def test_each_instruction_does_what_it_does_on_qemu(group: str, tmp_path: Path) -> None:
    members = [one for one in streams.POOL if one.extension == group]
    compare(streams.each(members), tmp_path)


@oracles.needs(oracles.QEMU)
@pytest.mark.parametrize("seed", range(2))
def test_random_instructions_do_what_they_do_on_qemu(seed: int, tmp_path: Path) -> None:
    compare(streams.make(seed, cases=100), tmp_path)


def test_what_can_be_translated_of_a_case_is_translated() -> None:
    """Only what reads or writes fcsr, names a rounding mode or fences is left to the interpreter."""
    stream = streams.each(streams.POOL, times=1)
    functions = Program(stream.image).functions
    left = set[str]()
    for symbol in stream.image.functions:
        if symbol.name.startswith("case"):
            one = streams.POOL[int(symbol.name[4:])]
            native = {at.instruction for block in functions[symbol.start].blocks.values() for at in block.code}
            left |= set() if one in native else {one.name}
    controls = {one.name for one in streams.POOL if one.has(Op.SET_STATUS, Op.FENCE_I)}
    assert controls <= left
    rounded = {one.name for one in streams.POOL if "rm" in one.operands}
    assert left - controls <= rounded, "native code leaves more to the interpreter, and tests of it must follow"
