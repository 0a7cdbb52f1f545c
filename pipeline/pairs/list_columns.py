"""Columns with an item for each candidate: the candidates themselves, and a human's scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.pairs import canonical
from pipeline.pairs.arrow_layouts import Mismatch, is_text, list_parts
from pipeline.pairs.column_specs import (
    CandidatesSource,
    Each,
    EachScore,
    Listed,
    ListedScores,
    Response,
    ScoresSource,
)
from schemas.pairs import RESPONSE

_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)\s*$"
ReadResponse = Callable[[Response, pa.RecordBatch], pa.Array]


def candidates(
    spec: CandidatesSource, batch: pa.RecordBatch, read_response: ReadResponse
) -> pa.Array:
    """The candidates of each row as ``list<RESPONSE>``.

    Args:
        spec: where they are.
        batch: the foreign rows.
        read_response: reads one response out of a batch.

    Raises:
        Mismatch: the batch's schema does not give them.
    """
    kind = pa.list_(RESPONSE)
    if isinstance(spec, Each):
        offsets, items, empty = _items(canonical.pick(batch, spec.each), spec.each)
        try:
            responses = read_response(spec, items)
        except Mismatch as mismatch:
            raise Mismatch(f"within {spec.each!r}: {mismatch}") from mismatch
        return pa.ListArray.from_arrays(offsets, responses, type=kind, mask=empty)
    if isinstance(spec, Listed):
        return _side_by_side([read_response(source, batch) for source in spec.listed], kind)
    return stored_candidates(canonical.pick(batch, spec.column), spec.column)


def stored_candidates(array: pa.Array, path: str) -> pa.Array:
    """Lists of response structs, in any layout, as ``list<RESPONSE>``."""
    kind = pa.list_(RESPONSE)
    if pt.is_null(array.type):
        return pa.nulls(len(array), kind)
    offsets, values, empty = list_parts(array, path)
    return pa.ListArray.from_arrays(
        offsets, canonical.response(values, path), type=kind, mask=empty
    )


def scores(spec: ScoresSource, batch: pa.RecordBatch) -> pa.Array:
    """A human's score of each candidate as ``list<double>``; null where there is no number.

    Raises:
        Mismatch: the batch's schema does not give them.
    """
    kind = pa.list_(pa.float64())
    if isinstance(spec, EachScore):
        offsets, items, empty = _items(canonical.pick(batch, spec.each), spec.each)
        columns = [_numbers(canonical.pick(items, path), path) for path in spec.score]
        mean = pc.divide(reduce(pc.add, columns), float(len(columns)))
        return pa.ListArray.from_arrays(offsets, mean, type=kind, mask=empty)
    if isinstance(spec, ListedScores):
        columns = [
            _numbers(canonical.pick(batch, source.column), source.column) for source in spec.listed
        ]
        return _side_by_side(columns, kind)
    return stored_scores(canonical.pick(batch, spec.column), spec.column)


def stored_scores(array: pa.Array, path: str) -> pa.Array:
    """Lists of numbers, in any layout, as ``list<double>``."""
    kind = pa.list_(pa.float64())
    if pt.is_null(array.type):
        return pa.nulls(len(array), kind)
    offsets, values, empty = list_parts(array, path)
    return pa.ListArray.from_arrays(offsets, _numbers(values, path), type=kind, mask=empty)


def _items(array: pa.Array, path: str) -> tuple[pa.Array, pa.RecordBatch, pa.Array | None]:
    """(offsets, the items' fields as columns, mask) of a list of structs or a struct of lists.

    The latter is how ``datasets`` stores a sequence of structs.
    """
    if pt.is_struct(array.type):
        fields = [(field.name, array.field(field.name)) for field in array.type]
        parts = [list_parts(column, f"{path}.{name}") for name, column in fields]
        if not parts or any(not part[0].equals(parts[0][0]) for part in parts):
            raise Mismatch(f"column {path!r}: got {array.type}, expected lists of one length")
        columns = {name: part[1] for (name, _), part in zip(fields, parts, strict=True)}
        return parts[0][0], pa.RecordBatch.from_pydict(columns), parts[0][2]
    offsets, values, empty = list_parts(array, path)
    if not pt.is_struct(values.type):
        raise Mismatch(f"column {path!r}: got {array.type}, expected a list of structs")
    columns = {field.name: pc.struct_field(values, field.name) for field in values.type}
    return offsets, pa.RecordBatch.from_pydict(columns), empty


def _numbers(array: pa.Array, path: str) -> pa.Array:
    if is_text(array.type):
        text = array.cast(pa.string())
        numeric = pc.match_substring_regex(text, _NUMBER)
        return pc.utf8_trim_whitespace(pc.if_else(numeric, text, None)).cast(pa.float64())
    if not (pt.is_integer(array.type) or pt.is_floating(array.type) or pt.is_null(array.type)):
        raise Mismatch(f"column {path!r}: got {array.type}, expected numbers")
    return array.cast(pa.float64())


def _side_by_side(columns: Sequence[pa.Array], kind: pa.ListType) -> pa.Array:
    """One list for each row, of that row's value in each column."""
    rows, width = len(columns[0]), len(columns)
    slots = pa.arange(0, rows * width)  # row by row, column by column
    row = pc.divide(slots, width)
    column = pc.subtract(slots, pc.multiply(row, width))
    values = pa.concat_arrays(columns).take(pc.add(pc.multiply(column, rows), row))
    offsets = pc.multiply(pa.arange(0, rows + 1), width).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, values, type=kind)
