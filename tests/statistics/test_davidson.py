"""Davidson's model of ties: known answers, what it leaves as it is, and the fit without gold."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import quad

from pipeline.aggregation.davidson import LEAST_PAIRS, Davidson, fit_davidson
from pipeline.aggregation.decisions import decide
from pipeline.aggregation.policy import PolicyConfig, label_rule, policy_id
from pipeline.judging.judge_config import JudgeConfig, VotesConfig
from pipeline.judging.votes import Vote
from pipeline.lab.vote_study.judge_noise import ties
from pipeline.lab.vote_study.vote_enumeration import Enumeration, vote_for
from pipeline.lab.vote_study.vote_replay import sample_pairs
from pipeline.lab.vote_study.voting_strategies import adaptive, with_ties
from schemas.labels import Status

FORMAT = JudgeConfig().declared_format
COUNTS = st.integers(0, 6)


def cast(choices: Sequence[str]) -> list[Vote]:
    orders = itertools.cycle(("ab", "ba"))
    return [vote_for(order, choice) for choice, order in zip(choices, orders, strict=False)]


def test_the_known_answer() -> None:
    model = Davidson(1, 2)
    assert model.p_prefers_a(2, 0, 4) == pytest.approx(0.8234, abs=5e-5)
    assert model.p_tie(2, 0, 4) == pytest.approx(0.2960, abs=5e-5)


@given(COUNTS, COUNTS, COUNTS, st.floats(0.1, 8), st.floats(0.5, 4))
def test_sides_are_alike_and_ties_lessen_a_lead(
    a: int, b: int, tie: int, tie_odds: float, gap_spread: float
) -> None:
    model = Davidson(tie_odds, gap_spread)
    assert model.p_prefers_a(a, b, tie) == 1 - model.p_prefers_a(b, a, tie) or a == b
    assert model.p_tie(a, b, tie) == model.p_tie(b, a, tie)
    if a > b:
        assert 0.5 < model.p_prefers_a(a, b, tie + 1) < model.p_prefers_a(a, b, tie) + 1e-12
    assert model.p_tie(a, b, tie) < model.p_tie(a, b, tie + 1)


def test_the_posterior_is_that_of_an_integral() -> None:
    nu, sigma, a, b, tie = 3.0, 1.5, 3, 1, 2

    def joint(s: float) -> float:
        likelihood = math.exp(s * (a - b) / 2) / (2 * math.cosh(s / 2) + nu) ** (a + b + tie)
        return likelihood * math.exp(-(s**2) / 2 / sigma**2)

    above, whole = quad(joint, 0, 12)[0], quad(joint, -12, 12)[0]
    assert Davidson(nu, sigma).p_prefers_a(a, b, tie) == pytest.approx(above / whole, abs=1e-5)


@pytest.mark.parametrize("nu", [1, 3])
def test_the_numbers_of_a_judge_are_found_in_its_votes(nu: float) -> None:
    pairs = [pair.votes[:8] for pair in sample_pairs(ties(nu), 2_000, seed=3)]
    model = fit_davidson(pairs)
    assert model is not None
    assert model.tie_odds == pytest.approx(nu, rel=0.1)
    assert model.gap_spread == pytest.approx(2, rel=0.1)


def test_few_pairs_or_none_with_ties_tell_nothing() -> None:
    pairs = [pair.votes[:2] for pair in sample_pairs(ties(1), LEAST_PAIRS, seed=3)]
    assert fit_davidson(pairs[1:]) is None
    assert fit_davidson([*pairs[1:], cast(["a"])]) is None
    assert fit_davidson([cast(["a", "a"])] * LEAST_PAIRS) is None
    assert fit_davidson(pairs) is not None


def test_numbers_at_a_bound_are_none_that_were_found() -> None:
    """Sides that always agree are the likelier the farther pairs are apart, without an end."""
    agreeing = [cast(["a", "a"]), cast(["b", "b"])] * 295
    assert fit_davidson([*agreeing, *[cast(["tie", "tie"])] * 10]) is None


@pytest.mark.parametrize(
    ("choices", "status", "confidence"),
    [
        (["a", "a"], Status.LABELED, 0.8665),
        (["tie"] * 6, Status.TIE, 0.5),
        (["a", "tie", "tie", "tie"], Status.TIE, 0.54),
    ],
)
def test_a_policy_labels_by_it(choices: list[str], status: Status, confidence: float) -> None:
    policy = PolicyConfig(tie_odds=3, gap_spread=2, threshold=0.8)
    decision = decide(FORMAT, cast(choices), label_rule(VotesConfig(), policy))
    assert decision.status is status
    assert decision.confidence is not None
    assert decision.confidence >= confidence


def test_it_is_part_of_the_policys_identity_and_changes_nothing_where_it_is_not_set() -> None:
    rules = [label_rule(VotesConfig(), PolicyConfig(**given)) for given in GIVEN]
    assert len({policy_id(rule, None) for rule in rules}) == len(GIVEN)
    with pytest.raises(ValidationError, match="gap_spread is of tie_odds"):
        PolicyConfig(gap_spread=1)
    with pytest.raises(ValidationError, match="prior and tie_threshold: of the Beta posterior"):
        PolicyConfig(tie_odds=1, prior=0.5, tie_threshold=0.9)
    with pytest.raises(ValidationError, match=r"gap_spread\n.*less than or equal to 8"):
        PolicyConfig(tie_odds=1, gap_spread=236)


GIVEN: list[dict[str, float]] = [{}, {"tie_odds": 1}, {"tie_odds": 1, "gap_spread": 1}]


def test_the_votes_that_call_a_tie_are_as_many_as_it_expects() -> None:
    """After four votes, of pairs of which equally many ties are expected."""
    model, outcomes = Davidson(3, 2), defaultdict[float, list[bool]](list)
    for pair in sample_pairs(ties(3), 4_000, seed=7):
        counts = [sum(vote.choice == side for vote in pair.votes[:4]) for side in ("a", "b", "tie")]
        outcomes[model.p_tie(*counts)].append(pair.votes[4].choice == "tie")
    kinds = [(expected, fmean(seen)) for expected, seen in outcomes.items() if len(seen) > 300]
    assert min(kinds)[0] < 0.45 < 0.55 < max(kinds)[0]
    for expected, seen in kinds:
        assert seen == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("nu", [1, 3])
def test_it_asks_as_the_default_does(nu: float) -> None:
    default, davidson = (
        Enumeration(each).averages(ties(nu)) for each in (adaptive(8), with_ties(8, nu))
    )
    assert davidson.votes == default.votes
    assert davidson.among_decided >= default.among_decided
