"""Arrow arrays of any type as the Python values that a mapping's expressions are evaluated over.

Values are those of JSON: texts, numbers, booleans, lists and dictionaries. What JSON lacks becomes
text as Arrow writes it (dates, times), a number that keeps its digits (decimals), or a view of
Arrow's memory (bytes), so that a picture is not copied for being looked at.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt


class DecimalNumber(float):
    """A decimal: compares as a number, and keeps its digits as ``written``."""

    written: str

    def __new__(cls, written: str) -> DecimalNumber:
        number = super().__new__(cls, written)
        number.written = written
        return number


def values_of(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values of an array, in order; null is None, and so is a float that is not a number.

    Raises:
        UnicodeDecodeError: a text is not UTF-8.
    """
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in values_of(chunk)]
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _of_extension(array)
    if pt.is_dictionary(kind):
        meanings = values_of(array.dictionary)
        return [None if at is None else meanings[at] for at in array.indices.to_pylist()]
    if pt.is_struct(kind):
        return _of_structs(array)
    if pt.is_map(kind):
        rows = _of_lists(array)
        return [None if row is None else {str(e["key"]): e["value"] for e in row} for row in rows]
    if pt.is_nested(kind):
        return _of_lists(array)
    return _of_scalars(array)


def value_of_json(text: str) -> Any:
    """What a text of JSON holds.

    ``NaN`` is no JSON, but Python's ``json`` and pandas write it where a value is missing: it is
    None, as it is in a column of floats.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=lambda name: None if name == "NaN" else float(name))


def _of_scalars(array: pa.Array) -> list[Any]:
    kind = array.type
    if _is_bytes(kind):
        return _views(array)
    if pt.is_floating(kind):
        return [None if x is None or math.isnan(x) else float(x) for x in array.to_pylist()]
    if pt.is_decimal(kind):
        return [None if each is None else _decimal(str(each)) for each in array.to_pylist()]
    if pt.is_temporal(kind):
        return list(array.cast(pa.string()).to_pylist())
    return list(array.to_pylist())


def _views(array: pa.Array) -> list[memoryview | None]:
    """Where the bytes of each value lie; ``array[n].as_buffer()`` would copy them."""
    if not (pt.is_binary(array.type) or pt.is_large_binary(array.type)):
        return [memoryview(each.as_buffer()) if each.is_valid else None for each in array]
    _, ends, data = array.buffers()
    if data is None or not len(array):
        return [memoryview(b"") if each.is_valid else None for each in array]
    kind = np.int32 if pt.is_binary(array.type) else np.int64
    at = np.frombuffer(ends, kind)[array.offset : array.offset + len(array) + 1].tolist()
    whole, valid = memoryview(data).toreadonly(), array.is_valid().to_pylist()
    return [
        whole[start:stop] if there else None
        for start, stop, there in zip(at, at[1:], valid, strict=False)
    ]


def _decimal(written: str) -> int | DecimalNumber:
    return int(written) if written.lstrip("-").isdigit() else DecimalNumber(written)


def _of_structs(array: pa.Array) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [values_of(array.field(index)) for index in range(len(names))]
    rows = zip(*columns, strict=True) if columns else [()] * len(array)
    valid = array.is_valid().to_pylist()
    return [
        dict(zip(names, row, strict=True)) if there else None
        for row, there in zip(rows, valid, strict=True)
    ]


def _of_lists(array: pa.Array) -> list[Any]:
    """Lists cut out of the values of all of them, read at once; of list views one by one."""
    kind = array.type
    if not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_map(kind)):
        return [values_of(each.values) if each.is_valid else None for each in array]
    if not len(array):
        return []
    inner = array.values
    if pt.is_map(kind):
        inner = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
    offsets: Sequence[int] = array.offsets.to_pylist()
    first = offsets[0]
    values = values_of(inner.slice(first, offsets[-1] - first))
    valid = array.is_valid().to_pylist()
    return [
        values[start - first : stop - first] if there else None
        for start, stop, there in zip(offsets, offsets[1:], valid, strict=False)
    ]


def _of_extension(array: pa.Array) -> list[Any]:
    values = values_of(array.storage)
    match array.type.extension_name:
        case "arrow.uuid":
            return [None if each is None else str(uuid.UUID(bytes=bytes(each))) for each in values]
        case "arrow.json":
            return [None if each is None else _parsed(each) for each in values]
        case "arrow.bool8":
            return [None if each is None else bool(each) for each in values]
    return values


def _parsed(text: str) -> Any:
    try:
        return value_of_json(text)
    except (ValueError, RecursionError):
        return text  # no JSON: it stays as it is


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pt.is_binary(kind)
        or pt.is_large_binary(kind)
        or pt.is_binary_view(kind)
        or pt.is_fixed_size_binary(kind)
    )
