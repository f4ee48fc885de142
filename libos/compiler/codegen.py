# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Modules of LLVM IR in, one RISC-V object file out.

All functions of a service are linked into one module, so that inlining and removal of what is unused see the whole
program. Nothing here is optimised or compiled before that.
"""

from __future__ import annotations

import platform

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.codegen import CodeLibrary

from denali.libos.compiler import recording
from denali.libos.compiler.module_data import SHAPE

TRIPLE = "riscv64-unknown-none-elf"
FEATURES = "+m,+a,+f,+d,+c,+zba,+zbb,+zbs,+unaligned-scalar-mem,-relax"


def target_machine():
    """The machine that isa/ defines, as LLVM knows it."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu="generic-rv64", features=FEATURES, opt=2, reloc="static", codemodel="medium", abiname="lp64d"
    )


def versions() -> str:
    """What the output depends on besides the sources."""
    import numba

    return f"python {platform.python_version()} numba {numba.__version__} llvm {llvm.llvm_version_info} {FEATURES}"


class Codegen:
    """What numba asks a target's code generator for."""

    def __init__(self) -> None:
        self.machine = target_machine()
        self.target_data = self.machine.target_data
        self.layout = str(self.target_data)
        self.modules: list[bytes] = []  # LLVM bitcode

    def _create_empty_module(self, name):
        module = ir.Module(name)
        module.triple, module.data_layout = TRIPLE, self.layout
        return module

    def create_library(self, name, **_):
        """A unit of compilation; all of them end in the same list."""
        return Library(self, name)

    def insert_unresolved_ref(self, builder, fnty, name):
        """A function that is being compiled: within one module its name will do."""
        from numba.core import cgutils

        return cgutils.get_or_insert_function(builder.module, fnty, name)


class Library(CodeLibrary):
    """One function's modules, handed on to the code generator."""

    def add_linking_library(self, library):
        """Nothing to do: everything is linked together."""

    def add_ir_module(self, ir_module):
        """Keep the module for the final link."""
        for function in ir_module.functions:
            if not function.is_declaration:
                function.linkage = "weak_odr"
        bitcode = llvm.parse_assembly(str(ir_module)).as_bitcode()
        self._codegen.modules.append(bitcode)
        record = recording.current()
        if record is not None:
            record.modules.append(bitcode)

    def finalize(self):
        """Nothing to do before the final link."""
        self._finalized = True

    def get_function(self, name):
        """Not offered."""
        raise NotImplementedError

    def get_llvm_str(self):
        """Not offered."""
        raise NotImplementedError

    get_asm_str = get_llvm_str


def link(codegen: Codegen, extra: list[str], keep: set[str]):
    """One optimised module of everything; only `keep` and the arrays (external data) stay visible."""
    whole = llvm.parse_assembly(str(codegen._create_empty_module("service")))
    for bitcode in codegen.modules:
        whole.link_in(llvm.parse_bitcode(bitcode))
    for text in extra:
        whole.link_in(llvm.parse_assembly(text))
    for function in whole.functions:
        if not function.is_declaration and function.name not in keep:
            function.linkage = "internal"
    for shape in whole.global_variables:
        if shape.name.startswith(SHAPE):
            shape.linkage = "internal"
    whole.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(codegen.machine, options)
    builder.getModulePassManager().run(whole, builder)
    whole.verify()
    return whole


def emit(codegen: Codegen, whole) -> bytes:
    """The object file of an optimised module."""
    return codegen.machine.emit_object(whole)
