# pyright: basic
"""Words for native code that Python lacks: records at host addresses, block copies, a call by address.

Kernel state lives in numpy records; native code meets it as a host address and looks at it through `records`. All
integers are signed 64 bits wide there: numba turns a mix of uint64 and int64 into a float. What is written here is only
said; numba, which understands it, is imported where native code is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
external_names: set[str] = set()  # of the host's functions that native code calls


def native(function: Function) -> Function:
    """Mark a function as native: others like it call it, Python does not."""
    return function


class External:
    """A C function of the host, by symbol."""

    def __init__(self, name: str, *kinds: str) -> None:
        """`kinds` are numba's names of the types: of the result first, then of the arguments."""
        self.name, self.kinds = name, kinds
        external_names.add(name)

    def __call__(self, *arguments: Any) -> Any:
        """Native code alone calls it."""
        raise TypeError(f"{self.name} is called by native code only")


class Inline:
    """A word of native code, from the function that types it and gives what emits its LLVM IR."""

    def __init__(self, definition: Callable[..., Any]) -> None:
        self.definition = definition

    def __call__(self, *arguments: Any) -> Any:
        """Native code alone says it."""
        raise TypeError(f"{self.definition.__name__} is a word of native code")


@Inline
def carray(typing_context, pointer, shape):
    """The array of a one-element tuple's length that begins at a pointer."""
    from numba.core import cgutils, types
    from numba.np import arrayobj

    def emit(context, builder, signature, arguments):
        array = context.make_array(signature.return_type)(context, builder)
        length = context.cast(builder, builder.extract_value(arguments[1], 0), shape.dtype, types.intp)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(pointer.dtype)))
        arrayobj.populate_array(
            array,
            data=builder.bitcast(arguments[0], array.data.type),
            shape=cgutils.pack_array(builder, [length]),
            strides=cgutils.pack_array(builder, [size]),
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    shape = types.UniTuple(types.unliteral(shape[0]), 1)
    return types.Array(pointer.dtype, 1, "C")(pointer, shape), emit


def signed(dtype: np.dtype) -> np.dtype:
    """The same layout with every 64-bit field signed."""
    names, word = list(dtype.names or ()), np.dtype("<u8")
    formats = [np.dtype("<i8") if dtype[name] == word else dtype[name] for name in names]
    offsets = [offset_of(dtype, name) for name in names]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": dtype.itemsize})


def offset_of(dtype: Any, name: str) -> int:
    """Where a field of a record begins."""
    assert dtype.fields is not None
    return dtype.fields[name][1]


def pointer_to(dtype: np.dtype) -> Any:
    """A native function from a host address to a pointer to `dtype`, for `carray`."""

    def cast(typing_context, address):
        from numba.core import types
        from numba.np import numpy_support

        pointer = types.CPointer(numpy_support.from_dtype(dtype))

        def emit(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(pointer))

        return pointer(types.int64), emit

    return Inline(cast)


_byte_pointer = pointer_to(np.dtype("u1"))
_number_pointer = pointer_to(np.dtype("<i8"))


@native
def bytes_at(address: int, count: int) -> Any:
    """The `count` bytes at a host address, as an array."""
    return carray(_byte_pointer(address), (count,))


@native
def numbers_at(address: int, count: int) -> Any:
    """The `count` 64-bit integers at a host address, as an array."""
    return carray(_number_pointer(address), (count,))


@Inline
def copy(typing_context, target, source, count):
    """Copy `count` bytes between host addresses; they must not overlap."""
    from llvmlite import ir
    from numba.core import cgutils, types

    def emit(context, builder, signature, arguments):
        byte = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(a, byte) for a in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@Inline
def zero(typing_context, target, count):
    """Set `count` bytes at a host address to zero."""
    from llvmlite import ir
    from numba.core import cgutils, types

    def emit(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        cgutils.memset(builder, pointer, arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@Inline
def call(typing_context, code, argument):
    """Call the C function `i64 code(i64)` at a host address."""
    from llvmlite import ir
    from numba.core import types

    def emit(context, builder, signature, arguments):
        word = ir.IntType(64)
        function = builder.inttoptr(arguments[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(function, [arguments[1]])

    return types.int64(types.int64, types.int64), emit


def _assembly(text: str, places: str, count: int) -> Inline:
    """A word that is assembly: of integers, and of a zero behind them."""

    def say(typing_context, *given):
        from llvmlite import ir
        from numba.core import types

        def emit(context, builder, signature, arguments):
            word = ir.IntType(64)
            kind = ir.FunctionType(word, [word] * (count + 1))
            return builder.asm(kind, text, places, [*arguments, word(0)], False)

        return types.int64(*[types.int64] * count), emit

    return Inline(say)


# kept(offset, limit, base): offset + base if offset < limit, unsigned, else 0; however a processor guesses the branches
# before. opaque(value): the value, of which LLVM knows nothing. Both for masks, see isa/translator/emit.py.
kept = _assembly("leaq ($3,$1), $0\\0Acmpq $2, $1\\0Acmovaeq $4, $0", "=&r,r,r,r,r,~{flags}", 3)
opaque = _assembly("", "=r,0,r", 1)


def _chosen(order: str) -> Inline:
    """The smaller or the larger of two integers."""

    def choose(typing_context, one, other):
        from numba.core import types

        def emit(context, builder, signature, arguments):
            return builder.select(builder.icmp_signed(order, *arguments), *arguments)

        return types.int64(types.int64, types.int64), emit

    return Inline(choose)


@Inline
def _integer(typing_context, number):
    """A number as 64 signed bits."""
    from numba.core import types

    def emit(context, builder, signature, arguments):
        return context.cast(builder, arguments[0], number, types.int64)

    return types.int64(number), emit


# What stands for Python's: numba would compile a function for each combination of types.
BUILTINS: dict[Any, Inline] = {min: _chosen("<"), max: _chosen(">"), int: _integer}
