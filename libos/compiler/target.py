# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""The numba target `denali`: typing and lowering for a guest, with nothing of the host in it.

numba keeps its front end (bytecode, type inference, lowering to LLVM IR). What is ours: plain functions that a
service calls are compiled for the guest too, module-level arrays become objects of the image, exceptions become traps.
"""

from __future__ import annotations

import enum
import types as pytypes
from functools import cached_property

import numpy as np
from numba.core import types, typing
from numba.core.base import BaseContext
from numba.core.compiler_lock import global_compiler_lock
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.errors import UnsupportedError
from numba.core.imputils import Registry as LoweringRegistry
from numba.core.options import TargetOptions
from numba.core.target_extension import Generic, dispatcher_registry, jit_registry, target_registry
from numba.core.typing.templates import Registry as TypingRegistry

from denali.libos.compiler import codegen, recording
from denali.libos.compiler.convention import Convention
from denali.libos.compiler.lines import LineTable
from denali.libos.compiler.module_data import ModuleData
from denali.libos.compiler.naming import Names

typing_registry = TypingRegistry()
lowering_registry = LoweringRegistry()
replacements: dict = {}  # what stands in a guest for a plain function (those of libos/machine.py)


class Denali(Generic):
    """The target's name in numba's table."""


target_registry["denali"] = Denali


def writable(kind):
    """The type of a module-level value: its arrays are the guest's own, so it may write them.

    numba takes every global array as read-only, by asking for a copy of its type; ours answers with a writable one.
    """
    if isinstance(kind, types.Array) and kind.mutable:
        return WritableArray(kind.dtype, kind.ndim, kind.layout, aligned=kind.aligned)
    if isinstance(kind, types.Tuple | types.UniTuple):
        return types.BaseTuple.from_types([writable(t) for t in kind])
    return kind


def plain(kind):
    """The same without the mark that `writable` left."""
    if isinstance(kind, WritableArray):
        return kind.copy()
    if isinstance(kind, types.Tuple | types.UniTuple):
        return types.BaseTuple.from_types([plain(t) for t in kind])
    return kind


class WritableArray(types.Array):
    """An array type that numba's `copy(readonly=True)` for globals turns into a plain writable one."""

    def copy(self, dtype=None, ndim=None, layout=None, readonly=None):
        """The plain array type; what numba asks about read-only is refused."""
        return types.Array(
            self.dtype if dtype is None else dtype,
            self.ndim if ndim is None else ndim,
            self.layout if layout is None else layout,
            readonly=False,
            aligned=self.aligned,
        )


class TypingContext(typing.Context):
    """Types of values: numba's, and plain functions, module-level arrays and flags as a service uses them."""

    def load_additional_registries(self):
        """Numba's own declarations and ours."""
        from denali.libos.compiler import enums, intrinsics, library  # noqa: F401  they fill the registries

        super().load_additional_registries()
        self.install_registry(typing_registry)

    def resolve_value_type(self, val):
        """The type of a constant; a plain function is one that will be compiled for the guest."""
        from denali.libos.compiler import enums

        known = self._lookup_global(val) if isinstance(val, pytypes.FunctionType) else None
        if known is not None:
            return known
        if isinstance(val, pytypes.FunctionType | pytypes.BuiltinFunctionType):
            val = replacements.get(val, val)
        if isinstance(val, Dispatcher) and not isinstance(val, dispatcher_registry[Denali]):
            val = val.py_func
        if isinstance(val, pytypes.FunctionType):
            val = dispatcher_registry[Denali].of(val)
        if isinstance(val, enum.IntEnum | enum.IntFlag):
            return types.int64
        if isinstance(val, type) and issubclass(val, enum.IntEnum | enum.IntFlag):
            return enums.Numbers(val)
        kind = super().resolve_value_type(val)
        return writable(kind) if isinstance(val, np.ndarray | tuple) else kind

    def resolve_module_constants(self, typ, attr):
        """The type of `module.attr`; arrays are writable."""
        return plain(super().resolve_module_constants(typ, attr))


class TargetContext(BaseContext):
    """Lowering for a guest."""

    implement_powi_as_math_call = False
    DIBuilder = LineTable
    strict_alignment = False  # the machine allows misaligned plain accesses

    def __init__(self, typing_context, target="denali"):
        super().__init__(typing_context, target)
        self.names = Names()
        self.data = ModuleData(self)

    @global_compiler_lock
    def init(self):
        """Called by the base class: the guest's sizes, not the host's."""
        self.address_size = 64
        self._codegen = codegen.Codegen()

    def codegen(self):
        """Where modules are collected."""
        return self._codegen

    def create_module(self, name):
        """An empty LLVM module for the guest."""
        return self._codegen._create_empty_module(name)

    @property
    def target_data(self):
        """Sizes and alignments of the guest."""
        return self._codegen.target_data

    @cached_property
    def call_conv(self):
        """One convention for all functions; it also knows where the lowering is."""
        return Convention(self)

    def load_additional_registries(self):
        """Numba's implementations that need no CPython, and ours."""
        from numba.core import inline_closurecall, optional  # noqa: F401
        from numba.cpython import (  # noqa: F401
            builtins,
            charseq,
            enumimpl,
            hashing,
            iterators,
            mathimpl,
            numbers,
            rangeobj,
            slicing,
            tupleobj,
            unicode,
        )
        from numba.misc import literal  # noqa: F401
        from numba.np import arraymath, arrayobj, npyimpl
        from numba.np.unsafe import ndarray  # noqa: F401

        from denali.libos.compiler import indexing, intrinsics, library  # noqa: F401

        del arraymath, arrayobj
        self.install_registry(mathimpl.registry)
        self.install_registry(npyimpl.registry)
        self.install_registry(lowering_registry)

    def get_ufunc_info(self, ufunc_key):
        """Numba's scalar kernels of numpy's functions."""
        from numba.np import ufunc_db

        return ufunc_db.get_ufunc_info(ufunc_key)

    def mangler(self, name, types, *, abi_tags=(), uid=None):
        """Mangle as numba does, and remember the readable name for the image's symbol table."""
        mangled = super().mangler(name, types, uid=uid)  # all of a build have the same flags
        self.names.remember(mangled, name)
        record = recording.current()
        if record is not None:
            record.names[mangled] = self.names.readable[mangled]
        return mangled

    def declare_env_global(self, module, envname):
        """A guest has no Python environment."""

    def build_list(self, builder, *_):
        """Not offered: a guest has no heap."""
        raise UnsupportedError("a list needs a heap: use a tuple, `machine.buffer(n)` or a module-level array")

    build_set = build_map = build_list

    def get_python_api(self, builder):
        """A guest has no CPython."""
        raise NotImplementedError("this needs CPython, which a guest does not have")

    def get_constant_generic(self, builder, ty, val):
        """A constant; bytes lie in the read-only part."""
        if isinstance(ty, types.Bytes):
            return self.data.constant_bytes(builder, ty, val)
        return super().get_constant_generic(builder, ty, val)

    def make_constant_array(self, builder, typ, ary):
        """A module-level array: an object of the image, with a name, not a copy in each function."""
        return self.data.array(builder, typ, ary)

    def _compile_subroutine_no_cache(self, builder, impl, sig, locals=None, flags=None):
        """Compile a helper of numba's own with the guest's settings."""
        compiled = dispatcher_registry[Denali].compile_helper(self, impl, sig, locals or {})
        self.active_code_library.add_linking_library(compiled.library)
        return compiled


class Options(TargetOptions):
    """A guest function has no options."""


class Target(TargetDescriptor):
    """The pair of contexts, made when first used."""

    options = Options

    def __init__(self) -> None:
        super().__init__("denali")

    @cached_property
    def typing_context(self):
        """Shared by all functions of a build."""
        return TypingContext()

    @cached_property
    def target_context(self):
        """Shared by all functions of a build."""
        return TargetContext(self.typing_context)


target = Target()


def register_dispatcher(dispatcher) -> None:
    """Tell numba which class compiles for this target."""
    dispatcher_registry[Denali] = dispatcher
    jit_registry[Denali] = dispatcher.decorator
