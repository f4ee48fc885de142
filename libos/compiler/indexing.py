# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false
"""Indices of arrays: one unsigned comparison, where numba has a choice and two comparisons.

What lies in [0, length) is used as it is; only else is it looked at whether the index counts from the end.
"""

from __future__ import annotations

import operator

from numba.core import cgutils, types, typing
from numba.np import arrayobj

from denali.libos.compiler.target import lowering_registry

PLACE = types.uintp  # numba takes an index of this type as it is


def place_of(context, builder, kind, index, length):
    """The place that an index names in an axis; an IndexError if it names none."""
    index = context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)
    outside, begin = builder.icmp_unsigned(">=", index, length), builder.basic_block
    with cgutils.if_unlikely(builder, outside):
        wrapped = builder.add(index, length) if kind.signed else index
        with cgutils.if_unlikely(builder, builder.icmp_unsigned(">=", wrapped, length)):
            context.call_conv.return_user_exc(builder, IndexError, ("index is out of bounds",))
        end = builder.basic_block
    place = builder.phi(length.type)
    place.add_incoming(index, begin)
    place.add_incoming(wrapped, end)
    return place


def _placed(context, builder, array, index, data, value):
    """Type and value of an index made of places; numba's own checks are not needed then. None: it has other parts."""
    several = isinstance(index, types.BaseTuple)
    kinds = index.types if several else (index,)
    if len(kinds) > array.ndim or not kinds or not all(isinstance(kind, types.Integer) for kind in kinds):
        return None
    shape = cgutils.unpack_tuple(builder, arrayobj.make_array(array)(context, builder, data).shape, array.ndim)
    values = cgutils.unpack_tuple(builder, value, len(kinds)) if several else [value]
    pairs = zip(kinds, values, shape, strict=False)
    places = [place_of(context, builder, *pair) for pair in pairs]
    if not several:
        return PLACE, places[0]
    kind = types.UniTuple(PLACE, len(places))
    return kind, context.make_tuple(builder, kind, places)


def _with_places(implementation):
    """Numba's lowering of an access by index, given places."""

    def lower(context, builder, signature, arguments):
        array, index, *rest = signature.args
        data, value, *others = arguments
        placed = _placed(context, builder, array, index, data, value)
        if placed is None:
            return implementation(context, builder, signature, arguments)
        kind, value = placed
        context.enable_boundscheck = False
        try:
            known = typing.signature(signature.return_type, array, kind, *rest)
            return implementation(context, builder, known, (data, value, *others))
        finally:
            context.enable_boundscheck = True

    return lower


for _array in (types.Array, types.Bytes):
    for _index, _implementation in (
        (types.Integer, arrayobj.getitem_arraynd_intp),
        (types.BaseTuple, arrayobj.getitem_array_tuple),
    ):
        lowering_registry.lower(operator.getitem, _array, _index)(_with_places(_implementation))
        lowering_registry.lower(operator.setitem, _array, _index, types.Any)(_with_places(arrayobj.setitem_array))
