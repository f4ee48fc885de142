"""The native runtime as one LLVM module: dispatcher, interpreter, and arithmetic in any rounding mode."""

from __future__ import annotations

from denali.isa.definitions.decode import DEFINITIONS
from denali.isa.interpreter.dispatcher import dispatcher_text
from denali.isa.interpreter.interpreter import Interpreter
from denali.isa.interpreter.paged import paged_texts
from denali.isa.interpreter.rounding import helper_texts
from denali.isa.translator.emit import module_text


def runtime_text(*, masked: bool = False) -> str:
    """LLVM IR of the runtime; exports enter, denali_miss, denali_service, denali_find and the rounding helpers."""
    interpreter = Interpreter(masked=masked)
    functions = [interpreter.text(DEFINITIONS)]
    declared = interpreter.body.declared
    functions += dispatcher_text(declared, masked=masked)
    functions += paged_texts(declared, masked=masked)
    functions += helper_texts(declared)
    return module_text(functions, declared, masked=masked)
