"""The rights of bindings as plain numbers: numba knows no flag enums."""

from __future__ import annotations

from denali.isa.virtual import Right

READ, WRITE, EXECUTE = int(Right.READ), int(Right.WRITE), int(Right.EXECUTE)
ALL = READ | WRITE | EXECUTE
