"""Which rows break the pairs contract by their values, found for whole columns at a time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from schemas.pairs import GOLD_VALUES, PAIRS

_KEPT = "pairmill:defect"  # the key of the metadata in which a pair keeps why it cannot be judged


def row_problems(pairs: pa.Table) -> pa.ChunkedArray:
    """Why each row of a pairs-v1 table cannot be judged; null where it can.

    Each row is checked by itself: repeated ids and media that cannot be decoded are not found here.
    """
    batches = [_batch_problems(batch) for batch in pairs.to_batches()]
    return pa.chunked_array(batches, pa.string())


def with_defects_kept(pairs: pa.Table) -> pa.Table:
    """Pairs without the column ``defect``, which rows that show none keep in their metadata.

    So a row that a mapping could not read is quarantined wherever it is read again, and never
    judged by what was left of it.
    """
    rest = pairs.select(PAIRS.names)
    shown = pc.equal(pairs["defect"], row_problems(rest))
    hidden = pc.and_(pairs["defect"].is_valid(), pc.invert(pc.fill_null(shown, False)))
    if not pc.any(hidden).as_py():
        return rest
    metadata = rest["metadata"].to_pylist()
    for row in pc.indices_nonzero(hidden).to_pylist():
        defect = {"key": _KEPT, "value": pairs["defect"][row].as_py()}
        metadata[row] = [*(metadata[row] or ()), defect]
    column = PAIRS.field("metadata")
    at = PAIRS.names.index("metadata")
    return rest.set_column(at, column, pa.chunked_array([pa.array(metadata, column.type)]))


def _batch_problems(pairs: pa.RecordBatch) -> pa.Array:
    gold = pairs["gold"]
    gold_known = pc.or_(gold.is_null(), pc.is_in(gold, pa.array(GOLD_VALUES)))
    gold_text = pc.binary_join_element_wise("gold is not a, b, tie or null: ", gold, "")
    questions = (_empty(pairs["prompt"]), _empty(pairs["messages"]))
    both = pc.invert(pc.or_(*questions))
    # Candidates, where a row has them, replace the two responses; what a person has decided needs
    # nothing to be compared.
    pair = pc.and_(_empty(pairs["candidates"]), gold.is_null())
    kept = _kept(pairs["metadata"])
    rules = [
        (kept.is_valid(), kept),
        (_empty(pairs["pair_id"]), "pair_id is null or empty"),
        (pc.and_(*questions), "neither prompt nor messages holds anything"),
        (both, "both prompt and messages are given, expected one of them"),
        (pc.and_(pair, _no_content(pairs["response_a"])), "response_a has neither text nor media"),
        (pc.and_(pair, _no_content(pairs["response_b"])), "response_b has neither text nor media"),
        (_unlike(pairs), "gold_scores are not one a candidate"),
        (pc.invert(gold_known), gold_text),
    ]
    reason = pa.nulls(pairs.num_rows, pa.string())
    for broken, text in reversed(rules):  # the first broken rule wins
        if broken.true_count:
            reason = pc.if_else(broken, text, reason)
    return reason


def _empty(column: pa.Array) -> pa.Array:
    of_text = pt.is_string(column.type)
    length = pc.binary_length(column) if of_text else pc.list_value_length(column)
    return pc.equal(pc.fill_null(length, 0), 0)


def _unlike(pairs: pa.RecordBatch) -> pa.Array:
    """Whether there are scores, and not one for each candidate or each of the two responses."""
    count = pc.fill_null(pc.list_value_length(pairs["candidates"]), 0)
    two = pc.and_(pairs["response_a"].is_valid(), pairs["response_b"].is_valid())
    count = pc.if_else(pc.equal(count, 0), pc.multiply(two.cast(pa.int32()), 2), count)
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


def _no_content(response: pa.Array) -> pa.Array:
    text, images, videos = (
        _empty(pc.struct_field(response, name)) for name in ("text", "images", "videos")
    )
    return pc.and_(text, pc.and_(images, videos))
