"""Thresholds that no votes of a judge can reach are refused, and no others."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.evidence import Evidence, next_orders
from pipeline.aggregation.policy import PolicyConfig, label_rule
from pipeline.aggregation.reachable import check_reachable, highest, unanimous
from pipeline.judging.judge_config import JudgeConfig, VotesConfig
from pipeline.judging.votes import Vote
from pipeline.lab.tiny_judge.asked_formats import format_of
from pipeline.runtime.errors import ConfigError
from schemas.labels import VERDICT


def refused(
    votes: dict[str, Any], policy: dict[str, Any], *, calibrated: bool = False, **judge: Any
) -> str:
    """The message; empty where it is not refused."""
    config = JudgeConfig.model_validate({"votes": votes, **judge})
    try:
        check_reachable(config, PolicyConfig.model_validate(policy), calibrated=calibrated)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_label_rule_stricter_than_the_votes_allow_says_what_they_reach() -> None:
    # Two agreeing votes end the asking at 7/8. After one vote and a tie two more make 15/16.
    assert refused({}, {"threshold": 0.95}) == (
        "policy.threshold: got 0.95, but the votes of this judge reach 0.9375 at most, so that no "
        "pair would get a preference. What unanimous votes reach, by their number: 2: 0.875, 4: "
        "0.9687, 6: 0.9921, 8: 0.998; this judge is asked for at most 8 votes, and for no more "
        "once judge.votes.threshold 0.74 is reached. Set policy.threshold to at most 0.9375; or "
        "judge.votes.threshold to 0.95, or judge.votes.min_votes to 4, so that more votes are "
        "asked for"
    )
    assert refused({"threshold": 0.95}, {"threshold": 0.95}) == ""
    assert refused({"min_votes": 4}, {"threshold": 0.95}) == ""


def test_the_gain_rule_stops_at_a_lead_of_two_whatever_the_threshold() -> None:
    assert refused({"stop": "gain", "threshold": 0.9}, {}) == (
        "judge.votes.threshold: got 0.9, but the votes of this judge reach 0.875 at most, so that "
        "no pair would get a preference. What unanimous votes reach, by their number: 2: 0.875, 4: "
        "0.9687, 6: 0.9921, 8: 0.998; this judge is asked for at most 8 votes, and for no more "
        "once another round gains less than 0.05. Set judge.votes.threshold to at most 0.875; or "
        "judge.votes.min_votes to 4, so that more votes are asked for"
    )
    assert refused({"stop": "gain", "threshold": 0.9, "min_votes": 4}, {}) == ""


@pytest.mark.parametrize(
    ("votes", "policy", "name", "way"),
    [
        # n unanimous votes reach 1 - 2**-(n + 1): 8 votes 511/512, and 10 votes 2047/2048.
        ({"threshold": 0.999}, {}, "judge.votes.threshold", "judge.votes.max_votes to 10 or more"),
        (
            {"threshold": 0.999},
            {},
            "judge.votes.threshold",
            "judge.votes.threshold to at most 0.998",
        ),
        ({"threshold": 0.9, "max_votes": 3}, {}, "judge.votes.threshold", "to at most 0.875"),
        ({}, {"min_confidence": 0.94}, "policy.min_confidence", "fit a calibration"),
        # Beta(5, 3): 99/128.
        (
            {"max_votes": 2},
            {"prior": 3.0, "threshold": 0.8},
            "policy.threshold",
            "to at most 0.7734",
        ),
    ],
)
def test_what_is_refused_and_what_to_set(
    votes: dict[str, Any], policy: dict[str, Any], name: str, way: str
) -> None:
    message = refused(votes, policy)
    assert message.startswith(f"{name}: got ")
    assert way in message


def test_what_is_not_refused() -> None:
    assert refused({}, {}) == ""
    assert refused({}, {"min_confidence": 0.99}, calibrated=True) == ""
    assert refused({}, {"threshold": 0.95}, format="single_score") == ""
    # Other pairs of a ranking ask for more votes: all eight may agree about this one.
    assert refused({}, {"threshold": 0.99}, format="batch_ranking") == ""
    assert refused({}, {"threshold": 0.999}, format="batch_ranking") != ""
    assert refused({}, {"threshold": 0.95}, format="pairwise_options") != ""


def test_small_gaps_may_ask_for_the_whole_budget() -> None:
    # A gap of 9 at a scale of 9 counts 3/4 and 1/4: of 8 votes 6 to 2, of which 7 to 3 with the
    # prior; P(Beta(7, 3) > 1/2) = 466/512.
    config = JudgeConfig(votes=VotesConfig(margin_scale=9))
    assert highest(config, label_rule(config.votes, PolicyConfig())) == pytest.approx(466 / 512)
    assert refused({"margin_scale": 9}, {"threshold": 0.91}) == ""
    assert "8: 0.9101" in refused({"margin_scale": 9}, {"threshold": 0.92})


@given(
    st.integers(1, 5),
    st.integers(2, 5),
    st.sampled_from([0.51, 0.74, 0.8, 0.9, 0.97]),
    st.sampled_from([0.6, 0.85, 0.95]),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_the_highest_is_that_of_every_sequence_of_votes(
    least: int, most: int, threshold: float, tie_threshold: float, prior: float
) -> None:
    votes = VotesConfig(
        min_votes=min(least, most),
        max_votes=most,
        threshold=threshold,
        tie_threshold=tie_threshold,
        prior=prior,
    )
    judge, rule = JudgeConfig(votes=votes), label_rule(votes, PolicyConfig())

    def ends(cast: list[Vote]) -> list[float]:
        orders = next_orders(format_of("pairwise_options"), cast, votes, 2, "")
        if not orders:
            return [Evidence.of(cast, rule).p_prefers_a(rule)]
        found = []
        for replies in itertools.product(("a", "b", "both_bad"), repeat=len(orders)):
            more = [
                Vote(order=order, seed=0, outcome=VERDICT, option=reply)
                for order, reply in zip(orders, replies, strict=True)
            ]
            found += ends([*cast, *more])
        return found

    assert highest(judge, rule) == max(ends([]))
    assert highest(judge, rule) <= unanimous(judge, rule, most) + 1e-12
