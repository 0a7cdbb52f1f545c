"""Criteria against label and gold, and two judges on the same gold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.criteria_measures import criteria_statistics
from pipeline.evaluation.evaluate import Evaluated, Task
from pipeline.evaluation.evaluation_report import make_report
from pipeline.evaluation.evaluation_tables import sections
from pipeline.evaluation.judge_comparison import compare_judges
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.labeling.label_config import LabelConfig
from pipeline.stats.bootstrap import estimates
from tests.judged_pairs import failure, judged, vote
from tests.judging import Row

TWO: Row = {"criteria": [{"name": "Right", "text": ""}, {"name": "Kind", "text": ""}]}
BY_RUBRIC: Row = {"bundle": "rubric-json", "allow_experimental": True, "rubric": TWO}


def scored(*criteria: tuple[str, tuple[float, float]]) -> list[Vote]:
    """Both orders' votes with these scores by criteria, whose mean decides."""
    means = (sum(of[side] for _, of in criteria) / len(criteria) for side in (0, 1))
    a, b = means
    return [vote(order, a, b, criteria=criteria) for order in ("ab", "ba")]


def about(rows: list[JudgedPair], judge: Row = BY_RUBRIC) -> dict[str, dict[str, float]]:
    found = criteria_statistics(rows, JudgeConfig.model_validate(judge))
    return {
        name: {
            key.removeprefix("criterion_"): round(float(each.value or 0), 3)
            for key, each in estimates(measures, len(rows), 0).items()
        }
        for name, measures in found.items()
    }


def test_each_criterion_is_measured_by_itself() -> None:
    rows = [
        judged(scored(("Right", (9, 3)), ("Kind", (4, 5))), "a"),
        judged(scored(("Right", (2, 6)), ("Kind", (5, 5))), "a"),
        judged(scored(("Right", (7, 7)), ("Kind", (8, 2))), "tie"),
        judged([failure("ab"), failure("ba")], "b"),
    ]
    found = about(rows)
    assert found["Right"] == {
        "agreement": 0.5,
        "equal": 0.333,
        "winner": 7.333,  # 9, 6, 7
        "loser": 4.0,  # 3, 2, 7
        "spread": 2.427,
        "missing": 0.25,
    }
    assert (found["Kind"]["agreement"], found["Kind"]["winner"]) == (0.0, 5.667)


def test_criteria_of_rows_count_where_they_were_asked() -> None:
    own = '{"criteria": [{"name": "Terse", "text": ""}]}'
    rows = [judged(scored(("Right", (9, 3)), ("Kind", (4, 5))), "a") for _ in range(3)]
    other = judged(scored(("Terse", (1, 2))), "b")
    found = about([*rows, JudgedPair(other.pair, dict(other.label) | {"rubric": own})])
    assert list(found) == ["Right", "Kind", "Terse"]
    assert (found["Terse"]["missing"], found["Terse"]["agreement"]) == (0, 1)
    assert found["Right"]["missing"] == 0


def card(judge: Row, judge_id: str) -> Row:
    config = JudgeConfig.model_validate(judge)
    return {"judge_id": judge_id * 64, "judge": config.model_dump(mode="json")}


def answers(right: list[bool]) -> list[JudgedPair]:
    """Pairs of 25 prompts, of which a judge labels these right."""
    rows = []
    for number, each in enumerate(right):
        score = (9.0, 2.0) if each else (2.0, 9.0)
        row = judged([vote("ab", *score), vote("ba", *score)], "a", prompt=f"Question {number}?")
        rows.append(JudgedPair(row.pair, dict(row.label) | {"shard": "s", "row": number}))
    return rows


WORSE = [True] * 10 + [False] * 15


@pytest.mark.parametrize(
    ("this", "other", "verdict", "gain"),
    [
        ([True] * 25, WORSE, "better", 0.6),
        (WORSE, [True] * 25, "worse", -0.6),
        ([True] * 12 + [False] * 13, [True] * 13 + [False] * 12, "not shown to differ", -0.04),
        ([True] * 15, WORSE[:15], "not measured", 1 / 3),  # too few prompts for an interval
    ],
)
def test_two_judges_are_compared_pair_by_pair(
    this: list[bool], other: list[bool], verdict: str, gain: float
) -> None:
    cards = card(BY_RUBRIC, "a"), card({}, "b")
    found = compare_judges((cards[0], answers(this)), (cards[1], answers(other)), "pair", 500)
    assert found.verdict == verdict
    assert found.figures["accuracy_gain"].value == pytest.approx(gain)
    assert f"a gain of {gain:+.3f}" in found.statement
    warned = "the rubric is not shown to beat none"
    assert (found.warning or "").startswith(warned) == (verdict != "better")
    back = compare_judges((cards[1], answers(other)), (cards[0], answers(this)), "pair", 500)
    assert back.warning is None  # it has no rubric
    assert back.figures["accuracy_gain"].value == pytest.approx(-gain)


def test_pairs_that_one_judge_has_no_label_of_are_left_out() -> None:
    cards = card(BY_RUBRIC, "a"), card({}, "b")
    found = compare_judges(
        (cards[0], answers([True] * 30)[5:]), (cards[1], answers([True] * 28)), "pair", 100
    )
    assert (found.pairs, found.left_out) == (23, 7)


def test_a_report_has_criteria_and_the_other_judge() -> None:
    config = LabelConfig.model_validate({"judge": BY_RUBRIC})
    rows = answers([True] * 25)
    for row in rows:
        row.label["criteria"] = [{"name": "Right", "scores": [9.0, 2.0]}]  # type: ignore[index]
    result = Evaluated(rows, 0, card(BY_RUBRIC, "a"), 0)
    other = Evaluated(answers([True] * 24 + [False]), 0, card({}, "b"), 0)
    report = make_report(config, replace(Task("gold", "gold"), resamples=200), result, other)
    assert report["criteria"]["Right"]["criterion_winner"]["value"] == 9
    assert report["against"]["verdict"] == "not shown to differ"
    assert any("is not shown to beat none" in warning for warning in report["warnings"])
    titles = [section.title for section in sections(report)]
    assert titles[1:3] == ["Against another judge, on the same pairs", "Criteria"]
