"""Columns that hold what a contract asks for, in any of Arrow's layouts, without a loop over rows.

Bytes of media are shared with the input wherever Arrow can point at them. A type that is none of
these layouts raises :class:`Mismatch`: its values are then read one by one.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

from pipeline.pairs.arrow_layouts import Mismatch, cast, is_list, is_text, list_parts, nulls


def stored_column(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An array as exactly ``kind``; fields of structs may be missing, and are null then.

    Raises:
        Mismatch: its type is no layout of that type.
    """
    stored = array.type
    if pt.is_null(stored):
        return pa.nulls(len(array), kind)
    if stored == kind:
        return array.cast(kind)  # equal types may still differ in the names of list items
    if pt.is_list(kind) and is_list(stored):
        offsets, values, empty = list_parts(array, "items")
        items = stored_column(values, kind.value_type)
        return pa.ListArray.from_arrays(offsets, items, type=kind, mask=empty)
    if pt.is_struct(kind) and pt.is_struct(stored):
        return _struct(array, kind)
    fits = (
        (pt.is_string(kind) and is_text(stored))
        or (pt.is_binary(kind) and (pt.is_large_binary(stored) or pt.is_binary_view(stored)))
        or (pt.is_floating(kind) and (pt.is_integer(stored) or pt.is_floating(stored)))
    )
    if not fits:
        raise Mismatch(f"got {stored}, expected {kind}")
    return cast(array, kind)


def _struct(array: pa.Array, kind: pa.StructType) -> pa.Array:
    names = [field.name for field in array.type]
    known = [field.name for field in kind]
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        raise Mismatch(f"got {array.type}, expected {kind}")
    parts = [
        stored_column(array.field(field.name), field.type)
        if field.name in names
        else pa.nulls(len(array), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=nulls(array))
