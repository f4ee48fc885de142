# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Which file and line each instruction comes from, the same on every machine that compiles it."""

from __future__ import annotations

import os

import numba
from numba.core import debuginfo

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
