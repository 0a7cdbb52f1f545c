"""Python values as Arrow arrays that share the memory of pictures and clips with their source.

``pa.array`` copies every picture, into a buffer that it then copies to a larger one as it grows.
The pictures of a column that is read in whole lie one after the other: they need no copy at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

_MOST_BYTES = 2**31 - 1  # that 32-bit offsets can address


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """As ``pa.array(values, kind)``, which says what values fit.

    Args:
        values: None, or what a type of lists, structs, bytes, texts and numbers holds; bytes as
            views of Arrow's memory are not copied if they follow each other there.
        kind: the type.

    Raises:
        pa.ArrowException: a value does not fit.
        UnicodeEncodeError: a text cannot be stored.
    """
    if not holds_bytes(kind):
        return pa.array(values, kind)
    there = [value for value in values if value is not None]
    if not there:
        return pa.nulls(len(values), kind)
    mask = None if len(there) == len(values) else pa.array([value is None for value in values])
    if pt.is_binary(kind):
        return _bytes(values, there)
    if pt.is_list(kind):
        ends = itertools.accumulate(
            (0 if each is None else len(each) for each in values), initial=0
        )
        items = array_of([item for each in there for item in each], kind.value_type)
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), items, type=kind, mask=mask)
    parts = [
        array_of([None if each is None else each.get(part.name) for each in values], part.type)
        for part in kind
    ]
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a type has bytes in it, as pictures are."""
    if pt.is_struct(kind):
        return any(holds_bytes(part.type) for part in kind)
    if pt.is_list(kind) or pt.is_large_list(kind):
        return holds_bytes(kind.value_type)
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind))


def _bytes(values: Sequence[Any], there: Sequence[Any]) -> pa.Array:
    fit = all(isinstance(each, bytes | memoryview) for each in there)
    if not fit or sum(map(len, there)) > _MOST_BYTES:
        return pa.array(values, pa.binary())  # says what is wrong
    sizes = [0 if each is None else len(each) for each in values]
    buffers = [pa.py_buffer(each) for each in there]
    if all(
        after.address == each.address + each.size for each, after in itertools.pairwise(buffers)
    ):
        data = pa.foreign_buffer(buffers[0].address, sum(sizes), base=buffers)
    else:
        data = pa.py_buffer(b"".join(there))
    ends = np.cumsum([0, *sizes], dtype=np.int32)
    valid = None if len(there) == len(values) else pa.array([each is not None for each in values])
    bits = None if valid is None else valid.buffers()[1]
    return pa.Array.from_buffers(pa.binary(), len(values), [bits, pa.py_buffer(ends), data])
