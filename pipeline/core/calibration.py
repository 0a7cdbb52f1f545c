"""Calibrated probabilities: what a judge's votes are worth, measured on gold pairs.

A logistic function of the mean score gap and of the vote counts (Platt); with enough gold, an
isotonic correction on top. Both are odd around one half: exchanging the candidates exchanges the
probabilities, so calibration cannot favour a side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from pydantic import Field

from pipeline.core.config import Frozen
from pipeline.core.votes import Vote, readable_of

FEATURES = ("mean_margin", "vote_share", "net_votes")


class Calibration(Frozen):
    """A fitted calibration, as a judge card stores it.

    Attributes:
        calibration_id: identity of the fit: of its numbers and of the judge it is for.
        judge_id: the judge whose votes it was fitted to; no other judge may use it.
        weights: of the features (see :func:`features`), without an intercept.
        knots: pairs of (logistic probability, calibrated one), ascending, between which the
            isotonic correction is linear; empty without one.
        gold_pairs: how many gold pairs it was fitted to.
        figures: what was measured on folds that the fit had not seen (ECE, Brier, …), raw and
            calibrated.
    """

    calibration_id: str
    judge_id: str
    weights: tuple[float, ...]
    knots: tuple[tuple[float, float], ...] = ()
    gold_pairs: int = Field(ge=1)
    figures: dict[str, float] = Field(default_factory=dict)

    def p_a(self, votes: Sequence[Vote]) -> float:
        """Calibrated probability that a human prefers ``a``, by readable votes about a pair."""
        score = sum(w * x for w, x in zip(self.weights, features(votes), strict=True))
        p = 1 / (1 + math.exp(-max(-500.0, min(500.0, score))))
        return _interpolated(p, self.knots) if self.knots else p


def features(votes: Sequence[Vote]) -> tuple[float, float, float]:
    """What the logistic sees of the readable votes about a pair; all change sign with the sides.

    Returns:
        The mean of ``score_a - score_b`` (0 without scores), the share of votes for ``a`` less
        that for ``b``, and the same as a count.
    """
    readable = readable_of(votes)
    margins = [vote.margin for vote in readable if vote.margin is not None]
    net = sum({"a": 1, "tie": 0, "b": -1}[str(vote.choice)] for vote in readable)
    return (sum(margins) / len(margins) if margins else 0.0, net / len(readable), float(net))


def _interpolated(x: float, knots: Sequence[tuple[float, float]]) -> float:
    if x <= knots[0][0]:
        return knots[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(knots):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else y1
    return knots[-1][1]
