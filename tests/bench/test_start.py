"""The benchmark of starts: its image is new, runs, and is as large as was asked for."""

from __future__ import annotations

from denali.bench.start import first_instruction, new_image, services
from denali.isa.image import Image
from denali.isa.translator.units import Program


def test_every_image_is_another_and_has_the_functions_of_its_text() -> None:
    one, other = (Image.from_elf(new_image(40_000), "new") for _ in range(2))
    assert one.digest != other.digest
    assert 40_000 <= one.text_end - one.text_start < 80_000
    assert len(Program(one).functions) > 20


def test_its_guest_runs_before_anything_is_translated() -> None:
    assert 0 < first_instruction(new_image(1000)) < 5


def test_a_second_service_compiles_little_of_the_library() -> None:
    first, following = services()
    assert first.functions > 80
    assert following.functions < first.functions / 10
    assert following.cpu_s < first.cpu_s
