# pyright: basic
"""Lowering with places: every message and every instruction knows its file and line."""

from __future__ import annotations

import os

import numba
from numba.core import debuginfo, types
from numba.core.lowering import Lower

from denali.libos.compiler import assignment

HOME = os.path.dirname(os.path.dirname(numba.__file__))
LIBRARY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def short(path: str) -> str:
    """A path as messages show it, the same on every machine: relative to where the library is, or the bare name."""
    real = os.path.realpath(path)
    for home, prefix in ((LIBRARY, "denali"), (HOME, "")):
        if real.startswith(home + os.sep):
            return os.path.join(prefix, os.path.relpath(real, home))
    return os.path.basename(path)


class LineTable(debuginfo.DIBuilder):
    """Debug information that is a line table and nothing else, with paths that do not depend on the machine."""

    def __init__(self, module, filepath, cgctx, directives_only):
        super().__init__(module, filepath, cgctx, directives_only)

    def initialize(self):
        """Start the compile unit; unlike numba's, its emission kind keeps line tables only."""
        self.emission_kind = "LineTablesOnly"
        super().initialize()

    def _di_file(self):
        return self.module.add_debug_info("DIFile", {"directory": "", "filename": short(self.filepath)})

    def _di_subroutine_type(self, line, function, argmap):
        return self.module.add_debug_info("DISubroutineType", {"types": self.module.add_metadata([])})

    def mark_variable(self, *args, **kws):
        """No variables."""


class GuestLower(Lower):
    """Numba's lowering; tells the call convention where it is, also across nested compilations."""

    def lower(self):
        """Lower the function, and restore the place of whoever asked for it."""
        place = self.call_conv.place
        saved = place.file, place.line, place.function
        place.file, place.function = short(self.func_ir.loc.filename), self.func_ir.func_id.func_name
        place.line = self.func_ir.loc.line
        try:
            super().lower()
        finally:
            place.file, place.line, place.function = saved

    def lower_inst(self, inst):
        """Lower one instruction of numba's IR."""
        self.call_conv.place.line = self.loc.line
        super().lower_inst(inst)

    def lower_setitem(self, target_var, index_var, value_var, signature):
        """`target[slice] = array` copies in place; the rest is numba's."""
        if isinstance(self.typeof(value_var.name), types.Array):
            return assignment.lower(self, target_var.name, index_var.name, value_var.name)
        return super().lower_setitem(target_var, index_var, value_var, signature)
