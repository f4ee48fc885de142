# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Members of `IntEnum` and `IntFlag` as what they are to CPython too: integers."""

from __future__ import annotations

from numba.core import types
from numba.core.typing.templates import AttributeTemplate

from denali.libos.compiler.target import lowering_registry, typing_registry


class Numbers(types.Dummy):
    """The type of an enumeration of integers."""

    def __init__(self, enumeration) -> None:
        self.enumeration = enumeration
        super().__init__(f"numbers {enumeration.__module__}.{enumeration.__qualname__}")


@typing_registry.register_attr
class NumbersAttribute(AttributeTemplate):
    """`Colour.RED` is an integer."""

    key = Numbers

    def generic_resolve(self, kind, attribute):
        """The type of a member; None where there is no such member."""
        return types.int64 if attribute in kind.enumeration.__members__ else None


@lowering_registry.lower_getattr_generic(Numbers)
def member(context, builder, kind, value, attribute):
    """The member's value."""
    return context.get_constant(types.int64, int(kind.enumeration[attribute]))
