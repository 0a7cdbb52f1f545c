"""Ranked rows become pairs, whose gold is the order of the two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.ranked_pairs import Expansion, as_pairs
from pipeline.pairs.contents import candidate_texts
from pipeline.pairs.known_layouts import known_layout
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.ranked_sets import RankedPair, ranked_pair
from schemas.pairs import PAIRS
from tests.shards import as_v1, pair, response

ROWS = json.loads((Path(__file__).parent.parent / "layouts" / "ranked.json").read_text())


def ranked() -> pa.Table:
    return to_pairs(known_layout("ranked").mapping, pa.Table.from_pylist(ROWS))


# By hand: ranks 2, 1, 3 and 1, 2, 2, 4, the picture without a rank left out.
ALL = [("r1:ab", "b"), ("r1:ac", "a"), ("r1:bc", "a"), ("r2:ab", "a"), ("r2:ac", "a"),
       ("r2:ad", "a"), ("r2:bc", "tie"), ("r2:bd", "a"), ("r2:cd", "a")]  # fmt: skip
ADJACENT = ["r1:ab", "r1:ac", "r2:ab", "r2:bc", "r2:cd"]
BEST = ["r1:ab", "r1:bc", "r2:ab", "r2:ac", "r2:ad"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [("all", [name for name, _ in ALL]), ("adjacent", ADJACENT), ("best-against-rest", BEST)],
)
def test_pairs_of_a_ranking(how: Expansion, expected: list[str]) -> None:
    made = as_pairs(ranked(), how)
    assert made["defect"].null_count == len(made)
    assert made["pair_id"].to_pylist() == expected
    assert made["gold"].to_pylist() == [dict(ALL)[name] for name in expected]
    last = as_v1(made.to_pylist()[-1])
    paths = [last[name]["images"][0]["path"] for name in ("response_a", "response_b")]
    letters = expected[-1][-2:]
    stored = [path for path in ROWS[1]["generations"] if path]
    assert paths == [stored["abcd".index(letter)] for letter in letters]
    kept = {entry["key"]: entry["value"] for entry in last["metadata"]}
    assert kept == {"ranked_id": "r2", "ranked_pair": letters, "ranked_set": "abcd"}
    assert ranked_pair(made.to_pylist()[-1]) == RankedPair("r2", letters, "abcd")


def test_other_rows_stay_as_they_are() -> None:
    rows = [pair(0), pair(1) | {"pair_id": None, "candidates": [response("x")] * 3},
            pair(2) | {"candidates": [response("x")]}]  # fmt: skip
    table = to_pairs(PairMapping(), pa.Table.from_pylist(rows, PAIRS))
    assert as_pairs(table, "all").to_pylist() == table.to_pylist()
    unscored = pair(3) | {"candidates": [response("x"), response("y"), response("z")]}
    table = to_pairs(PairMapping(), pa.Table.from_pylist([unscored], PAIRS))
    assert as_pairs(table, "all")["gold"].to_pylist() == [None] * 3
    (kept,) = as_pairs(table, "adjacent").to_pylist()
    assert kept["defect"] == "no gold_scores, by which adjacent pairs are chosen"
    many = pair(4) | {"candidates": [response(str(n)) for n in range(27)]}
    table = to_pairs(PairMapping(), pa.Table.from_pylist([many], PAIRS))
    (kept,) = as_pairs(table, "all").to_pylist()
    assert kept["defect"] == "got 27 candidates, expected at most 26"


def test_an_empty_candidate_costs_the_pairs_alone_that_nobody_has_decided() -> None:
    answers = [response("x"), response(""), response("z"), response("w")]
    row = pair(0, images=None) | {"candidates": answers, "gold_scores": [3, 1, 2, None]}
    made = as_pairs(to_pairs(PairMapping(), pa.Table.from_pylist([row], PAIRS)), "all").to_pylist()
    empty = "candidate b has neither text nor media"
    kept = {each["pair_id"][-2:]: (each["gold"], each["defect"]) for each in made}
    assert kept == {
        "ab": ("a", None),
        "ac": ("a", None),
        "ad": (None, None),
        "bc": ("b", None),
        "bd": (None, "candidate a has neither text nor media"),
        "cd": (None, None),
    }
    row |= {"messages": [{"role": "user", "content": ""}], "prompt": None}
    (kept_row,) = as_pairs(to_pairs(PairMapping(), pa.Table.from_pylist([row], PAIRS)), "all")[
        "defect"
    ].to_pylist()
    assert kept_row != empty  # of another fault all of the set stays as it is


@given(st.lists(st.none() | st.integers(0, 4), min_size=3, max_size=9))
def test_gold_agrees_with_the_scores(scores: list[int | None]) -> None:
    row: dict[str, Any] = pair(0, images=None) | {
        "candidates": [response(str(n)) for n in range(len(scores))],
        "gold_scores": scores,
    }
    table = to_pairs(PairMapping(), pa.Table.from_pylist([row], PAIRS))
    made = as_pairs(table, "all").to_pylist()
    assert len(made) == len(scores) * (len(scores) - 1) // 2
    for each in made:
        a, b = (scores[int(str(text))] for text in candidate_texts(each))
        expected = None if a is None or b is None else "tie" if a == b else "a" if a > b else "b"
        assert each["gold"] == expected
    known = sum(score is not None for score in scores)
    for how in ("adjacent", "best-against-rest"):
        assert len(as_pairs(table, how)) == max(0, known - 1)
