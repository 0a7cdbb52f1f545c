"""Which rows break the pairs contract by their values, found for whole columns at a time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from schemas.pairs import GOLD_VALUES


def row_problems(pairs: pa.Table) -> pa.ChunkedArray:
    """Why each row of a pairs-v1 table cannot be judged; null where it can.

    Each row is checked by itself: repeated ids and media that cannot be decoded are not found here.
    """
    batches = [_batch_problems(batch) for batch in pairs.to_batches()]
    return pa.chunked_array(batches, pa.string())


def _batch_problems(pairs: pa.RecordBatch) -> pa.Array:
    gold = pairs["gold"]
    gold_known = pc.or_(gold.is_null(), pc.is_in(gold, pa.array(GOLD_VALUES)))
    gold_text = pc.binary_join_element_wise("gold is not a, b, tie or null: ", gold, "")
    no_prompt = pc.and_(_empty(pairs["prompt"]), _empty(pairs["messages"]))
    # Candidates, where a row has them, replace the two responses.
    pair = _empty(pairs["candidates"])
    rules = [
        (_empty(pairs["pair_id"]), "pair_id is null or empty"),
        (no_prompt, "neither prompt nor messages holds anything"),
        (pc.and_(pair, _no_content(pairs["response_a"])), "response_a has neither text nor media"),
        (pc.and_(pair, _no_content(pairs["response_b"])), "response_b has neither text nor media"),
        (_unlike(pairs["gold_scores"], pairs["candidates"]), "gold_scores are not one a candidate"),
        (pc.invert(gold_known), gold_text),
    ]
    reason = pa.nulls(pairs.num_rows, pa.string())
    for broken, text in reversed(rules):  # the first broken rule wins
        reason = pc.if_else(broken, text, reason)
    return reason


def _empty(column: pa.Array) -> pa.Array:
    of_text = pt.is_string(column.type)
    length = pc.binary_length(column) if of_text else pc.list_value_length(column)
    return pc.equal(pc.fill_null(length, 0), 0)


def _unlike(scores: pa.Array, candidates: pa.Array) -> pa.Array:
    same = pc.equal(pc.list_value_length(scores), pc.fill_null(pc.list_value_length(candidates), 0))
    return pc.invert(pc.fill_null(same, True))  # no scores are no fault


def _no_content(response: pa.Array) -> pa.Array:
    text, images, videos = (
        _empty(pc.struct_field(response, name)) for name in ("text", "images", "videos")
    )
    return pc.and_(text, pc.and_(images, videos))
