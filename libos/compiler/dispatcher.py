# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Compile one Python function for given argument types, and whatever it calls."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from numba.core import compiler, types, typing
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.core.funcdesc import FunctionDescriptor
from numba.core.typed_passes import (
    BaseNativeLowering,
    BaseTypeInference,
    IRLegalization,
    NoPythonBackend,
    NoPythonSupportedFeatureValidation,
    NopythonTypeInference,
)

from denali.libos.compiler import checks, fingerprint, kept, recording
from denali.libos.compiler.lowering import GuestLower
from denali.libos.compiler.recording import Need, Record
from denali.libos.compiler.target import register_dispatcher, target


def guest_flags() -> Flags:
    """How every guest function is compiled: bounds checked, lines recorded, no heap, no CPython."""
    flags = Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.boundscheck = True
    flags.debuginfo = flags.dbg_directives_only = True
    flags.error_model = "python"
    return flags


@register_pass(mutates_CFG=True, analysis_only=False)
class GuestLowering(BaseNativeLowering):
    """Numba's lowering pass with our lowering class."""

    _name = "denali_lowering"

    @property
    def lowering_class(self):
        """Ours, which knows the place of every instruction."""
        return GuestLower


@register_pass(mutates_CFG=True, analysis_only=False)
class GuestInference(BaseTypeInference):
    """Numba's type inference; a function may return a view, but none of a buffer that ends with it."""

    _name = "denali_inference"

    def run_pass(self, state):
        """Infer; numba's own rule without a heap (return arguments only) is stricter than ours, so it is set aside."""
        identity = state.func_ir.func_id
        identity.unique_id = recording.unique(identity.func)
        state.targetctx.enable_nrt = True
        try:
            changed = super().run_pass(state)
        finally:
            state.targetctx.enable_nrt = False
        checks.check_return(state.func_ir, state.typemap, state.return_type)
        recursive = [kind.dispatcher_type.dispatcher for kind in state.typemap.values() if is_recursive(kind)]
        if any(other.py_func is not identity.func for other in recursive):
            recording.current().key = None  # it calls what is not finished
        return changed


class GuestCompiler(CompilerBase):
    """Numba's passes with our inference, and our lowering at the end."""

    def define_pipelines(self):
        """One pipeline."""
        passes = PassManager("denali")
        passes.passes.extend(DefaultPassBuilder.define_untyped_pipeline(self.state).passes)
        typed = DefaultPassBuilder.define_typed_pipeline(self.state).passes
        passes.passes.extend((GuestInference, text) if p is NopythonTypeInference else (p, text) for p, text in typed)
        passes.add_pass(NoPythonSupportedFeatureValidation, "refuse what nopython code cannot do")
        passes.add_pass(IRLegalization, "legalise the IR")
        passes.add_pass(GuestLowering, "lower for a guest")
        passes.add_pass(NoPythonBackend, "collect the result")
        passes.finalize()
        return [passes]


@global_compiler_lock
def compile_function(function, args, return_type=None, context=None, local_types=None):
    """Compile `function` for argument types; gives numba's compile result."""
    return compiler.compile_extra(
        target.typing_context,
        context or target.target_context,
        function,
        args=args,
        return_type=return_type,
        flags=guest_flags(),
        locals=local_types or {},
        pipeline_class=GuestCompiler,
    )


compiling: list = []  # the functions being compiled, outermost first; what failed stays, for the message
announce = [lambda text: None]  # told of each function when its turn comes


class GuestFunction(Dispatcher):
    """A plain function as a guest's function, compiled once for each combination of argument types."""

    targetdescr = target
    made: ClassVar[dict[object, GuestFunction]] = {}

    @classmethod
    def of(cls, function) -> GuestFunction:
        """The guest function of a plain function, always the same one."""
        if function not in cls.made:
            checks.check(function)
            cls.made[function] = cls(function, targetoptions={}, pipeline_class=GuestCompiler)
        return cls.made[function]

    @classmethod
    def decorator(cls, *args, **_):
        """What numba's overloads use as `jit` for this target."""
        return cls.of(args[0]) if args and callable(args[0]) else cls.of

    @staticmethod
    def compile_helper(context, function, signature, local_types):
        """Compile a function that numba's own lowering calls."""
        return compile_function(function, signature.args, signature.return_type, context, local_types)

    def get_call_template(self, args, kws):
        """Compile for these arguments; constants count as values of their type, so that one copy serves all."""
        try:
            signature, args = self._compiler.fold_argument_types(args, kws)
        except TypeError as error:
            raise TypingError(f"{self.py_func.__name__}: {error}") from error
        args = tuple(general(a) for a in args)
        self.compile(args)
        signatures = [result.signature for result in self.overloads.values()]
        template = typing.make_concrete_template(self.py_func.__name__, self.py_func.__name__, signatures)
        return template, signature, args, {}

    def compile(self, sig):
        """Compile for a tuple of argument types, unless that is done or on disk."""
        args = tuple(sig.args) if isinstance(sig, typing.Signature) else tuple(sig)
        if args not in self.overloads:
            unique, key = kept.identify(self.py_func, args, target.target_context.data)
            if key is None or not self._recall(args, key):
                self._make(args, Record(self.py_func, unique, key))
        note(self.py_func, args, self.overloads[args])
        return self.overloads[args]

    def _make(self, args, record: Record) -> None:
        compiling.append(self.py_func)
        announce[0](f"compiling {self.py_func.__module__}.{self.py_func.__qualname__}")
        with self._compiling_counter, recording.of(record), own_helpers(target.target_context):
            result = compile_function(self.py_func, args)
        compiling.pop()
        kept.keep(record, result)
        self._use(args, Compiled(result.signature, result.fndesc, record.key))

    def _recall(self, args, key: str) -> bool:
        """Take it from disk, with all that it needs; false when that is not there, or not what it was."""
        entry = kept.recall(key)
        if entry is None:
            return False
        descriptor = describe(entry, args)
        self._use(args, Compiled(typing.signature(entry.returns, *args), descriptor, key))
        if not take(entry, key):
            del self.overloads[args]
            return False
        return True

    def _use(self, args, compiled: Compiled) -> None:
        self.overloads[args] = compiled
        target.target_context.insert_user_function(compiled.fndesc, compiled.fndesc)

    def get_overload(self, sig):
        """The key of the implementation for argument types."""
        return self.compile(sig).fndesc


@dataclass(frozen=True, slots=True)
class Compiled:
    """A function compiled for argument types; its key on disk, if it is kept."""

    signature: typing.Signature
    fndesc: FunctionDescriptor
    key: str | None


def note(function, args, compiled: Compiled) -> None:
    """Write down for the function at work that it calls this one; what calls a function that is not kept is not."""
    caller = recording.current()
    if caller is None or caller.key is None:
        return
    if compiled.key is None:
        caller.key = None
        return
    module = function.__module__ if fingerprint.named(function) else None
    need = Need(compiled.key, module, function.__qualname__, args, compiled.signature.return_type)
    if need not in caller.needs:
        caller.needs.append(need)


def take(entry: kept.Entry, key: str) -> bool:
    """Have an entry in the image, after all that it needs; false when something of that is not as it was."""
    context = target.target_context
    shown = [context.data.array_of(variable) for variable in entry.arrays]
    if key in taken:
        return True
    taken.add(key)
    with recording.of(Record(None, "", None)):
        if any(array is None for array in shown) or not all(holds(need) for need in entry.needs):
            taken.remove(key)
            return False
        for array in shown:
            context.data.use(array)
    context.codegen().modules += entry.modules
    context.names.readable.update(entry.names)
    return True


def holds(need: Need) -> bool:
    """Whether a function that is needed is there and returns what it did."""
    if need.module is None:
        entry = kept.recall(need.key)
        return entry is not None and take(entry, need.key)
    try:
        function = getattr(importlib.import_module(need.module), need.name)
        return GuestFunction.of(function).compile(need.arguments).signature.return_type == need.returns
    except Exception:  # whatever is wrong with it shows again, in its place, when its caller is compiled
        return False


taken: set[str] = set()  # entries whose code is in the image


def describe(entry: kept.Entry, args) -> FunctionDescriptor:
    """What numba wants to know of a function that it has not compiled."""
    (module, name, unique), names = entry.name, [f"a{i}" for i in range(len(args))]
    mangler = target.target_context.mangler
    return FunctionDescriptor(
        native=True, modname=module, qualname=name, unique_name=f"{name}${unique}", doc="", typemap={}, calltypes={},
        restype=entry.returns, args=names, kws=(), mangler=mangler, argtypes=args, uid=unique,
    )  # fmt: skip


@contextmanager
def own_helpers(context):
    """Let each function have the helpers that numba makes for it to itself."""
    shared, context.cached_internal_func = context.cached_internal_func, {}
    try:
        yield
    finally:
        context.cached_internal_func = shared


def is_recursive(kind) -> bool:
    """Whether a type is that of a function that is being compiled."""
    return isinstance(kind, types.RecursiveCall)


def general(kind):
    """The type of a value that is not known; a literal string stays what it is, because nothing else can be made.

    A narrow integer with a sign is passed as an `int`, which holds the same number: one copy serves all.
    """
    if isinstance(kind, types.Literal) and isinstance(kind.literal_type, types.Integer | types.Boolean):
        kind = types.unliteral(kind)
    return types.int64 if isinstance(kind, types.Integer) and kind.signed and kind.bitwidth < 64 else kind


register_dispatcher(GuestFunction)
