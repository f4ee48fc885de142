# pyright: basic
"""Words for native code that Python lacks: records at host addresses, block copies, a call by address.

Kernel state lives in numpy records; native code meets it as a host address and looks at it through `records`. All
integers are signed 64 bits wide there: numba turns a mix of uint64 and int64 into a float.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types
from numba.np import numpy_support

native: Any = numba.njit(nogil=True, error_model="numpy")
carray: Any = numba.carray  # type: ignore[attr-defined]
intrinsic: Any = extending.intrinsic


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
    """A native function from a host address to a pointer to `dtype`, for `numba.carray`."""
    pointer = types.CPointer(numpy_support.from_dtype(dtype))

    @intrinsic
    def cast(typing_context, address):
        def emit(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(pointer))

        return pointer(types.int64), emit

    return cast


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


@intrinsic
def copy(typing_context, target, source, count):
    """Copy `count` bytes between host addresses; they must not overlap."""

    def emit(context, builder, signature, arguments):
        byte = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(a, byte) for a in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def zero(typing_context, target, count):
    """Set `count` bytes at a host address to zero."""

    def emit(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        cgutils.memset(builder, pointer, arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@intrinsic
def call(typing_context, code, argument):
    """Call the C function `i64 code(i64)` at a host address."""

    def emit(context, builder, signature, arguments):
        word = ir.IntType(64)
        function = builder.inttoptr(arguments[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(function, [arguments[1]])

    return types.int64(types.int64, types.int64), emit
