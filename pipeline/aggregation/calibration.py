"""Calibrated probabilities: how often a human agrees with a judge's votes, by gold pairs.

A logistic function of the mean score gap and of the vote counts (Platt); with enough gold, an
isotonic correction on top. Both are odd around one half: exchanging the candidates exchanges the
probabilities, so calibration cannot favour a side. ``pipeline.aggregation.calibration_fit`` fits
them.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from pipeline.aggregation.tie_band import TieBand
from pipeline.judging.votes import Vote, parsed_of
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.digest import digest

FEATURES = ("mean_margin", "vote_share", "net_votes")

Weights = tuple[float, float, float]
Knots = tuple[tuple[float, float], ...]


class FoldFit(Frozen):
    """The numbers of a calibration that has not seen one fold of its gold."""

    model_config = ConfigDict(allow_inf_nan=False)

    weights: Weights
    knots: Knots = ()


class Calibration(Frozen):
    """A fitted calibration, as a judge card stores it.

    Attributes:
        calibration_id: identity of the fit: of its numbers and of the judge it is for.
        judge_id: the judge whose votes it was fitted to; no other judge may use it.
        method: ``platt``, or ``isotonic`` for the same with a correction on top.
        weights: of the features (see :func:`features`), without an intercept; none is negative,
            so that no vote and no point of score for a candidate counts against it.
        knots: pairs of (logistic probability, calibrated one) of the preferred candidate, from
            (0.5, 0.5) on, ascending, between which the correction is linear; empty without one.
        tie_band: of a reward model's scores; None of votes that call ties themselves.
        gold_pairs: how many gold pairs it was fitted to.
        gold: where they were read.
        fitted_at: when.
        fitted_with: the library that fitted it, and its version.
        figures: what was measured on folds that the fit had not seen (ECE, Brier, …), raw and
            calibrated.
        folds: the fits without each fold, by its number (:func:`fold_of`); empty of calibrations
            of earlier versions.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    calibration_id: str
    judge_id: str
    method: Literal["platt", "isotonic"]
    weights: Weights
    knots: Knots = ()
    tie_band: TieBand | None = None
    gold_pairs: int = Field(ge=1)
    gold: str
    fitted_at: AwareDatetime
    fitted_with: str
    figures: dict[str, float]
    folds: tuple[FoldFit, ...] = ()

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if min(self.weights) < 0:
            raise ValueError(f"weights: got {self.weights}, expected none below 0")
        if self.knots:
            steps = itertools.pairwise(self.knots)
            rising = all(x0 < x1 and y0 <= y1 for (x0, y0), (x1, y1) in steps)
            if self.knots[0] != (0.5, 0.5) or not rising or max(self.knots[-1]) > 1:
                raise ValueError("knots: expected them to rise from (0.5, 0.5) to at most (1, 1)")
        expected = calibration_id(self.judge_id, self.weights, self.knots, self.tie_band)
        if self.calibration_id != expected:
            raise ValueError(
                f"calibration_id: got {self.calibration_id[:12]}, but the numbers are those of "
                f"{expected[:12]}: they were changed, or fitted to other features"
            )
        return self

    def p_a(self, votes: Sequence[Vote]) -> float:
        """Calibrated probability that a human prefers ``a``, by parsed votes about a pair."""
        return probability(features(votes), self.weights, self.knots)

    def p_a_unseen(self, votes: Sequence[Vote], prompt: int) -> float | None:
        """The same by the fit that has seen no gold about a prompt; None where there is none.

        Args:
            votes: parsed ones, about a pair.
            prompt: the key of its prompt.
        """
        if not self.folds:
            return None
        fold = self.folds[fold_of(prompt, len(self.folds))]
        return probability(features(votes), fold.weights, fold.knots)


def fold_of(prompt: int, folds: int) -> int:
    """In which fold the pairs of a prompt are, of so many."""
    return int(digest("fold", str(prompt))[:12], 16) % folds


def calibration_id(
    judge_id: str, weights: Weights, knots: Knots, tie_band: TieBand | None = None
) -> str:
    """Identity of a fit: of its numbers, the features they weigh, and the judge it is for."""
    band = [] if tie_band is None else [[tie_band.margin, tie_band.ties]]
    return digest(judge_id, json.dumps([FEATURES, weights, knots, *band]))


def features(votes: Sequence[Vote]) -> tuple[float, float, float]:
    """The features of the parsed votes about a pair; all change sign with the sides.

    Returns:
        The mean of ``score_a - score_b`` (0 without scores), the share of votes for ``a`` less
        that for ``b``, and the same as a count. These two are 0 for a reward model, whose vote says
        no more than its gap does.
    """
    parsed = parsed_of(votes)
    margins = [vote.margin for vote in parsed if vote.margin is not None]
    net = sum(2 * vote.share_a - 1 for vote in parsed if vote.order)
    return (sum(margins) / len(margins) if margins else 0.0, net / len(parsed), float(net))


def probability(x: Sequence[float], weights: Weights, knots: Knots) -> float:
    """Probability that a human prefers ``a``, by the features of the votes.

    That of the preferred candidate is computed, and the other's is one minus it, so that exchanging
    the candidates exchanges the two exactly.
    """
    score = sum(weight * value for weight, value in zip(weights, x, strict=True))
    p = 1 / (1 + math.exp(-abs(score)))
    preferred = _interpolated(p, knots) if knots else p
    return preferred if score >= 0 else 1 - preferred


def _interpolated(x: float, knots: Knots) -> float:
    right = bisect.bisect_right(knots, (x, math.inf))
    if right == len(knots):
        return knots[-1][1]
    (x0, y0), (x1, y1) = knots[right - 1], knots[right]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
