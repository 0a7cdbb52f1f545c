"""Votes and calibrations for tests."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from pipeline.aggregation.calibration import Calibration, Knots, Weights, calibration_id
from pipeline.judging.votes import Vote
from schemas.labels import VERDICT, Reason

_SWAPPED = {"a": "b", "b": "a"}


def scored(order: str, *scores: float) -> Vote:
    """A parsed vote with a score for each candidate."""
    return Vote(order=order, seed=7, outcome=VERDICT, scores=scores, rationale=f"{order} {scores}")


def chosen(order: str, option: str) -> Vote:
    """A parsed vote with an option."""
    return Vote(order=order, seed=7, outcome=VERDICT, option=option)


def swapped(vote: Vote) -> Vote:
    """The same vote had the two candidates been exchanged in the row."""
    option = _SWAPPED.get(vote.option, vote.option) if vote.option else None
    return replace(vote, order=vote.order[::-1], scores=vote.scores[::-1], option=option)


def calibration(
    judge_id: str, weights: Weights = (0.25, 0.5, 0.125), knots: Knots = (), **more: Any
) -> Calibration:
    """A calibration as if it had been fitted."""
    fields: dict[str, Any] = {
        "calibration_id": calibration_id(judge_id, weights, knots),
        "judge_id": judge_id,
        "method": "isotonic" if knots else "platt",
        "weights": weights,
        "knots": knots,
        "gold_pairs": 100,
        "gold": "/gold",
        "fitted_at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "fitted_with": "tests",
        "figures": {"ece": 0.125},
    }
    return Calibration.model_validate(fields | more)


def pair_votes(parsed: st.SearchStrategy[Vote]) -> st.SearchStrategy[list[Vote]]:
    """Votes about a pair: at least a verdict of each order, and unparseable ones among them."""
    unparseable = st.builds(
        Vote,
        order=st.sampled_from(("ab", "ba")),
        seed=st.integers(0, 2**31 - 1),
        outcome=st.sampled_from((Reason.MALFORMED, Reason.TRUNCATED)),
        finish_reason=st.sampled_from(("stop", "length")),
    )
    first = st.tuples(parsed, parsed).map(
        lambda two: [replace(two[0], order="ab"), replace(two[1], order="ba")]
    )
    more = st.lists(parsed | unparseable, max_size=6)
    return st.tuples(first, more).map(lambda both: both[0] + both[1]).flatmap(st.permutations)


ORDERS = st.sampled_from(("ab", "ba"))
SCORES = st.sampled_from((1.0, 2.0, 5.0, 7.5, 9.0, 10.0))
SCORED = st.builds(scored, ORDERS, SCORES, SCORES)
CHOSEN = st.builds(chosen, ORDERS, st.sampled_from(("a", "b", "both_good", "both_bad")))
