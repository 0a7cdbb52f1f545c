"""What a panel and a cascade make of judges' answers; ten rows, no store."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.aggregation.composition import Answer, Combined
from pipeline.aggregation.first_settled import OPEN, FirstSettled
from pipeline.aggregation.panel import By, Panel, PanelFit, PanelJudge, fit_id
from schemas.labels import NOT_ASKED

_SWAPPED = {"a": "b", "b": "a", None: None}


def fitted(by: By, weights: list[float], families: list[int], **more: Any) -> PanelFit:
    judges = tuple(
        PanelJudge(judge_id=f"{number}" * 64, weight=weight, family=family)
        for number, (weight, family) in enumerate(zip(weights, families, strict=True))
    )
    made: dict[str, Any] = {
        "fit_id": fit_id(by, judges),
        "by": by,
        "judges": judges,
        "fitted_to": "x",
        "effective_judges": None,
        "gold_set": None,
        "gold_pairs": 0,
        "gold_prompts": 0,
        "pairs": 9,
        "fitted_at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "figures": {},
    }
    return PanelFit.model_validate(made | more)


def said(share: float, confidence: float | None = 0.9) -> Answer:
    """An answer by the share of votes for a."""
    if share == 0.5:
        return Answer("tie", None, None, share, confidence)
    return Answer("labeled", "a" if share > 0.5 else "b", None, share, confidence)


def swapped(answer: Answer | None) -> Answer | None:
    if answer is None or answer.p_a_raw is None:
        return answer
    return answer._replace(preference=_SWAPPED[answer.preference], p_a_raw=1 - answer.p_a_raw)


GONE = [Answer("quarantined"), Answer(NOT_ASKED), None]
ANSWER = st.sampled_from([said(0), said(0.25), said(0.5), said(1), *GONE])
ANSWERS = st.lists(ANSWER, min_size=4, max_size=4).filter(
    lambda answers: any(each is not None and each.given for each in answers)
)
RULES = [
    Panel(fitted("stacked", [0.5, 0.25, 1.5, 0.75], [0, 0, 1, 2])),
    Panel(fitted("dawid-skene", [0.5, 0.25, 1.5, 0.75], [0, 0, 1, 2])),
    Panel(fitted("one-per-family", [1, 1, 1, 1], [0, 0, 1, 2])),
]


@given(ANSWERS, st.sampled_from(RULES))
def test_exchanging_the_candidates_exchanges_the_label(
    answers: list[Answer | None], rule: Panel
) -> None:
    one, other = rule.combine(answers), rule.combine([swapped(each) for each in answers])
    assert one.status == other.status
    assert one.confidence == pytest.approx(other.confidence)
    assert one.preference == _SWAPPED[other.preference]
    if rule.fit.by == "stacked":
        assert one.p_a == pytest.approx(1 - (other.p_a or 0))
    else:
        assert one.p_a is one.confidence is None


@given(ANSWERS, st.sampled_from(RULES), st.integers(0, 3))
def test_a_judge_that_says_a_instead_never_makes_the_label_b(
    answers: list[Answer | None], rule: Panel, judge: int
) -> None:
    if answers[judge] is None or not answers[judge].given:  # type: ignore[union-attr]
        return
    before = rule.combine(answers)
    after = rule.combine([said(1) if n == judge else each for n, each in enumerate(answers)])
    if before.preference == "a":
        assert after.preference != "b"


def test_a_judge_that_is_missing_adds_nothing() -> None:
    rule = RULES[0]
    whole = rule.combine([said(1), None, said(0), Answer("quarantined")])
    assert whole.p_a == pytest.approx(1 / (1 + math.exp(-(0.5 - 1.5))))
    assert (whole.status, whole.preference, whole.together) == ("labeled", "b", True)
    assert whole.p_a_raw == 0.5  # of those that answered


def test_a_calibrated_judge_is_as_sure_as_its_probability() -> None:
    sure = Answer("labeled", "a", 0.75, 1.0, 0.75)
    found = RULES[0].combine([None, None, sure, None])
    assert found.p_a == pytest.approx(1 / (1 + math.exp(-1.5 * 0.5)))


def test_families_have_a_vote_each() -> None:
    rule = RULES[2]
    assert rule.combine([said(1), said(1), said(0), said(0)]).preference == "b"
    assert rule.combine([said(1), said(1), said(0), None]).status == "abstained"
    assert rule.combine([said(1), said(0), said(0), None]).preference == "b"


def test_a_tie_is_what_most_call_one() -> None:
    assert RULES[0].combine([said(0.5)] * 3 + [said(1)]).status == "tie"
    assert RULES[0].combine([said(0.5)] * 2 + [said(1)] * 2).status == "labeled"


def test_a_fit_that_was_changed_is_refused() -> None:
    with pytest.raises(ValidationError, match="not that of these judges and weights"):
        fitted("stacked", [0.5, 1.0], [0, 1], fit_id="ab")


@given(st.lists(ANSWER, min_size=3, max_size=3), st.floats(0.5, 1), st.floats(0.5, 1))
def test_a_cascade_takes_an_answer_as_it_is(
    answers: list[Answer | None], first: float, second: float
) -> None:
    rule = FirstSettled((first, second))
    if not any(each is not None and each.given for each in answers):
        return
    found = rule.combine(answers)
    taken = answers[found.taken]
    assert taken is not None
    assert taken.given
    settled = [rule.settles(tier, each) for tier, each in enumerate(answers)]
    if any(settled):
        assert found == Combined.of(settled.index(True), taken)
    elif found.detail == OPEN:
        assert any(each is not None and each.status == NOT_ASKED for each in answers)
        assert (found.status, found.preference) == ("abstained", None)
    else:
        assert found == Combined.of(found.taken, taken)
