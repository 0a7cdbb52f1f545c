"""Columns that hold what pairs v1 asks for, in any of Arrow's layouts, without a loop over rows.

Bytes of media are shared with the input wherever Arrow can point at them. A type that is none of
these layouts raises :class:`Mismatch`: its values are then read one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as pt

from pipeline.pairs.arrow_layouts import Mismatch, cast, is_list, is_text, list_parts, nulls
from schemas.pairs import ENTRY, MEDIA, MESSAGE, PAIRS, RESPONSE


def stored_column(name: str, array: pa.Array) -> pa.Array:
    """A column as exactly the type that pairs v1 has for ``name``.

    Raises:
        Mismatch: its type is no layout of that type.
    """
    kind = PAIRS.field(name).type
    if pt.is_null(array.type):
        return pa.nulls(len(array), kind)
    if array.type == kind:
        return array.cast(kind)  # equal types may still differ in the names of list items
    return _READERS.get(name, _text)(array)


def _text(array: pa.Array) -> pa.Array:
    if not is_text(array.type) and not pt.is_null(array.type):
        raise Mismatch(f"got {array.type}, expected a string")
    return cast(array, pa.string())


def _media(array: pa.Array) -> pa.Array:
    """One item a row, or a list of them: a struct of bytes and path, bytes, or a path."""
    if pt.is_null(array.type):
        return pa.nulls(len(array), pa.list_(MEDIA))
    if not is_list(array.type):
        return _one_item_lists(_media_items(array))
    return _lists(array, _media_items, MEDIA)


def _metadata(array: pa.Array) -> pa.Array:
    if pt.is_map(array.type):
        key, item = array.type.key_type, array.type.item_type
        array = array.cast(pa.list_(pa.struct([("key", key), ("value", item)])))
    return _lists(array, lambda values: _struct_of_texts(values, ENTRY), ENTRY)


def _response(array: pa.Array) -> pa.Array:
    fields = [field.name for field in array.type] if pt.is_struct(array.type) else []
    known = {field.name for field in RESPONSE}
    if "text" not in fields or len(set(fields)) < len(fields) or not known.issuperset(fields):
        raise Mismatch(f"got {array.type}, expected {RESPONSE}")
    parts = []
    for field in RESPONSE:
        read = _text if pt.is_string(field.type) else _media
        held = array.field(field.name) if field.name in fields else pa.nulls(len(array))
        parts.append(cast(read(held), field.type))
    return pa.StructArray.from_arrays(parts, fields=list(RESPONSE), mask=nulls(array))


def _numbers(array: pa.Array) -> pa.Array:
    kind = array.type
    if not (pt.is_integer(kind) or pt.is_floating(kind) or pt.is_null(kind)):
        raise Mismatch(f"got {kind}, expected numbers")
    return array.cast(pa.float64())


def _identifiers(array: pa.Array) -> pa.Array:
    if pt.is_integer(array.type) or pt.is_decimal(array.type):
        return array.cast(pa.string())
    return _text(array)


def _lists(array: pa.Array, read: Callable[[pa.Array], pa.Array], item: pa.DataType) -> pa.Array:
    offsets, values, empty = list_parts(array, "items")
    return pa.ListArray.from_arrays(offsets, read(values), type=pa.list_(item), mask=empty)


def _struct_of_texts(array: pa.Array, struct: pa.StructType) -> pa.Array:
    if pt.is_null(array.type):
        return pa.nulls(len(array), struct)
    if not _has_fields(array.type, {field.name: is_text for field in struct}):
        raise Mismatch(f"got {array.type}, expected {struct}")
    parts = [cast(array.field(field.name), field.type) for field in struct]
    return pa.StructArray.from_arrays(parts, fields=list(struct), mask=nulls(array))


def _media_items(array: pa.Array) -> pa.Array:
    """One media item for each value; a struct may lack one of its two fields."""
    kind = array.type
    if pt.is_null(kind):
        return pa.nulls(len(array), MEDIA)
    if _is_bytes(kind):
        parts = [cast(array, pa.binary()), pa.nulls(len(array), pa.string())]
    elif is_text(kind):
        parts = [pa.nulls(len(array), pa.binary()), cast(array, pa.string())]
    elif _has_fields(kind, {"bytes": _is_bytes, "path": is_text}):
        parts = [cast(_field(array, field), field.type) for field in MEDIA]
    else:
        raise Mismatch(f"got {kind}, expected media")
    return pa.StructArray.from_arrays(parts, fields=list(MEDIA), mask=nulls(array))


def _field(array: pa.Array, field: pa.Field) -> pa.Array:
    there = array.type.get_field_index(field.name) >= 0
    return array.field(field.name) if there else pa.nulls(len(array), field.type)


def _one_item_lists(items: pa.Array) -> pa.Array:
    """Lists of one item each; null where the item is null.

    A null list must own no values (Parquet cannot store hidden ones), so null items are left out.
    """
    kind = pa.list_(MEDIA)
    if not items.null_count:
        return pa.ListArray.from_arrays(pa.arange(0, len(items) + 1).cast(pa.int32()), items, kind)
    ends = pa.compute.cumulative_sum(items.is_valid().cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, items.drop_null(), kind, mask=nulls(items))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind))


def _has_fields(kind: pa.DataType, tests: dict[str, Callable[[pa.DataType], bool]]) -> bool:
    """Whether a struct has some of these fields and no others, each passing its test or null."""
    names = [field.name for field in kind] if pt.is_struct(kind) else []
    if not names or len(set(names)) < len(names) or not set(names) <= set(tests):
        return False
    return all(pt.is_null(field.type) or tests[field.name](field.type) for field in kind)


_READERS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "pair_id": _identifiers,
    "images": _media,
    "videos": _media,
    "messages": lambda array: _lists(array, lambda v: _struct_of_texts(v, MESSAGE), MESSAGE),
    "metadata": _metadata,
    "response_a": _response,
    "response_b": _response,
    "candidates": lambda array: _lists(array, _response_or_null, RESPONSE),
    "gold_scores": lambda array: _lists(array, _numbers, pa.float64()),
}


def _response_or_null(array: pa.Array) -> pa.Array:
    return pa.nulls(len(array), RESPONSE) if pt.is_null(array.type) else _response(array)
