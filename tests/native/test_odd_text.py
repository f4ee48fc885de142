"""Text at an odd address would make native code read between two entries of its table: no space is made for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from denali.isa.image import Image
from denali.isa.runtime.engine import Engine


def test_a_space_is_refused_to_text_at_an_odd_address(engine: Engine) -> None:
    image = Image.raw(bytes(64))
    odd = replace(image, text_start=image.text_start + 1, entry=image.text_start + 2)
    with pytest.raises(ValueError, match="odd address"):
        engine.space(odd, 8192, 0)
