# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Module-level arrays as objects of the image.

Each array that owns its memory becomes one object named after the module and the variable: `module.name`. Views of it
point into that object, as they do under CPython. Zeroed arrays cost no bytes in the image (.bss), and an array that is
marked read-only (`table.flags.writeable = False`) lies in the part that all guests share.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.np import arrayobj

from denali.libos.compiler import recording
from denali.libos.compiler.errors import CompileError

BYTE = ir.IntType(8)
SHAPE = "denali.shape."  # and an array's variable: its extents and strides


def root_of(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def arrays_in(name: str, value: object) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays in a module-level value, with names; looks into tuples."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, tuple):
        fields = getattr(value, "_fields", range(len(value)))
        for field, item in zip(fields, value, strict=True):
            yield from arrays_in(f"{name}.{field}", item)


def assigned(module) -> set[str]:
    """The names that a module itself assigns at its top level (imported ones are someone else's)."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return set()
    targets = [t for node in ast.walk(tree) if isinstance(node, ast.Assign) for t in node.targets]
    targets += [node.target for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    return {leaf.id for t in targets for leaf in ast.walk(t) if isinstance(leaf, ast.Name)}


class ModuleData:
    """The objects of one build: which arrays there are and what they are called.

    Code names an array's memory and its shape; `definitions` says what they are. So the same code serves a module
    however it was configured.
    """

    def __init__(self, context) -> None:
        self.context = context
        self.names: dict[int, str] = {}
        self.roots: dict[int, np.ndarray] = {}  # also keeps them alive, so that no id is used twice
        self.variables: dict[int, str] = {}
        self.arrays: dict[str, np.ndarray] = {}  # those that variables hold
        self.used: dict[str, np.ndarray] = {}  # by the symbol of their memory
        self.shapes: dict[str, np.ndarray] = {}  # by the symbol of their shape
        self.seen: set[str] = set()  # modules

    def _name_all(self) -> None:
        """Find the names of all arrays of the modules that hold any; more may be loaded later."""
        if len(self.seen) == len(sys.modules):
            return
        new = {name: module for name, module in sys.modules.items() if name not in self.seen}
        self.seen |= new.keys()
        for module in new.values():
            found = [pair for name, value in list(vars(module).items()) for pair in arrays_in(name, value)]
            own = assigned(module) if found and not module.__name__.startswith(("numpy", "numba")) else set()
            for name, array in found:
                root = root_of(array)
                if name.split(".")[0] in own:
                    self.variables[id(array)] = f"{module.__name__}.{name}"
                    if root is array or id(root) not in self.names:
                        self.names[id(root)] = f"{module.__name__}.{name}"
                        self.roots[id(root)] = root
                    self.arrays[self.variables[id(array)]] = array

    def symbol(self, root: np.ndarray) -> str:
        """The object's name; an array that no module names (a closure's) gets a number."""
        self._name_all()
        self.roots[id(root)] = root
        return self.names.setdefault(id(root), f"array.{len(self.roots)}")

    def variable(self, array: np.ndarray) -> str | None:
        """What a module calls this array; None when none does."""
        self._name_all()
        return self.variables.get(id(array))

    def array_of(self, variable: str) -> np.ndarray | None:
        """The array that a module calls so."""
        self._name_all()
        return self.arrays.get(variable)

    def use(self, array: np.ndarray) -> tuple[str, str]:
        """Have an array in the image; gives the symbols of its memory and of its shape."""
        root, variable = root_of(array), self.variable(array)
        symbol = self.symbol(root)
        self.roots[id(array)] = array
        shape = SHAPE + (variable or f"{symbol}.{len(self.roots)}")
        self.used[symbol], self.shapes[shape] = root, array
        record = recording.current()
        if record is not None and variable is None:
            record.key = None  # it could not be found again
        elif record is not None and variable not in record.arrays:
            record.arrays.append(variable)
        return symbol, shape

    def array(self, builder, kind: types.Array, array: np.ndarray):
        """The numba array structure that shows this array's memory in the guest."""
        root = root_of(array)
        if root.dtype.hasobject:
            raise CompileError("?", 0, "an array of Python objects cannot be in a guest")
        symbol, shape = self.use(array)
        offset = array.ctypes.data - root.ctypes.data
        if not 0 <= offset <= root.nbytes:
            raise CompileError("?", 0, f"array {symbol} shows memory outside the array it was made from")
        data = external(builder.module, BYTE, symbol).gep([ir.IntType(64)(offset)])
        intp = self.context.get_value_type(types.intp)
        extents = ir.ArrayType(intp, array.ndim)
        both = builder.load(external(builder.module, ir.LiteralStructType([extents, extents]), shape, constant=True))
        result = self.context.make_array(kind)(self.context, builder)
        arrayobj.populate_array(
            result,
            data=builder.bitcast(data, result.data.type),
            shape=builder.extract_value(both, 0),
            strides=builder.extract_value(both, 1),
            itemsize=intp(array.dtype.itemsize),
            meminfo=None,
        )
        return result._getvalue()

    def definitions(self, module: ir.Module) -> ir.Module:
        """Define in a module the arrays that are used, and their shapes."""
        for name, root in sorted(self.used.items()):
            define(module, name, root)
        for name, array in sorted(self.shapes.items()):
            extents = ir.ArrayType(ir.IntType(64), array.ndim)
            kind = ir.LiteralStructType([extents, extents])
            shape = ir.GlobalVariable(module, kind, name)
            shape.initializer = kind([extents(list(array.shape)), extents(list(array.strides))])
            shape.global_constant = True
        return module

    def constant_bytes(self, builder, kind: types.Bytes, value: bytes):
        """The numba structure of a bytes literal; equal literals share their memory."""
        name = f".bytes.{value.hex()}"
        data = builder.module.globals.get(name)
        if data is None:
            data = cgutils.global_constant(builder.module, name, cgutils.make_bytearray(value or b"\0"))
            data.linkage, data.unnamed_addr = "private", True
        intp = self.context.get_value_type(types.intp)
        result = self.context.make_array(kind)(self.context, builder)
        arrayobj.populate_array(
            result,
            data=builder.bitcast(data, result.data.type),
            shape=cgutils.create_constant_array(intp, [intp(len(value))]),
            strides=cgutils.create_constant_array(intp, [intp(1)]),
            itemsize=intp(1),
            meminfo=None,
        )
        return result._getvalue()


def external(module, kind, name: str, *, constant: bool = False):
    """A global that is defined elsewhere."""
    if name not in module.globals:
        ir.GlobalVariable(module, kind, name).global_constant = constant
    return module.globals[name]


def define(module, name: str, root: np.ndarray) -> None:
    """The memory of an array as a global of an LLVM module."""
    kind = ir.ArrayType(BYTE, max(root.nbytes, 1))
    value = ir.GlobalVariable(module, kind, name)
    content = bytearray(root.tobytes(order="A"))
    value.initializer = ir.Constant(kind, content if any(content) else None)
    value.global_constant = not root.flags.writeable
    value.linkage = "weak_odr" if value.global_constant else "weak"  # weak: the host may write it, so assume nothing
    value.align = 8 if root.nbytes >= 8 else 4
    if not value.global_constant:  # a section of its own: the linker orders them by size
        value.section = f".data.{name}" if any(content) else f".bss.{name}"
