"""One logical value in Arrow's many layouts: lists, texts and dictionaries brought to one.

What a type cannot be turned into raises :class:`Mismatch`, whose message is for the user.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt


class Mismatch(Exception):
    """A column cannot be read as the mapping states; the message is for the user."""


def is_text(data_type: pa.DataType) -> bool:
    """Whether :func:`text` takes this type without a cast of values."""
    if pt.is_dictionary(data_type):
        return is_text(data_type.value_type)
    return bool(
        pt.is_string(data_type) or pt.is_large_string(data_type) or pt.is_string_view(data_type)
    )


def list_parts(array: pa.Array, path: str) -> tuple[pa.Array, pa.Array, pa.Array | None]:
    """(offsets from 0, the values they cut, mask of null lists or None) of any list array.

    Values are a slice of the input's unless null lists hide some, which a result must not own.

    Raises:
        Mismatch: it is no list.
    """
    if not is_list(array.type):
        raise Mismatch(f"column {path!r}: got {array.type}, expected a list")
    array = plain_list(array)
    offsets = array.offsets
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    owned = pc.sum(pc.list_value_length(array)).as_py() or 0
    if owned == last - first:
        return pc.subtract(offsets, offsets[0]), array.values.slice(first, owned), nulls(array)
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    return offsets.cast(pa.int32()), array.flatten(), nulls(array)


def element(array: pa.Array, index: int, path: str) -> pa.Array:
    """``array[i][index]`` for each row i; null where the list is null or too short."""
    if not is_list(array.type):
        raise Mismatch(f"column {path!r}: got {array.type}, expected a list")
    array = plain_list(array)
    long_enough = pc.greater(pc.list_value_length(array), index)
    starts = array.offsets.slice(0, len(array))
    at = pc.if_else(long_enough, pc.add(starts.cast(pa.int64()), index), None)
    return array.values.take(at.cast(pa.int64()))


def plain_list(array: pa.Array) -> pa.Array:
    """Any list layout as ``list`` with 32-bit offsets."""
    if pt.is_list(array.type):
        return array
    return cast(array, pa.list_(array.type.value_type))


def cast(array: pa.Array, data_type: pa.DataType) -> pa.Array:
    """A cast between layouts of one logical type, sharing value buffers where it can.

    A slice of a buffer beyond 2 GiB has offsets that the narrow type cannot hold: it is copied
    into a buffer of its own first.
    """
    if array.type == data_type:
        return array
    if pt.is_dictionary(array.type):  # Arrow 26 casts none of string views
        return cast(array.dictionary, data_type).take(array.indices)
    try:
        return array.cast(data_type)
    except pa.ArrowInvalid:
        return array.take(pa.arange(0, len(array))).cast(data_type)


def nulls(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def is_list(data_type: pa.DataType) -> bool:
    # Not list views: Arrow 26 casts a slice of one to the wrong lists.
    return bool(
        pt.is_list(data_type) or pt.is_large_list(data_type) or pt.is_fixed_size_list(data_type)
    )
