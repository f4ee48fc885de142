# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
"""The process that compiles native functions: all of a package in one module, without CPython and without a heap.

    python -m denali.tlb.compiler PACKAGE

Writes an ELF object to its standard output. numba types and lowers; a plain function that a native one calls is
compiled too, once for each combination of argument types; one run of LLVM over the whole sees every call. Nothing
raises: what would (an index out of range, when NUMBA_BOUNDSCHECK asks for the check) ends the process with a message.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import types as pytypes
from functools import cached_property

from llvmlite import ir
from numba.core import cgutils, compiler, config, types, typing, utils
from numba.core.callconv import BaseCallConv, Status
from numba.core.codegen import CodeLibrary
from numba.core.compiler import CompilerBase, Flags
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.typed_passes import (
    BaseTypeInference,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    PreLowerStripPhis,
)
from numba.core.typing.templates import AbstractTemplate
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

from denali.isa.runtime.compile import compile_object, machine
from denali.tlb.compiled import Entry, entries, modules
from denali.tlb.native import BUILTINS, External, Inline

WORD, BYTE = ir.IntType(64), ir.IntType(8)
SIGNATURES = {"int": types.int64, "bool": types.boolean, "None": types.none}


class Codegen:
    """What numba asks for modules: always the same one."""

    def __init__(self) -> None:
        self.target_data = machine(2).target_data
        self.module = ir.Module("native")
        self.module.triple = machine(2).triple
        self.module.data_layout = str(self.target_data)

    def _create_empty_module(self, name):
        return self.module

    def create_library(self, name, **_):
        """A function's share of the module."""
        return Library(self, name)

    def insert_unresolved_ref(self, builder, fnty, name):
        """A function that is being compiled: in one module its name will do."""
        return cgutils.get_or_insert_function(builder.module, fnty, name)


class Library(CodeLibrary):
    """Nothing is optimised before the module is complete."""

    def add_linking_library(self, library):
        """Nothing to do: there is one module."""

    def add_ir_module(self, ir_module):
        """Nothing to do: there is one module."""

    def finalize(self):
        """Nothing to do before the module is complete."""
        self._finalized = True

    def get_function(self, name):
        """Not offered."""
        raise NotImplementedError

    get_llvm_str = get_asm_str = get_function


class Convention(BaseCallConv):
    """C's: arguments as they are, the result returned; what would raise ends the process."""

    def _make_call_helper(self, builder):
        return self

    def return_value(self, builder, retval):
        """Return."""
        builder.ret(retval)

    def return_native_none(self, builder):
        """Return nothing."""
        builder.ret(self.context.get_dummy_value())

    def return_user_exc(self, builder, exc, exc_args=None, loc=None, func_name=None):
        """Say what was wrong and where, and abort."""
        place = f"{func_name or builder.function.name}: {exc.__name__}: {', '.join(map(str, exc_args or ()))}\n"
        text = cgutils.make_bytearray(place.encode())
        message = cgutils.global_constant(builder.module, "message", text)
        kind = ir.FunctionType(WORD, [ir.IntType(32), BYTE.as_pointer(), WORD])
        write = cgutils.get_or_insert_function(builder.module, kind, "write")
        builder.call(write, [ir.IntType(32)(2), builder.bitcast(message, BYTE.as_pointer()), WORD(len(place))])
        builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "abort"), [])
        builder.unreachable()

    def return_status_propagate(self, builder, status):
        """What failed never came back."""
        builder.unreachable()

    def get_function_type(self, restype, argtypes):
        """The LLVM function type."""
        packer = self._get_arg_packer(argtypes)
        return ir.FunctionType(self.get_return_type(restype).pointee, list(packer.argument_types))

    def decorate_function(self, fn, args, fe_argtypes, noalias=False):
        """Name the arguments."""
        self._get_arg_packer(fe_argtypes).assign_names(fn.args, ["arg." + a for a in args])
        fn.attributes.add("nounwind")

    def get_arguments(self, func):
        """None is hidden."""
        return func.args

    def call_function(self, builder, callee, resty, argtys, args, attrs=None):
        """Call; the status is always good."""
        result = builder.call(callee, list(self._get_arg_packer(argtys).as_arguments(builder, args)))
        no = cgutils.false_bit
        status = Status(
            code=ir.IntType(32)(0), is_ok=cgutils.true_bit, is_none=no, is_error=no, is_stop_iteration=no,
            is_python_exc=no, is_user_exc=no, excinfoptr=None,
        )  # fmt: skip
        return status, self.context.get_returned_value(builder, resty, result)


class TypingContext(typing.Context):
    """Numba's, and plain functions as native ones."""

    def resolve_value_type(self, val):
        """The type of a global."""
        if isinstance(val, pytypes.BuiltinFunctionType | type):
            val = BUILTINS.get(val, val)
        if isinstance(val, External):
            return types.ExternalFunction(val.name, typing.signature(*(getattr(types, kind) for kind in val.kinds)))
        val = val.function if isinstance(val, Entry) else val
        if isinstance(val, Inline):
            return function_type(val, inline)
        if isinstance(val, pytypes.FunctionType) and self._lookup_global(val) is None:
            return function_type(val, called)
        return super().resolve_value_type(val)


class TargetContext(CPUContext):
    """Numba's lowering for this host, without its runtime."""

    enable_nrt = False

    def init(self):
        """One module for all."""
        self.is32bit = False
        self._internal_codegen = Codegen()

    @cached_property
    def call_conv(self):
        """C's."""
        return Convention(self)

    def load_additional_registries(self):
        """Numba's implementations that need no heap."""
        from numba.core import optional  # noqa: F401
        from numba.cpython import builtins, enumimpl, iterators, numbers, rangeobj, slicing, tupleobj  # noqa: F401
        from numba.np import arrayobj, npyimpl  # noqa: F401

        self.install_registry(npyimpl.registry)

    def post_lowering(self, mod, library):
        """Nothing to add."""

    def declare_env_global(self, module, envname):
        """There is no Python environment."""


def function_type(value, typed):
    """The numba type of a global that is called: `typed(value, argument types)` gives the signature."""
    if value not in _types:

        def generic(self, args, kws):
            return typed(value, args if not kws else utils.pysignature(value).bind(*args, **kws).args)

        _types[value] = types.Function(type("Called", (AbstractTemplate,), {"key": value, "generic": generic}))
    return _types[value]


def called(function, arguments):
    """The signature of a plain function; constants count as values of their type, so that one copy serves all."""
    return compile_function(function, tuple(types.unliteral(a) for a in arguments)).signature


def inline(word, arguments):
    """The signature of a word of native code."""
    if (word, arguments) not in _made:
        signature, emit = word.definition(_typing, *arguments)
        _target.insert_func_defn([(emit, word, signature.args)])
        _made[word, arguments] = signature
    return _made[word, arguments]


_types: dict = {}
_made: dict = {}
_typing = TypingContext()
_target = TargetContext(_typing)


@register_pass(mutates_CFG=True, analysis_only=False)
class Inference(BaseTypeInference):
    """Numba's type inference; a function may return an array, since none owns what it shows."""

    _name = "native_inference"

    def run_pass(self, state):
        """Infer, and claim a heap meanwhile: without one numba lets no array be returned."""
        state.targetctx.enable_nrt = True
        try:
            return super().run_pass(state)
        finally:
            state.targetctx.enable_nrt = False


class Compiler(CompilerBase):
    """Those of numba's passes that native functions need: no closures, no array expressions, no inlining."""

    def define_pipelines(self):
        """One pipeline."""
        passes = PassManager("native")
        for kind in (
            *(TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA),
            *(Inference, PreLowerStripPhis, IRLegalization, NativeLowering, NoPythonBackend),
        ):
            passes.add_pass(kind, kind.__name__)
        passes.finalize()
        return [passes]


def compile_function(function, arguments):
    """Compile a function for argument types, unless that is done."""
    if (function, arguments) not in _made:
        flags = Flags()
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        flags.error_model = "numpy"
        flags.boundscheck = bool(config.BOUNDSCHECK)
        result = compiler.compile_extra(_typing, _target, function, arguments, None, flags, {}, pipeline_class=Compiler)
        _target.insert_user_function(function, result.fndesc, [result.library])
        _made[function, arguments] = result
    return _made[function, arguments]


def export(entry: Entry) -> None:
    """Compile an entry and give it a C function: words in, a word out."""
    arguments = tuple(SIGNATURES[kind] for kind in entry.arguments)
    made = compile_function(entry.function, arguments)
    module = _target.codegen().module
    function = ir.Function(module, ir.FunctionType(WORD, [WORD] * len(arguments)), entry.symbol)
    builder = ir.IRBuilder(function.append_basic_block())
    callee, returned = module.globals[made.fndesc.llvm_func_name], made.signature.return_type
    with _target.push_code_library(made.library):
        pairs = zip(function.args, arguments, strict=True)
        values = [_target.cast(builder, value, types.int64, kind) for value, kind in pairs]
        _, result = _target.call_conv.call_function(builder, callee, returned, arguments, values)
        builder.ret(WORD(0) if returned is types.none else _target.cast(builder, result, returned, types.int64))


def compile_package(package: str) -> bytes:
    """An object with the entries of a package."""
    for name in modules(package):
        importlib.import_module(name)
    exported = entries(package)
    for entry in exported:
        export(entry)
    module, visible = _target.codegen().module, {entry.symbol for entry in exported}
    for function in module.functions:
        if not function.is_declaration and function.name not in visible:
            function.linkage = "internal"
    return compile_object(str(module), level=2)


def main() -> None:
    """Compile one package."""
    gc.disable()  # a short life
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    output.write(compile_package(sys.argv[1]))
    output.close()


if __name__ == "__main__":
    from denali.tlb.compiler import main as run

    run()
