"""Fields that are mere columns of texts, as columns of pairs v2, without a loop over rows.

An ordinary row has words in all of them; all other rows are for the reader of single rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.pairs import v1_columns
from pipeline.pairs.arrow_layouts import Mismatch, is_text
from pipeline.pairs.expressions import Expression
from pipeline.pairs.stored_columns import stored_column
from pipeline.pairs.v1_columns import Whole

Texts = Mapping[str, pa.Array | Sequence[pa.Array]]


def texts_of(expressions: Mapping[str, str], batch: pa.RecordBatch) -> Texts:
    """The columns of texts whose values some fields are.

    Args:
        expressions: of the fields.
        batch: foreign rows.

    Raises:
        Mismatch: a field is something else, or its texts are damaged.
    """
    names = {field: Expression(text).columns for field, text in expressions.items()}
    return {
        field: _text(batch, of) if isinstance(of, str) else [_text(batch, name) for name in of]
        for field, of in names.items()
    }


def _text(batch: pa.RecordBatch, name: str) -> pa.Array:
    if batch.schema.names.count(name) != 1 or not is_text(batch.schema.field(name).type):
        raise Mismatch(f"column {name!r}: expected texts")
    made = stored_column(batch.column(name), pa.string())
    try:
        made.validate(full=True)
    except pa.ArrowInvalid as error:
        raise Mismatch(f"column {name!r}: {error}") from error
    return made


def question(texts: Texts) -> Whole:
    """``messages`` of a prompt; raises Mismatch for other fields."""
    match texts:
        case {"messages": pa.Array() as asked, **others} if not others:
            columns, ordinary = v1_columns.question(pa.record_batch({"prompt": asked}))
            return columns, ordinary & _filled(asked)
    raise Mismatch(f"{', '.join(texts)}: expected one text")


def answers(texts: Texts) -> Whole:
    """``candidates`` of two texts; raises Mismatch for other fields."""
    match texts:
        case {"a": pa.Array() as a, "b": pa.Array() as b, **others} | {
            "candidates": [a, b],
            **others,
        } if not others:
            both = {"response_a": a, "response_b": b}
            said = {n: pa.StructArray.from_arrays([each], ["text"]) for n, each in both.items()}
            columns, ordinary = v1_columns.answers(pa.record_batch(said))
            return columns, ordinary & _filled(a) & _filled(b)
    raise Mismatch(f"{', '.join(texts)}: expected two texts")


def itself(texts: Texts) -> Whole:
    """The column of a field that is one text."""
    ((field, column),) = texts.items()
    if not isinstance(column, pa.Array):
        raise Mismatch(f"{field}: expected one text")
    return {field: column}, np.ones(len(column), bool)


def _filled(text: pa.Array) -> v1_columns.Flags:
    """Null is not."""
    return np.asarray(pc.fill_null(pc.greater(pc.binary_length(text), 0), False), bool)
