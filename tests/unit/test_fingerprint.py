"""Identity by content: what changes a shard, a pair, a label, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.judge_cards import label_id
from pipeline.pairs.pair_hash import Content, pair_hash
from pipeline.pairs.shards import shard_key
from pipeline.runtime.digest import digest
from tests.shards import pair, response

PARTS = st.lists(st.binary(max_size=6), max_size=4)


@given(PARTS, PARTS)
def test_parts_never_run_into_each_other(first: list[bytes], second: list[bytes]) -> None:
    assert (digest(*first) == digest(*second)) is (first == second)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        (
            {
                "pair_id": "other",
                "gold": "a",
                "source": "s",
                "metadata": [{"key": "k", "value": "v"}],
            },
            True,
        ),
        ({"response_a": response("Answer 0, score=9", model="m")}, True),
        ({"prompt": "another"}, False),
        ({"prompt": None, "messages": [{"role": "user", "content": "hi"}]}, False),
        ({"response_a": response("another")}, False),
        (
            {
                "response_a": pair(0)["response_b"],
                "response_b": pair(0)["response_a"],
            },
            False,
        ),
    ],
)
def test_pair_hash_is_of_what_is_judged(change: dict[str, Any], same: bool) -> None:
    assert (hashed(pair(0) | change) == hashed(pair(0))) is same


def hashed(row: dict[str, Any], context: Content | None = None, *more: Content) -> str:
    """The hash of a pair of texts, with that context and those further candidates."""
    candidates = [Content(row[name]["text"]) for name in ("response_a", "response_b")]
    return pair_hash(row, [*candidates, *more], context or Content(None))


def test_pair_hash_is_of_every_medium_its_kind_place_and_order() -> None:
    one, two = b"one", b"two"
    contexts = [
        Content(None),
        Content(None, images=(one, two)),
        Content(None, images=(two, one)),
        Content(None, images=(one + two,)),
        Content(None, images=(one,)),
        Content(None, videos=(one,)),
    ]
    ids = [hashed(pair(0), context) for context in contexts]
    ids += [hashed(pair(0), None, Content(None, images=(one,))), hashed(pair(0), None, Content(""))]
    assert len(set(ids)) == len(ids)


def test_shard_key_is_of_path_size_and_content() -> None:
    keys = {shard_key("a", 1, "x"), shard_key("b", 1, "x"), shard_key("a", 2, "x")}
    assert len(keys | {shard_key("a", 1, "y")}) == 4
    assert shard_key("a", 1, "x")[:16] == shard_key("a", 2, "y")[:16] != shard_key("b", 1, "x")[:16]


def test_label_id_is_of_pair_and_judge() -> None:
    assert (
        len({label_id("p", "j"), label_id("q", "j"), label_id("p", "k"), label_id("j", "p")}) == 4
    )
