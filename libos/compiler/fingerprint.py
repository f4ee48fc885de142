# pyright: basic, reportAttributeAccessIssue=false
"""What a function's compiled code depends on besides its argument types and the types that its callees return.

That is its own code, where it stands in its file, and what its global names and its closure mean. Another function of a
module counts by its name and how it is called, because the code calls it by that name; an array counts by its name and
its type, because its place and its shape are filled in when a service is linked.
"""

from __future__ import annotations

import enum
import sys
import types as pytypes
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba.core import types
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic

from denali.isa.runtime.cache import key
from denali.libos.compiler.lines import short
from denali.libos.compiler.module_data import root_of
from denali.libos.compiler.target import replacements

FIXED = frozenset((*sys.stdlib_module_names, "llvmlite", "numba", "numpy"))
PLAIN = (types.Number, types.Boolean, types.NoneType, types.Array, types.Record, types.Bytes, types.UnicodeType)


class Unfit(Exception):
    """The function depends on something that has no description; the message names it."""


def of(function, arguments, data) -> str:
    """The fingerprint of a function compiled for argument types; `data` names the arrays.

    Raises:
        Unfit: there is none.
    """
    if not all(is_plain(kind) for kind in arguments):
        raise Unfit("an argument that is neither number nor array")
    return key(*_own(function, data, ()), "arguments", *[f"{type(kind).__name__} {kind}" for kind in arguments])


def is_plain(kind) -> bool:
    """Whether a type says all about its values: no function, no generator."""
    if isinstance(kind, types.BaseTuple):
        return all(is_plain(part) for part in kind.types)
    if isinstance(kind, types.Optional):
        return is_plain(kind.type)
    return isinstance(kind, (*PLAIN, types.Literal, types.Omitted))


def named(function) -> bool:
    """Whether it is what its module knows by its name."""
    home: Any = sys.modules.get(function.__module__)
    return "." not in function.__qualname__ and vars(home or function).get(function.__qualname__) is function


def _own(function, data, above) -> list[str]:
    """The parts of a function's description; `above`: the functions being described, which it may be part of."""
    code = function.__code__
    parts = [function.__module__, function.__qualname__, short(code.co_filename), *_code(code), *_call(function)]
    names = set(_names(code))
    for name in sorted(names & function.__globals__.keys()):
        parts += [name, *_value(function.__globals__[name], data, names, (*above, function))]
    for cell in function.__closure__ or ():
        parts += ["cell", *_value(cell.cell_contents, data, names, (*above, function))]
    return parts


def _code(code: pytypes.CodeType) -> Iterator[str]:
    """Instructions, constants and lines."""
    yield from (code.co_code.hex(), code.co_linetable.hex(), str(code.co_firstlineno), repr(code.co_names))
    yield from (repr(code.co_varnames), repr(code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, pytypes.CodeType):
            yield from _code(constant)
        else:
            yield repr(constant)


def _names(code: pytypes.CodeType) -> Iterator[str]:
    """All names that code uses, nested code too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, pytypes.CodeType):
            yield from _names(constant)


def _call(function) -> list[str]:
    """How a function is called: parameters and their defaults."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    return [repr(code.co_varnames[:count]), str(code.co_flags), repr(function.__defaults__)]


def _value(value, data, names, above) -> list[str]:
    """The description of what a name means."""
    if isinstance(value, pytypes.FunctionType | pytypes.BuiltinFunctionType):
        return _function(value, data, above)
    if isinstance(value, Dispatcher):
        return _function(value.py_func, data, above)
    if isinstance(value, pytypes.ModuleType):
        return _module(value, data, names, above)
    if isinstance(value, np.ndarray):
        return _array(value, data)
    if isinstance(value, type):
        return _class(value)
    if isinstance(value, tuple):
        return [type(value).__name__, str(len(value)), *[p for item in value for p in _value(item, data, names, above)]]
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic | np.dtype | enum.Enum | types.Type):
        return [type(value).__name__, repr(value)]
    if isinstance(value, _Intrinsic) and _fixed(value._defn.__module__):
        return ["intrinsic", value._defn.__module__, value._name]
    if value is None or value is Ellipsis:
        return [repr(value)]
    raise Unfit(f"a {type(value).__name__}")


def _function(function, data, above) -> list[str]:
    """A function that is called: by its name where that leads to it, else by all it is."""
    place = [function.__module__ or "", function.__qualname__]
    if function in replacements or isinstance(function, pytypes.BuiltinFunctionType):
        return ["machine", *place]
    if named(function):
        return ["function", *place, *_call(function)]
    return ["itself"] if function in above else _own(function, data, above)


def _module(module, data, names, above) -> list[str]:
    """A module: what of it the code names, as far as it may change."""
    parts = ["module", module.__name__]
    if _fixed(module.__name__) or module in above:
        return parts
    for name in sorted(names & vars(module).keys()):
        parts += [name, *_value(vars(module)[name], data, names, (*above, module))]
    return parts


def _array(array, data) -> list[str]:
    """A module-level array: its names and its type, but neither its shape nor what it holds."""
    variable = data.variable(array)
    if variable is None:
        raise Unfit("an array that no module names")
    flags, root = array.flags, root_of(array)
    layout = (flags.c_contiguous, flags.f_contiguous, flags.writeable, flags.aligned, root.flags.writeable)
    offset = array.ctypes.data - root.ctypes.data
    parts = (array.dtype, array.ndim, layout, offset, root.nbytes >= 8)
    return ["array", type(array).__name__, variable, data.symbol(root), *map(repr, parts)]


def _class(value: type) -> list[str]:
    members = repr(list(value)) if issubclass(value, enum.Enum) else ""
    if not members and not _fixed(value.__module__):
        raise Unfit(f"the class {value.__qualname__}")
    return ["class", value.__module__, value.__qualname__, members]


def _fixed(module: str) -> bool:
    """Whether what a module holds is as the versions of the compiler and its packages say."""
    return module.split(".")[0] in FIXED or module.startswith("denali.libos.compiler.")
