"""Candidates and a human's scores, in the layouts that public sets have."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipeline.pairs.columns import ColumnMapping
from pipeline.pairs.contract_checks import row_problems
from tests.shards import pair, response

Row = dict[str, Any]


def mapped(table: pa.Table, **mapping: Any) -> list[Row]:
    base = {"pair_id": {"column": "id"}, "prompt": {"const": "q"}}
    rows: list[Row] = ColumnMapping.model_validate(base | mapping).to_pairs(table).to_pylist()
    return rows


EACH = {"each": "completions", "text": "response", "model": "model"}
RATED = {"each": "completions", "score": "annotations.Helpfulness.Rating"}
COMPLETIONS = [
    {"response": "x", "model": "m", "annotations": {"Helpfulness": {"Rating": "4"}}},
    {"response": "y", "model": "n", "annotations": {"Helpfulness": {"Rating": "N/A"}}},
]


def as_list_of_structs() -> pa.Table:
    return pa.table({"id": ["1"], "completions": [COMPLETIONS]})


def as_struct_of_lists() -> pa.Table:
    """How `datasets` stores a sequence of structs."""
    turned = {name: [c[name] for c in COMPLETIONS] for name in COMPLETIONS[0]}
    return pa.table({"id": ["1"], "completions": [turned]})


@pytest.mark.parametrize("table", [as_list_of_structs(), as_struct_of_lists()])
def test_completions_with_ratings(table: pa.Table) -> None:
    (row,) = mapped(table, candidates=EACH, gold_scores=RATED)
    assert row["candidates"] == [response("x", model="m"), response("y", model="n")]
    assert row["gold_scores"] == [4.0, None]


def test_columns_side_by_side() -> None:
    table = pa.table({"id": ["1", "2"], "one": ["a", None], "two": ["b", "c"], "s": [1, 2]})
    rows = mapped(
        table, candidates=["one", {"text": "two", "model": "one"}], gold_scores=["s", "s"]
    )
    assert [row["candidates"] for row in rows] == [
        [response("a"), response("b", model="a")],
        [response(None), response("c")],
    ]
    assert [row["gold_scores"] for row in rows] == [[1.0, 1.0], [2.0, 2.0]]


def test_stored_candidates_are_read_under_their_own_name() -> None:
    candidates = [response("x"), response("y")]
    rows = [pair(0) | {"candidates": candidates, "gold_scores": [1.0, 2.0]}, pair(1)]
    table = pa.Table.from_pylist(
        [{k: v for k, v in row.items() if k not in ("images", "videos")} for row in rows]
    )
    read = ColumnMapping().to_pairs(table).to_pylist()
    assert [row["candidates"] for row in read] == [candidates, None]
    assert [row["gold_scores"] for row in read] == [[1.0, 2.0], None]


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"candidates": {"each": "gone", "text": "x"}}, "column 'gone' is missing"),
        ({"candidates": EACH | {"text": "said"}}, "within 'completions': column 'said' is missing"),
        ({"candidates": {"each": "id", "text": "x"}}, "column 'id': got string, expected a list"),
        ({"gold_scores": {"each": "completions", "score": "model.x"}}, "expected a field 'x'"),
        ({"gold_scores": ["completions"]}, "expected numbers"),
        ({"gold_scores": "id"}, "expected a list"),
    ],
)
def test_what_does_not_fit_is_named(mapping: Row, problem: str) -> None:
    made = ColumnMapping.model_validate({"pair_id": "id", "prompt": {"const": "q"}} | mapping)
    assert any(problem in line for line in made.check(as_list_of_structs().schema))


def test_rows_of_candidates_need_no_responses() -> None:
    none = {"response_a": None, "response_b": None}
    two = [response("x"), response("y")]
    rows = [
        pair(0) | none | {"candidates": two},
        pair(1) | none | {"candidates": two, "gold_scores": [1.0, None]},
        pair(2) | none | {"candidates": two, "gold_scores": [1.0]},
        pair(3) | none | {"candidates": []},
        pair(4) | {"gold_scores": [1.0, 2.0]},
    ]
    table = ColumnMapping().to_pairs(pa.Table.from_pylist([r | {"images": None} for r in rows]))
    assert row_problems(table).to_pylist() == [
        None,
        None,
        "gold_scores are not one a candidate",
        "response_a has neither text nor media",
        "gold_scores are not one a candidate",
    ]
