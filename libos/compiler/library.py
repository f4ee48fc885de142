# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Parts of a guest's library that are themselves written in a guest's Python: print, random numbers, bytes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba.core import cgutils, types, typing
from numba.core.typing.templates import AbstractTemplate
from numba.extending import overload

from denali.libos import machine
from denali.libos.compiler import intrinsics
from denali.libos.compiler.target import lowering_registry, replacements, typing_registry

_drawn = np.zeros(1, np.uint64)


def random() -> int:
    """The next number of splitmix64, started from the guest's own seed (Steele, Lea and Flood, 2014)."""
    _drawn[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = intrinsics.seed() + _drawn[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1))


replacements[machine.random] = random


def write(data) -> None:
    """Write all of it to the console, over as many turns as the console needs."""
    done = 0
    while done < len(data):
        taken = machine.console(data[done:])
        done += taken
        if taken == 0:
            machine.yield_()


def write_unsigned(value) -> None:
    """Write a number in decimal."""
    digits = machine.buffer(20)
    at = len(digits)
    rest = np.uint64(value)
    while True:
        at -= 1
        digits[at] = np.uint8(48 + np.int64(rest % np.uint64(10)))
        rest //= np.uint64(10)
        if rest == np.uint64(0):
            break
    write(digits[at:])


def write_signed(value) -> None:
    """Write a number in decimal, with its sign."""
    if value < 0:
        write(b"-")
        write_unsigned(np.uint64(0) - np.uint64(value))
    else:
        write_unsigned(np.uint64(value))


def write_truth(value) -> None:
    """Write True or False."""
    if value:
        write(b"True")
    else:
        write(b"False")


def print_item(context, builder, kind, value) -> None:
    """Write one argument of `print`."""
    if isinstance(kind, types.Literal) and isinstance(kind.literal_value, str):
        text = kind.literal_value.encode()
        return call(context, builder, write, types.Bytes(types.uint8, 1, "C"), constant(context, builder, text))
    kind = types.unliteral(kind)
    if isinstance(kind, types.Optional):
        return print_optional(context, builder, kind, value)
    if isinstance(kind, types.Boolean):
        return call(context, builder, write_truth, kind, value)
    if isinstance(kind, types.Integer):
        wide = types.int64 if kind.signed else types.uint64
        writer = write_signed if wide is types.int64 else write_unsigned
        return call(context, builder, writer, wide, context.cast(builder, value, kind, wide))
    if isinstance(kind, types.Bytes) or (isinstance(kind, types.Array) and kind.dtype == types.uint8):
        return call(context, builder, write, kind, value)
    raise NotImplementedError(f"print of {kind}: integers, truth values, bytes and literal text can be printed")


def print_optional(context, builder, kind, value) -> None:
    """Write what is there, or None."""
    optional = context.make_helper(builder, kind, value=value)
    with builder.if_else(cgutils.as_bool_bit(builder, optional.valid)) as (there, absent):
        with there:
            print_item(context, builder, kind.type, optional.data)
        with absent:
            print_item(context, builder, types.literal("None"), None)


def constant(context, builder, text: bytes):
    """A bytes literal."""
    return context.get_constant_generic(builder, types.Bytes(types.uint8, 1, "C"), text)


def call(context, builder, function, kind, value) -> None:
    """Call a guest function of one argument that returns nothing."""
    context.compile_internal(builder, function, typing.signature(types.none, kind), [value])


@lowering_registry.lower(print, types.VarArg(types.Any))
def print_all(context, builder, signature, args):
    """`print`: the arguments with blanks between them, and a new line."""
    separator = types.Bytes(types.uint8, 1, "C")
    for position, (kind, value) in enumerate(zip(signature.args, args, strict=True)):
        if position:
            call(context, builder, write, separator, constant(context, builder, b" "))
        print_item(context, builder, kind, value)
    call(context, builder, write, separator, constant(context, builder, b"\n"))
    return context.get_dummy_value()


@typing_registry.register_global(int)
class IntOfInteger(AbstractTemplate):
    """`int` of any integer is an `int`; numba would keep a cell's width and sign, and mix it with others as a float."""

    metadata: ClassVar = {"target": "denali"}

    def generic(self, args, kws):
        """64 bits with a sign."""
        fits = len(args) == 1 and not kws and isinstance(args[0], types.Integer | types.Boolean)
        return typing.signature(types.int64, types.unliteral(args[0])) if fits else None


@lowering_registry.lower(int, types.Integer)
@lowering_registry.lower(int, types.Boolean)
def int_of_integer(context, builder, signature, args):
    """The same number in 64 bits."""
    return context.cast(builder, args[0], signature.args[0], types.int64)


@overload(float)
def float_of_truth(value):
    """`float(a < b)`."""
    return (lambda value: 1.0 if value else 0.0) if isinstance(value, types.Boolean) else None


@overload(sum)
def sum_of_items(items):
    """`sum` of a generator."""

    def total(items):
        result = 0
        for item in items:
            result += item
        return result

    return total if isinstance(items, types.Generator) else None
