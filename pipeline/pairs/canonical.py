"""Foreign Arrow arrays turned into the exact column types of pairs v1, without row loops.

Every function takes an array of any offset, chunk-free, and returns an array of the same length.
What a type cannot be turned into raises :class:`Mismatch`; a *value* never raises: it becomes a
null or a marked value, so that one bad row cannot fail the rows beside it. Bytes of media are
shared with the input wherever Arrow can point at them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.pairs.arrow_layouts import (
    Mismatch,
    cast,
    element,
    is_list,
    is_text,
    list_parts,
    nulls,
    plain_list,
)
from pipeline.runtime.suggestion import did_you_mean
from schemas.pairs import ENTRY, MEDIA, MESSAGE, RESPONSE

_STEP = re.compile(r"\[(\d+)\]|\.([^.\[\]]+)")
_PATH = re.compile(r"([^.\[\]]+)((?:\[\d+\]|\.[^.\[\]]+)*)")


def root_of(path: str, schema: pa.Schema) -> str:
    """The top-level column that ``path`` starts at: ``"response"`` for ``"response[0]"``.

    A column whose whole name is ``path``, dots and all, wins over a path into another column.

    Raises:
        Mismatch: the path cannot be parsed, or its column is missing or repeated.
    """
    match = _PATH.fullmatch(path)
    root = path if match is None or path in schema.names else match[1]
    count = len(schema.get_all_field_indices(root))
    if count == 1:
        return root
    if count > 1:
        raise Mismatch(f"column {root!r} is there {count} times")
    if match is None:
        raise Mismatch(f"{path!r} is neither a column nor a path such as 'answers[0].text'")
    hint = did_you_mean(root, schema.names)
    raise Mismatch(f"column {root!r} is missing; columns there: {names(schema)}{hint}")


def names(schema: pa.Schema) -> str:
    """The schema's columns, for a message."""
    return ", ".join(schema.names) or "none"


def pick(batch: pa.RecordBatch, path: str) -> pa.Array:
    """The array at ``path``: a column, or a part of one such as ``answers[0].text``.

    A list too short for ``[n]`` and a null on the way give null.

    Raises:
        Mismatch: the path does not fit the batch's schema.
    """
    root = root_of(path, batch.schema)
    array, where = batch.column(root), root
    for index, name in _STEP.findall(path[len(root) :]):
        if name:
            if not pt.is_struct(array.type) or array.type.get_field_index(name) < 0:
                raise Mismatch(f"column {where!r}: got {array.type}, expected a field {name!r}")
            array, where = pc.struct_field(array, name), f"{where}.{name}"
        else:
            array, where = element(array, int(index), where), f"{where}[{index}]"
    return array


def text(array: pa.Array, path: str) -> pa.Array:
    """Any string type as ``string``; a column that is null throughout as nulls."""
    if not is_text(array.type) and not pt.is_null(array.type):
        raise Mismatch(f"column {path!r}: got {array.type}, expected a string")
    return cast(array, pa.string())


def label(array: pa.Array, path: str) -> pa.Array:
    """Strings, integers and booleans as ``string``: what an id or a code may be stored as."""
    if pt.is_integer(array.type) or pt.is_boolean(array.type):
        return array.cast(pa.string())
    if not is_text(array.type) and not pt.is_null(array.type):
        raise Mismatch(f"column {path!r}: got {array.type}, expected a string or an integer")
    return cast(array, pa.string())


def plain(array: pa.Array, path: str) -> pa.Array:
    """Any single value (text, number, boolean, date) as ``string``, for metadata."""
    if pt.is_nested(array.type) or _is_bytes(array.type) or pt.is_fixed_size_binary(array.type):
        raise Mismatch(f"column {path!r}: got {array.type}, expected a text or a number")
    return cast(array, pa.string())


def media(array: pa.Array, path: str) -> pa.Array:
    """Encoded images or videos as ``list<struct<bytes, path>>``.

    Takes one item a row or a list of them; an item is a struct of exactly ``bytes`` and ``path``,
    encoded bytes, or a string path. A row with no item stays null.

    Raises:
        Mismatch: any other type.
    """
    if pt.is_null(array.type):
        return pa.nulls(len(array), pa.list_(MEDIA))
    if not is_list(array.type):
        return _one_item_lists(_media_items(array, path))
    offsets, values, empty = list_parts(array, path)
    items = _media_items(values, path)
    return pa.ListArray.from_arrays(offsets, items, type=pa.list_(MEDIA), mask=empty)


def messages(array: pa.Array, path: str) -> pa.Array:
    """A conversation as ``list<struct<role, content>>``.

    Raises:
        Mismatch: not a list of structs of exactly the strings ``role`` and ``content``.
    """
    return _text_structs(array, MESSAGE, f"column {path!r}: got {array.type}, expected ")


def metadata(array: pa.Array, path: str) -> pa.Array:
    """Metadata as ``list<struct<key, value>>``, of such a list or a map of strings."""
    kind = array.type
    if pt.is_map(kind):
        array = array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    refusal = f"column {path!r}: got {kind}, expected map<string, string> or "
    return _text_structs(array, ENTRY, refusal)


def response(array: pa.Array, path: str) -> pa.Array:
    """A struct with ``text`` and any other fields of ``RESPONSE`` as that; the rest is null.

    Raises:
        Mismatch: any other type.
    """
    if pt.is_null(array.type):
        return pa.nulls(len(array), RESPONSE)
    fields = [field.name for field in array.type] if pt.is_struct(array.type) else []
    known = {field.name for field in RESPONSE}
    if "text" not in fields or len(set(fields)) < len(fields) or not known.issuperset(fields):
        raise Mismatch(f"column {path!r}: got {array.type}, expected {RESPONSE}")
    parts = []
    for field in RESPONSE:
        read = text if pt.is_string(field.type) else media
        part = array.field(field.name) if field.name in fields else pa.nulls(len(array))
        parts.append(read(part, f"{path}.{field.name}"))
    return pa.StructArray.from_arrays(parts, fields=list(RESPONSE), mask=nulls(array))


def ranking(array: pa.Array, path: str) -> tuple[pa.Array, pa.Array, pa.Array]:
    """A pair of integer ranks as (rank of the first, rank of the second, number of ranks).

    Raises:
        Mismatch: not a list of integers.
    """
    if not is_list(array.type) or not pt.is_integer(array.type.value_type):
        raise Mismatch(f"column {path!r}: got {array.type}, expected a list of two integers")
    return (
        element(array, 0, path),
        element(array, 1, path),
        pc.list_value_length(plain_list(array)),
    )


def _text_structs(array: pa.Array, struct: pa.StructType, refusal: str) -> pa.Array:
    """Lists of structs of strings as lists of exactly ``struct``.

    Raises:
        Mismatch: any other type; says ``refusal`` and the type expected.
    """
    kind = pa.list_(struct)
    if pt.is_null(array.type):
        return pa.nulls(len(array), kind)
    stored = array.type.value_type if is_list(array.type) else array.type
    fits = pt.is_null(stored) or _has_fields(stored, {field.name: is_text for field in struct})
    if not is_list(array.type) or not fits:
        raise Mismatch(f"{refusal}{kind}")
    offsets, values, empty = list_parts(array, refusal)
    fields = [values if pt.is_null(stored) else values.field(field.name) for field in struct]
    parts = [cast(part, field.type) for part, field in zip(fields, struct, strict=True)]
    items = pa.StructArray.from_arrays(parts, fields=list(struct), mask=nulls(values))
    return pa.ListArray.from_arrays(offsets, items, type=kind, mask=empty)


def _media_items(array: pa.Array, path: str) -> pa.Array:
    """One media item for each value."""
    kind = array.type
    if pt.is_null(kind):
        return pa.nulls(len(array), MEDIA)
    if _is_bytes(kind):
        parts = [cast(array, pa.binary()), pa.nulls(len(array), pa.string())]
    elif is_text(kind):
        parts = [pa.nulls(len(array), pa.binary()), cast(array, pa.string())]
    elif _has_fields(kind, {"bytes": _is_bytes, "path": is_text}):
        parts = [cast(array.field(field.name), field.type) for field in MEDIA]
    else:
        raise Mismatch(
            f"column {path!r}: got {kind}, expected media: struct<bytes, path>, "
            f"binary or a string path, or a list of one of these"
        )
    return pa.StructArray.from_arrays(parts, fields=list(MEDIA), mask=nulls(array))


def _one_item_lists(items: pa.Array) -> pa.Array:
    """Lists of one item each; null where the item is null.

    A null list must own no values (Parquet cannot store hidden ones), so null items are left out.
    """
    kind = pa.list_(MEDIA)
    if not items.null_count:
        return pa.ListArray.from_arrays(pa.arange(0, len(items) + 1).cast(pa.int32()), items, kind)
    ends = pc.cumulative_sum(items.is_valid().cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, items.drop_null(), kind, mask=nulls(items))


def _is_bytes(data_type: pa.DataType) -> bool:
    return bool(
        pt.is_binary(data_type) or pt.is_large_binary(data_type) or pt.is_binary_view(data_type)
    )


def _has_fields(data_type: pa.DataType, tests: dict[str, Callable[[pa.DataType], bool]]) -> bool:
    """Whether a struct has exactly these fields, in any order, each passing its test or null."""
    if not pt.is_struct(data_type) or sorted(f.name for f in data_type) != sorted(tests):
        return False
    return all(pt.is_null(field.type) or tests[field.name](field.type) for field in data_type)
