"""Which rows break the pairs contract by their values, found for whole columns at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.pairs.conversations import ANSWERED
from schemas.pairs import GOLD_VALUES, PAIRS_V2

_KEPT = "pairmill:defect"  # the key of the metadata in which a pair keeps why it cannot be judged
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def row_problems(pairs: Mapping[str, pa.Array]) -> pa.Array:
    """Why each row of the columns of pairs v2 cannot be judged; null where it can.

    Each row is checked by itself: repeated ids and media that cannot be decoded are not found here.
    """
    gold = pairs["gold"]
    gold_known = pc.or_(gold.is_null(), pc.is_in(gold, pa.array(GOLD_VALUES)))
    gold_text = pc.binary_join_element_wise("gold is not a, b, tie or null: ", gold, "")
    # What a person has decided needs nothing to be compared.
    empty = _empty_candidates(pairs["candidates"])
    unasked = _unasked(pairs["messages"])
    kept = _kept(pairs["metadata"])
    rules = [
        (kept.is_valid(), kept),
        (_empty(pairs["pair_id"]), "pair_id is null or empty"),
        (_empty(pairs["messages"]), "there is no question: messages hold nothing"),
        (unasked.is_valid(), unasked),
        (pc.and_(_empty(pairs["candidates"]), gold.is_null()), "there are no candidates"),
        (pc.and_(empty.is_valid(), gold.is_null()), empty),
        (_unlike(pairs), "gold_scores are not one a candidate"),
        (pc.invert(gold_known), gold_text),
    ]
    reason = pa.nulls(len(gold), pa.string())
    for broken, text in reversed(rules):  # the first broken rule wins
        if broken.true_count:
            reason = pc.if_else(broken, text, reason)
    return reason


def with_defects_kept(pairs: pa.Table) -> pa.Table:
    """Pairs v2, in whose metadata rows keep a ``defect`` that they do not show.

    So a row that a mapping could not read is quarantined wherever it is read again, and never
    judged by what was left of it.
    """
    rest = pairs.select(PAIRS_V2.names)
    if pairs["defect"].null_count == len(pairs):
        return rest.cast(PAIRS_V2)
    columns = {name: _whole(rest[name]) for name in rest.column_names}
    shown = pc.equal(pairs["defect"], row_problems(columns))
    hidden = pc.and_(pairs["defect"].is_valid(), pc.invert(pc.fill_null(shown, False)))
    if not pc.any(hidden).as_py():
        return rest.cast(PAIRS_V2)
    metadata = rest["metadata"].to_pylist()
    for row in pc.indices_nonzero(hidden).to_pylist():
        defect = {"key": _KEPT, "value": pairs["defect"][row].as_py()}
        metadata[row] = [*(metadata[row] or ()), defect]
    column = PAIRS_V2.field("metadata")
    at = PAIRS_V2.names.index("metadata")
    made = rest.set_column(at, column, pa.chunked_array([pa.array(metadata, column.type)]))
    return made.cast(PAIRS_V2)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array; ``combine_chunks`` copies pictures even where there is one chunk."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _empty(column: pa.Array) -> pa.Array:
    of_text = pt.is_string(column.type)
    length = pc.binary_length(column) if of_text else pc.list_value_length(column)
    return pc.equal(pc.fill_null(length, 0), 0)


def _empty_candidates(candidates: pa.Array) -> pa.Array:
    """Of each row, which candidate is null or has neither text nor media; null if none is."""
    reasons: list[str | None] = [None] * len(candidates)
    content = pc.struct_field(pc.list_flatten(candidates), "content")
    empty = pc.indices_nonzero(_empty(content))
    if len(empty):
        rows = pc.list_parent_indices(candidates)
        first = pc.index_in(pc.unique(rows), rows)
        starts = {row.as_py(): at.as_py() for row, at in zip(pc.unique(rows), first, strict=True)}
        for at in reversed(empty.to_pylist()):
            row = rows[at].as_py()
            reasons[row] = _empty_candidate(at - starts[row])
    return pa.array(reasons, pa.string())


def empty_candidate(candidates: Sequence[Mapping[str, Any] | None]) -> str | None:
    """Which candidate of one row is null or has neither text nor media; None if none is."""
    empty = (n for n, each in enumerate(candidates) if not (each and each["content"]))
    first = next(empty, None)
    return None if first is None else _empty_candidate(first)


def _empty_candidate(number: int) -> str:
    return f"candidate {_LETTERS[number % len(_LETTERS)]} has neither text nor media"


def _unasked(messages: pa.Array) -> pa.Array:
    """Of each row, why its messages ask nothing; null where they do, and where there are none."""
    reasons: list[str | None] = [None] * len(messages)
    turns, rows = pc.list_flatten(messages), pc.list_parent_indices(messages)
    if not len(rows):
        return pa.array(reasons, pa.string())
    roles = pc.struct_field(turns, "role")
    last = pc.not_equal(rows, pa.concat_arrays([rows[1:], pa.array([-1], rows.type)]))
    others = pc.and_(roles.is_valid(), pc.invert(pc.is_in(roles, pa.array(ANSWERED))))
    for at in pc.indices_nonzero(pc.and_(last, others)).to_pylist():
        expected = " or ".join(ANSWERED)
        reasons[rows[at].as_py()] = f"the conversation ends with {roles[at]}, expected {expected}"
    empty = _empty(pc.struct_field(turns, "content"))
    empty = pc.and_(empty, pc.fill_null(pc.equal(roles, "user"), False))
    for row in pc.unique(rows.filter(empty)).to_pylist():
        reasons[row] = "a message by the user is empty"
    return pa.array(reasons, pa.string())


def _unlike(pairs: Mapping[str, pa.Array]) -> pa.Array:
    """Whether there are scores, and not one for each candidate."""
    count = pc.fill_null(pc.list_value_length(pairs["candidates"]), 0)
    same = pc.equal(pc.list_value_length(pairs["gold_scores"]), count)
    return pc.invert(pc.fill_null(same, True))  # no scores are no fault


def _kept(metadata: pa.Array) -> pa.Array:
    """Why a row cannot be judged as its metadata says; null where it says nothing."""
    reasons: list[str | None] = [None] * len(metadata)
    if metadata.null_count == len(metadata):
        return pa.array(reasons, pa.string())
    rows = pc.list_parent_indices(metadata)
    entries = pc.list_flatten(metadata)
    found = pc.indices_nonzero(
        pc.fill_null(pc.equal(pc.struct_field(entries, "key"), _KEPT), False)
    )
    for at in found.to_pylist():
        reasons[rows[at].as_py()] = entries[at]["value"].as_py()
    return pa.array(reasons, pa.string())
