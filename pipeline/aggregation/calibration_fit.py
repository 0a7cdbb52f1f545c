"""Fits a judge's calibration to its votes about gold pairs, and measures it on held-out folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregation.calibration import (
    Calibration,
    FoldFit,
    Knots,
    Weights,
    calibration_id,
    features,
    fold_of,
    probability,
)
from pipeline.aggregation.davidson import fit_davidson
from pipeline.aggregation.odd_logistic import odd_weights
from pipeline.aggregation.soft_weight import soft_weight
from pipeline.aggregation.tie_band import fit_tie_band, labels_right
from pipeline.judging.votes import Vote
from pipeline.runtime.clock import utc_now
from pipeline.runtime.errors import InputError
from pipeline.stats.agreement import (
    brier_score,
    calibration_error_by_chance,
    expected_calibration_error,
)
from pipeline.stats.error_rate import Check, counts_by_prompt
from pipeline.stats.wilson import LEAST_PROMPTS

Floats = NDArray[np.float64]
Method = Literal["auto", "platt", "isotonic"]

MIN_DECIDED = 20  # fewer gold pairs with a preference cannot fit three weights
MIN_ISOTONIC = 1_000  # from this many gold pairs on, `auto` adds the isotonic correction
LOG_LOSS_FLOOR = 1e-3  # a probability of 0 or 1 that is wrong counts as this, not as infinite


@dataclass(frozen=True)
class GoldVotes:
    """A judge's votes about a pair that a human has judged.

    Attributes:
        pair_hash: identity of the pair.
        prompt: the key of its prompt; the same prompt is never in two folds.
        votes: of which at least one is parsed.
        p_a_raw: the label's share of votes for ``a``, ties counting half.
        gold: 1.0 where the human prefers ``a``, 0.0 where ``b``, 0.5 for a tie.
        preference: ``a`` or ``b`` where the votes decide by the judge's own rule; else None.
    """

    pair_hash: str
    prompt: int
    votes: Sequence[Vote]
    p_a_raw: float
    gold: float
    preference: str | None = None


def fit_calibration(
    pairs: Sequence[GoldVotes],
    judge_id: str,
    source: str,
    method: Method = "auto",
    folds: int = 5,
    *,
    scores: bool = False,
) -> Calibration:
    """Fits a calibration, and measures it by cross-fitting.

    Args:
        pairs: gold pairs with this judge's votes.
        judge_id: the judge.
        source: where the gold pairs were read, for the record.
        method: ``auto`` is ``isotonic`` from ``MIN_ISOTONIC`` pairs on, else ``platt``.
        folds: number of folds; a pair's fold depends on its prompt alone.
        scores: whether the votes are a reward model's scores, whose ties are a band to be fitted.

    Returns:
        The calibration fitted to all pairs. Its figures are measured on probabilities that each
        pair got from a fit to the other folds.

    Raises:
        InputError: the pairs are too few, or gold prefers the same side in all of them.
        ValueError: fewer than two folds.
    """
    if folds < 2:
        raise ValueError(f"folds: got {folds}, expected 2 or more")
    check_enough(pairs)
    isotonic = len(pairs) >= MIN_ISOTONIC if method == "auto" else method == "isotonic"
    x = np.array([features(pair.votes) for pair in pairs])
    gold = np.array([pair.gold for pair in pairs])
    fold = np.array([fold_of(pair.prompt, folds) for pair in pairs])
    held_out = np.zeros(len(pairs))
    fits = []
    for number in range(folds):
        own = fold == number
        fit = _fit(x[~own], gold[~own], isotonic=isotonic)
        held_out[own] = [probability(row, *fit) for row in x[own].tolist()]
        fits.append(FoldFit(weights=fit[0], knots=fit[1]))
    weights, knots = _fit(x, gold, isotonic=isotonic)
    band = fit_tie_band(x[:, 0], gold) if scores else None
    raw = np.array([pair.p_a_raw for pair in pairs])
    return Calibration(
        calibration_id=calibration_id(judge_id, weights, knots, band),
        judge_id=judge_id,
        method="isotonic" if isotonic else "platt",
        weights=weights,
        knots=knots,
        tie_band=band,
        gold_pairs=len(pairs),
        gold=source,
        fitted_at=utc_now(),
        fitted_with=f"scikit-learn {metadata.version('scikit-learn')}",
        figures={
            "pairs": len(pairs),
            "ties": int(np.sum(gold == 0.5)),
            "folds": folds,
            "prompts": len({pair.prompt for pair in pairs}),
            **_figures(raw, gold, "_raw"),
            **_figures(held_out, gold, ""),
            "ece_by_chance": calibration_error_by_chance(held_out),
            **_check(pairs, held_out).figures(),
            **(_of_band(x[:, 0], gold, fold) if scores else {}),
            **_of_votes([p.votes for p in pairs]),
        },
        folds=tuple(fits),
    )


def _of_votes(votes: Sequence[Sequence[Vote]]) -> dict[str, float]:
    """What the votes say of themselves, where they are enough: for settings of a policy."""
    found: dict[str, float] = {}
    if (weight := soft_weight(votes)) is not None:
        found["soft_weight"] = round(weight, 3)
    if (model := fit_davidson(votes)) is not None:
        found |= {name: round(value, 3) for name, value in asdict(model).items()}
    return found


def _of_band(margins: Floats, gold: Floats, fold: NDArray[np.int64]) -> dict[str, float]:
    """Shares of held-out pairs that get the label people gave them, with the band and without."""
    right = np.zeros(len(gold), bool)
    for number in np.unique(fold):
        own = fold == number
        band = fit_tie_band(margins[~own], gold[~own]).margin
        right[own] = labels_right(margins[own], gold[own], band)
    by_sign = labels_right(margins, gold, 0.0)
    return {"labels_right": float(right.mean()), "labels_right_by_sign": float(by_sign.mean())}


def check_enough(pairs: Sequence[GoldVotes]) -> None:
    """Refuses gold that is not enough for a calibration.

    Raises:
        InputError: it is too little, or prefers the same side in all pairs.
    """
    sides = {pair.pair_hash: pair.gold for pair in pairs if pair.gold != 0.5}
    if len(sides) < MIN_DECIDED:
        raise InputError(
            f"{len(sides)} different gold pairs with a preference have parsed votes of this "
            f"judge, expected at least {MIN_DECIDED} (hundreds are better): label more gold pairs"
        )
    prompts = {pair.prompt for pair in pairs}
    if len(prompts) < LEAST_PROMPTS:
        raise InputError(
            f"the {len(pairs)} gold pairs are of {len(prompts)} different prompts, expected at "
            f"least {LEAST_PROMPTS}: pairs of one prompt are alike, so that these do not tell how "
            "far probabilities can be trusted elsewhere; label gold pairs of more prompts"
        )
    if len(set(sides.values())) < 2:
        only = "a" if 1.0 in sides.values() else "b"
        raise InputError(
            f"gold prefers response_{only} in all {len(sides)} pairs, expected both sides: how "
            "far probabilities can be trusted cannot be measured on one; exchange the responses "
            "of about half of the pairs, gold with them, and label those"
        )


def log_loss(p: Floats, outcome: Floats) -> float:
    """Mean negative log likelihood, in nats; ``p`` is kept off 0 and 1 by ``LOG_LOSS_FLOOR``."""
    p = np.clip(p, LOG_LOSS_FLOOR, 1 - LOG_LOSS_FLOOR)
    return float(-np.mean(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)))


def _figures(p: Floats, gold: Floats, suffix: str) -> dict[str, float]:
    return {
        f"ece{suffix}": expected_calibration_error(p, gold),
        f"brier{suffix}": brier_score(p, gold),
        f"log_loss{suffix}": log_loss(p, gold),
    }


def _check(pairs: Sequence[GoldVotes], p_a: Floats) -> Check:
    """How far the probabilities of preferences that the fit had not seen are right."""
    labeled = [(pair, p) for pair, p in zip(pairs, p_a.tolist(), strict=True) if pair.preference]
    for_a = np.array([pair.preference == "a" for pair, _ in labeled], bool)
    p = np.array([p for _, p in labeled])
    gold = np.array([pair.gold for pair, _ in labeled])
    counts = counts_by_prompt(
        np.array([pair.prompt for pair, _ in labeled], np.int64),
        np.where(for_a, gold < 1, gold > 0).astype(np.float64),
        np.where(for_a, 1 - p, p),
    )
    return Check.of(counts)


def _fit(x: Floats, gold: Floats, *, isotonic: bool) -> tuple[Weights, Knots]:
    weights = _fit_weights(x, gold)
    return weights, _fit_knots(x, gold, weights) if isotonic else ()


def _fit_weights(x: Floats, gold: Floats) -> Weights:
    """Weights of the features, scaled by their root mean square, not centred: zero stays a half."""
    margin, vote_share, net = odd_weights(x, gold, np.sqrt(np.mean(x**2, axis=0))).tolist()
    return (margin, vote_share, net)


def _fit_knots(x: Floats, gold: Floats, weights: Weights) -> Knots:
    """The isotonic correction of the preferred candidate's probability.

    Fitted to the pairs turned so that the logistic prefers ``a``, and bounded by one half: the
    same as fitting to every pair in both directions. It never reaches one, however many pairs
    agree: the most is what one contradiction among all would leave.
    """
    from scipy.special import expit
    from sklearn.isotonic import IsotonicRegression

    score = x @ np.array(weights)
    decided = score != 0
    if not np.any(decided):
        return ()
    p = expit(np.abs(score[decided]))
    agrees = np.where(score[decided] > 0, gold[decided], 1 - gold[decided])
    fit: Any = IsotonicRegression(y_min=0.5, y_max=1 - 1 / (len(x) + 2)).fit(p, agrees)
    found = zip(fit.X_thresholds_.tolist(), fit.y_thresholds_.tolist(), strict=True)
    return ((0.5, 0.5), *((at, value) for at, value in found if at > 0.5))
