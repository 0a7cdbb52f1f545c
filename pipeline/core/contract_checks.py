"""Which rows break the pairs contract by their values, found for whole columns at a time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from schemas.pairs import GOLD_VALUES


def row_problems(pairs: pa.Table) -> pa.ChunkedArray:
    """Why each row of a pairs-v1 table cannot be judged; null where it can.

    Only what the row itself shows is looked at: not repeated ids, not unreadable media.
    """
    batches = [_batch_problems(batch) for batch in pairs.to_batches()]
    return pa.chunked_array(batches, pa.string())


def _batch_problems(pairs: pa.RecordBatch) -> pa.Array:
    gold = pairs["gold"]
    gold_known = pc.or_(gold.is_null(), pc.is_in(gold, pa.array(GOLD_VALUES)))
    gold_text = pc.binary_join_element_wise("gold is not a, b, tie or null: ", gold, "")
    no_prompt = pc.and_(_empty(pairs["prompt"]), _empty(pairs["messages"]))
    rules = [
        (_empty(pairs["pair_id"]), "pair_id is null or empty"),
        (no_prompt, "neither prompt nor messages holds anything"),
        (_no_content(pairs["response_a"]), "response_a has neither text nor media"),
        (_no_content(pairs["response_b"]), "response_b has neither text nor media"),
        (pc.invert(gold_known), gold_text),
    ]
    reason = pa.nulls(pairs.num_rows, pa.string())
    for broken, text in reversed(rules):  # the first rule that is broken has the last word
        reason = pc.if_else(broken, text, reason)
    return reason


def _empty(column: pa.Array) -> pa.Array:
    of_text = pt.is_string(column.type)
    length = pc.binary_length(column) if of_text else pc.list_value_length(column)
    return pc.equal(pc.fill_null(length, 0), 0)


def _no_content(response: pa.Array) -> pa.Array:
    text, images, videos = (
        _empty(pc.struct_field(response, name)) for name in ("text", "images", "videos")
    )
    return pc.and_(text, pc.and_(images, videos))
