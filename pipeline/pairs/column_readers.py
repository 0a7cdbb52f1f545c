"""Reads one pairs-v1 column out of foreign rows, as its source in a mapping says."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.pairs import canonical, list_columns
from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.column_specs import (
    Coded,
    Column,
    Const,
    Each,
    EachScore,
    Fields,
    GoldConst,
    Listed,
    ListedScores,
    Ranking,
    Response,
    Spec,
)
from schemas.pairs import ENTRY, RESPONSE

# A gold value that the mapping does not know keeps its text behind this mark, so that
# `contract_checks` reports it and it can never pass for a label.
UNKNOWN_GOLD = "unknown: "


def read_column(field: pa.Field, spec: Spec | None, batch: pa.RecordBatch) -> pa.Array:
    """One pairs-v1 column.

    Args:
        field: of ``schemas.pairs.PAIRS`` or of a response.
        spec: where it is; None for the column of its own name.
        batch: the foreign rows.

    Returns:
        As many values as rows, of exactly ``field.type``.

    Raises:
        Mismatch: the batch's schema does not give it.
    """
    match spec:
        case None:
            return _same_name(field, batch)
        case Const() | GoldConst():
            return pa.repeat(pa.scalar(spec.const, pa.string()), batch.num_rows)
        case Each() | Listed():
            return list_columns.candidates(spec, batch, _response)
        case EachScore() | ListedScores():
            return list_columns.scores(spec, batch)
        case Response():
            return _response(spec, batch)
        case Ranking():
            return _ranked(spec, batch)
        case Coded():
            return _recoded(spec, batch)
        case Fields():
            return _metadata(spec, batch)
        case Column():
            array = canonical.pick(batch, spec.column)
            return _converted(field.name, array, spec.column)
    raise AssertionError(f"no reader for {type(spec).__name__}")


def _same_name(field: pa.Field, batch: pa.RecordBatch) -> pa.Array:
    if field.name not in batch.schema.names:
        if field.name == "pair_id":
            raise Mismatch(missing(repr(field.name), batch.schema))
        return pa.nulls(batch.num_rows, field.type)
    array = batch.column(canonical.root_of(field.name, batch.schema))
    if array.type == field.type:
        return array.cast(field.type)  # equal types may still differ in the names of list items
    try:
        if field.name == "pair_id":
            return canonical.text(array, field.name)  # an id of another type must be mapped
        if field.type == RESPONSE:
            return canonical.response(array, field.name)
        return _converted(field.name, array, field.name)
    except Mismatch as mismatch:
        raise Mismatch(
            f"column {field.name!r}: got {array.type}, expected {field.type}; "
            f"map it in the configuration if it is a foreign column"
        ) from mismatch


def _converted(name: str, array: pa.Array, path: str) -> pa.Array:
    """A mapped column as what the pairs-v1 column (or part of a response) ``name`` holds."""
    match name:
        case "pair_id":
            return canonical.label(array, path)
        case "images" | "videos":
            return canonical.media(array, path)
        case "candidates":
            return list_columns.stored_candidates(array, path)
        case "gold_scores":
            return list_columns.stored_scores(array, path)
        case "messages":
            return canonical.messages(array, path)
        case "metadata":
            return canonical.metadata(array, path)
    return canonical.text(array, path)


def _response(spec: Response, batch: pa.RecordBatch) -> pa.Array:
    parts = []
    for field in RESPONSE:
        source: Spec | None = getattr(spec, field.name)
        if source is None:
            parts.append(pa.nulls(batch.num_rows, field.type))
        else:
            parts.append(read_column(field, source, batch))
    return pa.StructArray.from_arrays(parts, fields=list(RESPONSE))


def _ranked(spec: Ranking, batch: pa.RecordBatch) -> pa.Array:
    ranks = canonical.pick(batch, spec.ranking)
    first, second, count = canonical.ranking(ranks, spec.ranking)
    better = pc.if_else(
        pc.less(first, second), "a", pc.if_else(pc.equal(first, second), "tie", "b")
    )
    readable = pc.fill_null(pc.and_(pc.equal(count, 2), better.is_valid()), False)
    unreadable = pc.if_else(ranks.is_null(), pa.scalar(None, pa.string()), UNKNOWN_GOLD + "ranks")
    return pc.if_else(readable, better, unreadable)


def _recoded(spec: Coded, batch: pa.RecordBatch) -> pa.Array:
    stored = canonical.label(canonical.pick(batch, spec.column), spec.column)
    codes = pa.array(list(spec.values), pa.string())
    index = pc.index_in(stored, codes, skip_nulls=True)
    meanings = pa.array(list(spec.values.values()), pa.string())
    unknown = pc.binary_join_element_wise(UNKNOWN_GOLD, stored, "")  # null where nothing is stored
    return pc.if_else(index.is_valid(), meanings.take(index), unknown)


def _metadata(spec: Fields, batch: pa.RecordBatch) -> pa.Array:
    """Entries with every key in every row; a null value stays null."""
    rows, keys = batch.num_rows, list(spec.fields)
    columns = []
    for source in spec.fields.values():
        if isinstance(source, Const):
            columns.append(pa.repeat(pa.scalar(source.const, pa.string()), rows))
        else:
            columns.append(canonical.plain(canonical.pick(batch, source.column), source.column))
    slots = pa.arange(0, rows * len(keys))  # row by row, key by key
    row = pc.divide(slots, len(keys))
    key = pc.subtract(slots, pc.multiply(row, len(keys)))
    values = pa.concat_arrays(columns).take(pc.add(pc.multiply(key, rows), row))
    offsets = pc.multiply(pa.arange(0, rows + 1), len(keys)).cast(pa.int32())
    entries = pa.StructArray.from_arrays(
        [pa.array(keys, pa.string()).take(key), values], fields=list(ENTRY)
    )
    return pa.ListArray.from_arrays(offsets, entries)


def missing(name: str, schema: pa.Schema) -> str:
    """Says that a column is missing, and which are there."""
    return f"required column {name} is missing; columns there: {canonical.names(schema)}"
