# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Compile one Python function for given argument types, and whatever it calls."""

from __future__ import annotations

from typing import ClassVar

from numba.core import compiler, types, typing
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.core.typed_passes import (
    BaseNativeLowering,
    BaseTypeInference,
    IRLegalization,
    NoPythonBackend,
    NoPythonSupportedFeatureValidation,
    NopythonTypeInference,
)

from denali.libos.compiler import checks
from denali.libos.compiler.lowering import GuestLower
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
        state.targetctx.enable_nrt = True
        try:
            changed = super().run_pass(state)
        finally:
            state.targetctx.enable_nrt = False
        checks.check_return(state.func_ir, state.typemap, state.return_type)
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
        """Compile for a tuple of argument types, unless that is done."""
        args = tuple(sig.args) if isinstance(sig, typing.Signature) else tuple(sig)
        if args not in self.overloads:
            compiling.append(self.py_func)
            announce[0](f"compiling {self.py_func.__module__}.{self.py_func.__qualname__}")
            with self._compiling_counter:
                result = compile_function(self.py_func, args)
            compiling.pop()
            self.overloads[args] = result
            target.target_context.insert_user_function(result.fndesc, result.fndesc, [result.library])
        return self.overloads[args]

    def get_overload(self, sig):
        """The key of the implementation for argument types."""
        args = tuple(sig.args) if isinstance(sig, typing.Signature) else tuple(sig)
        return self.compile(args).fndesc


def general(kind):
    """The type of a value that is not known; a literal string stays what it is, because nothing else can be made."""
    if isinstance(kind, types.Literal) and isinstance(kind.literal_type, types.Integer | types.Boolean):
        return types.unliteral(kind)
    return kind


register_dispatcher(GuestFunction)
