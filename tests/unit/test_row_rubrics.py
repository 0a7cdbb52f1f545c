"""Rubrics of single rows: asked, kept apart, stored and weighted again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.relabel import Relabeler
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.rubric_config import RubricConfig
from pipeline.labeling.unit_result import RowCounts
from pipeline.pairs.shards import shard_key
from pipeline.parts.index_update import update_index
from pipeline.parts.units import Unit
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS
from tests.judging import JUDGE_ID, Row, judge_rows, pairs_of, runner, scripted, text_pair
from tests.shards import response

FOUR = ["Accuracy", "Detail", "Tone", "Safety"]
OWN: Row = {"criteria": [{"name": name, "text": f"about {name}"} for name in FOUR]}
BUNDLE: Row = {"bundle": "rubric-json", "allow_experimental": True}
BY_ROW: Row = BUNDLE | {"rubric": {"metadata": "rubric"}}
DEFAULT: Row = {"criteria": [{"name": "Tone", "text": "kind"}], "metadata": "rubric"}


def asked(number: int, rubric: object = None, **more: Any) -> Row:
    """A pair with a rubric of its own."""
    value = rubric if isinstance(rubric, str) else json.dumps(rubric)
    metadata = None if rubric is None else [{"key": "rubric", "value": value}]
    return text_pair(number, metadata=metadata, **more)


def names(label: Row) -> list[str]:
    return [each["name"] for each in label["criteria"] or ()]


def test_each_row_is_asked_by_its_own_rubric() -> None:
    judge, engine = scripted(judge=BUNDLE | {"rubric": DEFAULT})
    other = [{"name": "Style", "text": "terse", "levels": {"1": "long"}}]
    by_number = {"criteria": [other[0] | {"levels": {1: "long"}}]}  # as YAML reads it
    assert RubricConfig.model_validate(by_number) == RubricConfig(criteria=other)
    rows = [asked(0, OWN), asked(1, other), asked(2)]
    labels = judge_rows(judge, rows)
    assert [names(label) for label in labels] == [FOUR, ["Style"], ["Tone"]]
    assert [label["reason"] for label in labels] == [None] * 3
    assert [label["rubric"] is None for label in labels] == [False, False, True]
    assert table_of(labels, LABELS).num_rows == 3
    shown = {chat.user.partition("?")[0][-1]: chat.user for chat, _ in engine.asked}
    assert "* Style: terse\n    1: long" in shown["1"]
    assert "* Safety: about Safety" in shown["0"]
    assert "* Tone: kind" in shown["2"]


def test_the_rubric_is_a_part_of_what_was_asked() -> None:
    judge, _ = scripted(judge=BUNDLE | {"rubric": DEFAULT})
    heavier = {"criteria": [each | {"weight": 5} for each in OWN["criteria"]]}
    fewer = {"criteria": OWN["criteria"][:3]}
    rows = [asked(0), asked(0, OWN), asked(0, heavier), asked(0, fewer)]
    hashes = [label["pair_hash"] for label in judge_rows(judge, rows)]
    assert hashes[1] == hashes[2]  # weights change no vote
    assert len({*hashes}) == 3
    plain, _ = scripted(judge=BUNDLE | {"rubric": {"criteria": DEFAULT["criteria"]}})
    assert judge_rows(plain, [asked(0)])[0]["pair_hash"] == hashes[0]


@pytest.mark.parametrize(
    ("rubric", "why"),
    [
        ("{half", "not JSON"),
        ("[" * 20_000, "not JSON"),
        ("3", "expected a valid dictionary"),
        ({"criteria": []}, "expected at least one"),
        ({"criteria": [{"name": "x"}]}, "criteria.0.text: missing"),
        ({"criteria": [{"name": "x", "text": "", "weight": 0}]}, "greater than 0"),
        ({"criteria": [{"name": "x", "text": ""}, {"name": "X", "text": ""}]}, "equal names"),
        ({"criteria": [{"name": "a.b", "text": ""}]}, "without braces"),
        ({"criteria": [{"name": "Overall", "text": ""}]}, "for all together"),
        ([{"name": f"c{n}", "text": ""} for n in range(33)], "33 criteria"),
        ([{"name": "x", "text": "y" * 40_000}], "at most 32,768"),
        ({"metadata": "rubric"}, "names no other one"),
        ({"criteria": [{"name": "x", "text": ""}], "weights": {}}, "no such field"),
        (None, "the row has none"),
    ],
)
def test_a_bad_rubric_costs_its_row_alone(rubric: object, why: str) -> None:
    judge, _ = scripted(judge=BY_ROW)
    bad, good = judge_rows(judge, [asked(0, rubric), asked(1, OWN)])
    assert (bad["status"], bad["reason"], bad["votes"]) == ("quarantined", "bad_row", [])
    assert "metadata 'rubric': " in bad["detail"]
    assert why in bad["detail"]
    assert good["status"] == "labeled"


def test_votes_are_reused_under_the_same_rubric_alone(tmp_path: Path) -> None:
    output = Store(str(tmp_path))

    def run(name: str, rows: list[Row]) -> tuple[int, RowCounts]:
        update_index(output, JUDGE_ID)
        judge, engine = scripted(judge=BY_ROW)
        unit = Unit("s.parquet", shard_key("s.parquet", 1, name), 0, len(rows))
        result = asyncio.run(runner(judge, output, name).run(unit, pairs_of(rows)))
        return len(engine.asked), result.counts

    heavier = {"criteria": [each | {"weight": 5} for each in OWN["criteria"]]}
    fewer = {"criteria": OWN["criteria"][:2]}
    assert run("one", [asked(0, OWN), asked(1, OWN)])[0] == 4
    assert run("two", [asked(0, heavier), asked(1, fewer)])[0] == 2
    assert run("three", [asked(5, fewer), asked(1, fewer), asked(0, OWN)])[0] == 2


def test_weights_of_rows_and_of_the_policy_label_again_without_an_engine() -> None:
    two = {
        "criteria": [
            {"name": "Accuracy", "text": "right", "weight": 3},
            {"name": "Tone", "text": "kind"},
        ]
    }
    overall = two | {"overall": "asked"}
    judge = JudgeConfig.model_validate(BUNDLE | {"rubric": DEFAULT})
    labels = judge_rows(
        scripted(judge=BUNDLE | {"rubric": DEFAULT})[0],
        [asked(0, two), asked(1, overall), asked(2)],
    )
    scores = [{"Accuracy": [8.0, 6.0], "Tone": [2.0, 6.0]}] * 2 + [{"Tone": [2.0, 6.0]}]
    for label, by_criterion in zip(labels, scores, strict=True):
        for vote in label["votes"]:
            vote["criteria"] = [{"name": n, "scores": s} for n, s in by_criterion.items()]
            if label is labels[1]:
                vote["score_a"], vote["score_b"] = 9.0, 1.0  # the overall score that was asked for
    table = table_of(labels, LABELS)

    def under(weights: dict[str, float]) -> tuple[list[Any], str]:
        labeler = Labeler.of(judge, PolicyConfig(weights=weights))
        rows = Relabeler(labeler).table(table).to_pylist()
        return [row["scores"] for row in rows], labeler.policy_id

    own, first = under({})
    assert own == [[6.5, 6.0], [9.0, 1.0], [2.0, 6.0]]
    given, second = under({"Tone": 9.0})
    assert given == [[3.5, 6.0], [2.0, 6.0], [2.0, 6.0]]
    none, third = under({"Style": 2.0})  # some row may have it
    assert none == own
    assert len({first, second, third}) == 3


def test_a_group_is_ranked_by_its_own_rubric() -> None:
    judge, _ = scripted(judge=BY_ROW | {"format": "ranking"})
    texts = [response(f"{n} score={s} Tone={t}") for n, s, t in ((1, 9, 1), (2, 5, 4), (3, 2, 9))]
    row = asked(0, OWN) | {"response_a": None, "response_b": None, "candidates": texts}
    (label,) = judge_rows(judge, [row])
    assert (label["status"], label["scores"]) == ("labeled", [7.0, 4.75, 3.75])
    assert label["criteria"][2] == {"name": "Tone", "scores": [1.0, 4.0, 9.0]}
    labeler = Labeler.of(JudgeConfig.model_validate(BY_ROW | {"format": "ranking"}),
                         PolicyConfig(weights={"Tone": 30}))  # fmt: skip
    (row,) = Relabeler(labeler).table(table_of([label], LABELS)).to_pylist()
    assert sorted(row["scores"]) == row["scores"]
