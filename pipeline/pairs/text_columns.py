"""Fields that are mere columns of texts, as columns of pairs v2, without a loop over rows.

An ordinary row is plain (see ``plain_values``); all other rows are for the reader of single rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.pairs import v1_columns
from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.conversations import TURNS
from pipeline.pairs.plain_values import Column, PlainRows
from pipeline.pairs.stored_columns import stored_column
from pipeline.pairs.v1_columns import Flags, Whole
from schemas.pairs import GOLD_VALUES, MEDIA

Texts = Mapping[str, pa.Array | Sequence[pa.Array]]


def texts_of(expressions: Mapping[str, str], batch: pa.RecordBatch) -> tuple[Texts, Flags]:
    """The texts and media that some fields are in plain rows, and which rows are plain.

    Args:
        expressions: of the fields.
        batch: foreign rows.

    Returns:
        fields that are null in all plain rows are left out.

    Raises:
        Mismatch: a field is something else, or its values are damaged.
    """
    rows = PlainRows(batch.schema)
    values = {field: rows.value(text) for field, text in expressions.items()}
    columns = {column: _stored(batch, column) for column in rows.columns}
    plain = np.ones(len(batch), bool)
    for column, array in columns.items():
        plain &= _plain_texts(array) if column.is_text else v1_columns.there(array)

    def array_of(value: Any) -> pa.Array:
        match value:
            case Column():
                return columns[value]
            case str() if value:
                return pa.repeat(value, len(batch))
        raise Mismatch(f"got {value!r}, expected a text or a medium")

    return {
        field: [*map(array_of, value)] if isinstance(value, list) else array_of(value)
        for field, value in values.items()
        if value is not None
    }, plain


def _stored(batch: pa.RecordBatch, column: Column) -> pa.Array:
    made = stored_column(batch.column(column.name), pa.string() if column.is_text else MEDIA)
    try:
        made.validate(full=True)
    except pa.ArrowInvalid as error:
        raise Mismatch(f"column {column.name!r}: {error}") from error
    return made


def _plain_texts(text: pa.Array) -> Flags:
    """Null is not, nor is what is empty."""
    filled = pc.and_not(pc.greater(pc.binary_length(text), 0), pc.starts_with(text, TURNS))
    return np.asarray(pc.fill_null(filled, False), bool)


def question(texts: Texts) -> Whole:
    """``messages`` of a prompt, with a picture or clip; raises Mismatch for other fields."""
    match texts:
        case {"messages": pa.Array() as asked, **others} if pt.is_string(asked.type):
            media = {field: _one_a_row(field, each) for field, each in others.items()}
            return v1_columns.question(pa.record_batch({"prompt": asked} | media))
    raise Mismatch(f"{', '.join(texts)}: expected one text, and media")


def _one_a_row(field: str, given: pa.Array | Sequence[pa.Array]) -> pa.Array:
    """Lists of one medium each, which may be given as its path."""
    match given:
        case [pa.Array() as media] | (pa.Array() as media):
            if pt.is_string(media.type):
                no_bytes = pa.nulls(len(media), pa.binary())
                media = pa.StructArray.from_arrays([no_bytes, media], fields=list(MEDIA))
            offsets = pa.array(np.arange(len(media) + 1), pa.int32())
            return pa.ListArray.from_arrays(offsets, media, type=pa.list_(MEDIA))
    raise Mismatch(f"{field}: expected one medium a row")


def answers(texts: Texts) -> Whole:
    """``candidates`` of two texts; raises Mismatch for other fields."""
    match texts:
        case {"a": pa.Array() as a, "b": pa.Array() as b, **others} | {
            "candidates": [a, b],
            **others,
        } if not others:
            both = {"response_a": a, "response_b": b}
            said = {n: pa.StructArray.from_arrays([each], ["text"]) for n, each in both.items()}
            return v1_columns.answers(pa.record_batch(said))
    raise Mismatch(f"{', '.join(texts)}: expected two texts")


def itself(texts: Texts) -> Whole:
    """The column of a field that is one text; raises Mismatch for others."""
    match [*texts.items()]:
        case [(field, pa.Array() as column)] if pt.is_string(column.type):
            return {field: column}, np.ones(len(column), bool)
    raise Mismatch(f"{', '.join(texts)}: expected one text")


def gold(texts: Texts) -> Whole:
    """The column of a person's answers."""
    columns, _ = itself(texts)
    return columns, np.asarray(pc.is_in(columns["gold"], pa.array(GOLD_VALUES)), bool)
