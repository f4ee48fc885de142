# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""`target[index] = array`: copies item by item, right also where both are parts of one array.

numba makes a temporary copy on the heap when the two may overlap. Here contiguous items of one type are moved at once,
and everything else is copied in the order that overlap demands.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import cgutils, types, typing

from denali.libos.compiler.intrinsics import Site, address_of

WORD = ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()


def lower(lowering, target: str, index: str, value: str) -> None:
    """Lower the assignment of the variable `value`."""
    context, builder = lowering.context, lowering.builder
    kinds = tuple(lowering.typeof(name) for name in (target, index))
    value_kind = lowering.typeof(value)
    part_kind, part = view(context, builder, kinds, [lowering.loadvar(name) for name in (target, index)])
    source = lowering.loadvar(value)
    if part_kind.ndim == 1 == value_kind.ndim:
        require_equal(context, builder, part_kind, part, value_kind, source)
    same = part_kind.dtype == value_kind.dtype and part_kind.layout == value_kind.layout == "C"
    if same and part_kind.ndim == 1 == value_kind.ndim:
        return move(context, builder, part_kind, part, value_kind, source)
    copier = copy_items if part_kind.ndim == 1 else copy_rows if part_kind.ndim == value_kind.ndim else repeat_row
    signature = typing.signature(types.none, part_kind, value_kind)
    context.compile_internal(builder, copier, signature, [part, source])
    return None


def view(context, builder, kinds, values):
    """`target[index]` with its type."""
    getitem = context.typing_context.resolve_value_type(operator.getitem)
    signature = getitem.get_call_type(context.typing_context, kinds, {})
    index = context.cast(builder, values[1], kinds[1], signature.args[1])
    return signature.return_type, context.get_function(getitem, signature)(builder, [values[0], index])


def require_equal(context, builder, part_kind, part, value_kind, source) -> None:
    """Stop the guest unless both have the same number of items."""
    site = Site(context, builder, typing.signature(types.none, part_kind, value_kind), [part, source])
    lengths = [cgutils.unpack_tuple(builder, site._array(i).shape)[0] for i in (0, 1)]
    site.require(builder.icmp_signed("==", *lengths), "the two sides differ in length", "ValueError")


def move(context, builder, part_kind, part, value_kind, source) -> None:
    """Contiguous items of one type: one memmove."""
    target = context.make_array(part_kind)(context, builder, part)
    origin = context.make_array(value_kind)(context, builder, source)
    item = context.get_abi_sizeof(context.get_data_type(part_kind.dtype))
    size = builder.mul(cgutils.unpack_tuple(builder, target.shape)[0], WORD(item))
    function = builder.module.declare_intrinsic("llvm.memmove", [BYTES, BYTES, WORD])
    arguments = [builder.bitcast(target.data, BYTES), builder.bitcast(origin.data, BYTES), size, ir.IntType(1)(0)]
    builder.call(function, arguments)


def copy_items(target, source) -> None:
    """One item after the other, from the end where the target lies behind the source."""
    last = len(target) - 1
    if address_of(target) > address_of(source):
        for i in range(last, -1, -1):
            target[i] = source[i]
    else:
        for i in range(last + 1):
            target[i] = source[i]


def copy_rows(target, source) -> None:
    """Arrays of equal dimensions, row by row."""
    if len(target) != len(source):
        raise ValueError("the two sides differ in length")
    for i in range(len(target)):
        target[i] = source[i]


def repeat_row(target, source) -> None:
    """A row into every row."""
    for i in range(len(target)):
        target[i] = source
