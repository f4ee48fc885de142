"""What no ordinary service can do: touch any address, run any bytes, hand any number to a device.

For services that test what isolation is worth (`examples/hostile`). Compiled only: under CPython there is no machine
that could refuse, so every function here raises.
"""
# pyright: basic

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

WORD = ir.IntType(64)
CODE = ir.FunctionType(ir.VoidType(), []).as_pointer()


class VolatileLoad(ir.instructions.LoadInstr):
    """A load that the optimiser neither removes nor reasons about."""

    def descr(self, buf: list[str]) -> None:
        """Write the instruction."""
        text: list[str] = []
        super().descr(text)
        buf.append("".join(text).replace("load ", "load volatile ", 1))


def _volatile(builder, pointer):
    value = VolatileLoad(builder.block, pointer, "volatile")
    builder._insert(value)
    return value


def _hidden(builder, value):
    """The same value; the optimiser does not see which (an access to a null pointer that it sees, it removes)."""
    place = cgutils.alloca_once(builder, WORD)
    builder.store(value, place)
    return _volatile(builder, place)


@intrinsic
def load(typing_context, address):
    """The 64 bits at an address."""

    def generate(context, builder, signature, values):
        return _volatile(builder, builder.inttoptr(_hidden(builder, values[0]), WORD.as_pointer()))

    return types.int64(types.int64), generate


@intrinsic
def store(typing_context, address, value):
    """Write 64 bits at an address."""

    def generate(context, builder, signature, values):
        builder.store(values[1], builder.inttoptr(_hidden(builder, values[0]), WORD.as_pointer()))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), generate


@intrinsic
def jump(typing_context, address):
    """Call the code at an address."""

    def generate(context, builder, signature, values):
        builder.call(builder.inttoptr(_hidden(builder, values[0]), CODE), [], tail="notail")  # so that traps name us
        return context.get_dummy_value()

    return types.none(types.int64), generate


@intrinsic
def address_of(typing_context, array):
    """Where an array lies."""
    if not isinstance(array, types.Array):
        raise TypingError(f"address_of wants an array, not {array}")

    def generate(context, builder, signature, values):
        view = context.make_array(signature.args[0])(context, builder, values[0])
        return builder.ptrtoint(view.data, WORD)

    return types.int64(array), generate


@intrinsic(prefer_literal=True)
def service(typing_context, number, first, second):
    """The virtual instruction of a constant number, with any two arguments."""
    if not isinstance(number, types.IntegerLiteral):
        raise TypingError("the number of a service is a constant")
    name = f"denali.service.{number.literal_value}"

    def generate(context, builder, signature, values):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(WORD, [WORD, WORD]), name)
        return builder.call(function, [_hidden(builder, value) for value in values[1:]])

    return types.int64(number, types.int64, types.int64), generate
