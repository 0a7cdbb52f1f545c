"""Identity by content: what changes a shard, a pair, a label, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.judge_cards import label_id
from pipeline.pairs.contents import asked_by_user, media_part, pair_row, text_part
from pipeline.pairs.shards import shard_key
from pipeline.runtime.digest import digest
from tests.shards import hash_of, pair, response

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
    assert (hash_of(pair(0) | change) == hash_of(pair(0))) is same


def test_pair_hash_is_of_every_medium_its_kind_place_and_order() -> None:
    one, two = ({"bytes": data, "path": None} for data in (b"one", b"two"))
    media: list[dict[str, Any]] = [
        {"images": None},
        {"images": [one, two]},
        {"images": [two, one]},
        {"images": [{"bytes": b"onetwo", "path": None}]},
        {"images": [one]},
        {"images": None, "videos": [one]},
        {"images": None, "response_b": response("x", images=[one])},
        {"images": None, "response_b": response("x")},
    ]
    ids = [hash_of(pair(0, **each)) for each in media]
    assert len(set(ids)) == len(ids)


def test_pair_hash_tells_places_apart() -> None:
    picture, text = media_part("image", {"bytes": b"x", "path": None}), text_part("y <image>")
    answers = [[text_part("1")], [text_part("2")]]
    contents = [[picture, text], [text, picture], [text_part("y "), picture],
                [text_part("y "), picture, text_part(" <image>")]]  # fmt: skip
    turns = [[*asked_by_user(picture, text), *asked_by_user(text)],
             [*asked_by_user(text), *asked_by_user(picture, text)]]  # fmt: skip
    asked = [*(asked_by_user(*parts) for parts in contents), *turns]
    ids = [hash_of(pair_row("1", each, answers)) for each in asked]
    assert len(set(ids)) == len(ids)


def test_shard_key_is_of_path_size_and_content() -> None:
    keys = {shard_key("a", 1, "x"), shard_key("b", 1, "x"), shard_key("a", 2, "x")}
    assert len(keys | {shard_key("a", 1, "y")}) == 4
    assert shard_key("a", 1, "x")[:16] == shard_key("a", 2, "y")[:16] != shard_key("b", 1, "x")[:16]


def test_label_id_is_of_pair_and_judge() -> None:
    assert (
        len({label_id("p", "j"), label_id("q", "j"), label_id("p", "k"), label_id("j", "p")}) == 4
    )
