# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Lowering with places: every message and every instruction knows its file and line."""

from __future__ import annotations

from numba.core import types
from numba.core.lowering import Lower

from denali.libos.compiler import assignment
from denali.libos.compiler.lines import short


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

    def _compute_def_location(self):
        """The `def` line, as the IR has it; numba would parse the whole file again for each function."""
        return self.func_ir.loc

    def lower_inst(self, inst):
        """Lower one instruction of numba's IR."""
        self.call_conv.place.line = self.loc.line
        super().lower_inst(inst)

    def lower_setitem(self, target_var, index_var, value_var, signature):
        """`target[slice] = array` copies in place; the rest is numba's."""
        if isinstance(self.typeof(value_var.name), types.Array):
            return assignment.lower(self, target_var.name, index_var.name, value_var.name)
        return super().lower_setitem(target_var, index_var, value_var, signature)
