"""How well a judge's labels agree with gold, and how far its probabilities can be trusted.

The classes are statistics in the sense of :mod:`pipeline.stats.bootstrap`: built of one value a
row, evaluated under weights of the rows. Rows without a value that a statistic needs are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.bootstrap import OfSums, divided


@dataclass(frozen=True)
class Kappa(OfSums):
    """Cohen's kappa between two codings of the rows.

    Attributes:
        first, second: codes from 0, shape (rows,); a negative one leaves its row out.
    """

    first: Ints
    second: Ints

    @property
    def support(self) -> int:
        """Rows with both codes."""
        return int(np.count_nonzero((self.first >= 0) & (self.second >= 0)))

    @property
    def columns(self) -> Floats:
        """One column for each cell of the table of both codings."""
        codes = int(max(self.first.max(), self.second.max())) + 1
        there = (self.first >= 0) & (self.second >= 0)
        cells = np.where(there, self.first * codes + self.second, 0)
        table: Floats = np.eye(codes * codes)[cells] * there[:, None]
        return table

    def of_sums(self, sums: Floats) -> Floats:
        """Kappa; NaN where both codings are one and constant."""
        codes = round(sums.shape[1] ** 0.5)
        table = sums.reshape(-1, codes, codes)
        total = table.sum((1, 2))
        agreed = divided(np.trace(table, axis1=1, axis2=2), total)
        chance = divided((table.sum(1) * table.sum(2)).sum(1), total**2)
        return divided(agreed - chance, 1 - chance)


@dataclass(frozen=True)
class NominalAlpha(OfSums):
    """Krippendorff's alpha for unordered codes, of any number of coders, some of whom are missing.

    Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).

    Attributes:
        counts: how often each code was given to each row, shape (rows, codes).
    """

    counts: Floats

    @property
    def support(self) -> int:
        """Rows with two codes or more."""
        return int(np.count_nonzero(self.counts.sum(1) >= 2))

    @property
    def columns(self) -> Floats:
        """Of rows with two codes: how often each was given, and the sum of equal ones."""
        given = self.counts.sum(1)
        told = np.where(given >= 2, 1.0, 0.0)[:, None]
        equal = (self.counts * (self.counts - 1)).sum(1)
        share = divided(equal, np.maximum(given - 1, 1))
        return np.concatenate([self.counts * told, share[:, None] * told], axis=1)

    def of_sums(self, sums: Floats) -> Floats:
        """Alpha; NaN where all codes are the same."""
        codes, equal = sums[:, :-1], sums[:, -1]
        total = codes.sum(1)
        observed = 1 - divided(equal, total)
        expected = 1 - divided((codes * (codes - 1)).sum(1), total * (total - 1))
        return 1 - divided(observed, expected)


@dataclass(frozen=True)
class CalibrationError(OfSums):
    """Expected calibration error, by bins of equal width over [0, 1].

    Attributes:
        p: stated probabilities, shape (rows,); NaN leaves a row out.
        outcome: what happened, in [0, 1].
    """

    p: Floats
    outcome: Floats
    bins: int = 10

    @property
    def support(self) -> int:
        """Rows with a probability."""
        return int(np.count_nonzero(~np.isnan(self.p)))

    @property
    def columns(self) -> Floats:
        """Stated less observed, a column for each bin; and the rows."""
        there = ~np.isnan(self.p)
        p = np.where(there, self.p, 0.0)
        gaps = np.eye(self.bins)[_bin_of(p, self.bins)] * ((p - self.outcome) * there)[:, None]
        return np.concatenate([gaps, there[:, None]], axis=1)

    def of_sums(self, sums: Floats) -> Floats:
        """The error."""
        return divided(np.abs(sums[:, :-1]).sum(1), sums[:, -1])


@dataclass(frozen=True)
class RiskArea:
    """Area under the risk-coverage curve: the mean, over rows, of the share of wrong ones among
    those that are at least as confident.

    Attributes:
        confidence: shape (rows,); NaN leaves a row out.
        wrong: in [0, 1].
    """

    confidence: Floats
    wrong: Floats

    @property
    def support(self) -> int:
        """Rows with a confidence."""
        return int(np.count_nonzero(~np.isnan(self.confidence)))

    def __call__(self, weights: Floats) -> Floats:
        """The area under each row of ``weights``."""
        order, last = _by_confidence(self.confidence)
        accepted = weights[:, order]
        risk = divided(
            np.cumsum(accepted * self.wrong[order], axis=1)[:, last],
            np.cumsum(accepted, axis=1)[:, last],
        )
        return divided((accepted * np.nan_to_num(risk)).sum(1), accepted.sum(1))


@dataclass(frozen=True)
class Correlation(OfSums):
    """Pearson's correlation; of ranks, Spearman's.

    Attributes:
        x, y: shape (rows,); a NaN in either leaves its row out.
    """

    x: Floats
    y: Floats

    @property
    def support(self) -> int:
        """Rows with both values."""
        return int(np.count_nonzero(~np.isnan(self.x + self.y)))

    @property
    def columns(self) -> Floats:
        """Rows, both values, their squares and their product."""
        there = ~np.isnan(self.x + self.y)
        # Centred: sums of squares of large numbers would lose the digits that matter.
        x, y = (np.where(there, v - v[there].mean(), 0) for v in (self.x, self.y))
        return np.stack([there.astype(np.float64), x, y, x * x, y * y, x * y], axis=1)

    def of_sums(self, sums: Floats) -> Floats:
        """The correlation; NaN where either value is constant."""
        x, y, xx, yy, xy = (divided(sums[:, i], sums[:, 0]) for i in range(1, 6))
        spread_x, spread_y = xx - x * x, yy - y * y
        constant = (spread_x < 1e-12) | (spread_y < 1e-12)
        return np.where(constant, np.nan, divided(xy - x * y, np.sqrt(np.abs(spread_x * spread_y))))


def brier_score(p: Sequence[float] | Floats, outcome: Sequence[float] | Floats) -> float:
    """Mean squared error of probabilities.

    Args:
        p: probability that a human prefers ``a``, of each pair, in [0, 1].
        outcome: 1.0 where the human preferred ``a``, 0.0 where ``b``, 0.5 for a tie.

    Raises:
        ValueError: no values, of different length, or outside [0, 1].
    """
    p_, outcome_ = _checked(p, outcome)
    return float(np.mean((p_ - outcome_) ** 2))


def expected_calibration_error(
    p: Sequence[float] | Floats, outcome: Sequence[float] | Floats, bins: int = 10
) -> float:
    """Expected calibration error: mean distance of stated from observed, weighted by pairs.

    Args:
        p: probability that a human prefers ``a``, of each pair, in [0, 1].
        outcome: 1.0 where the human preferred ``a``, 0.0 where ``b``, 0.5 for a tie.
        bins: number of bins of equal width over [0, 1].

    Raises:
        ValueError: no values, of different length, or outside [0, 1]; no bins.
    """
    stated, observed, count = calibration_curve(p, outcome, bins)
    return float(np.sum(count * np.abs(stated - observed)) / np.sum(count))


def calibration_error_by_chance(p: Floats, draws: int = 200, seed: int = 1) -> float:
    """The mean calibration error that these probabilities have though they are right.

    Few pairs never agree with their probabilities to the last one: an error that is no larger than
    this is no sign of a wrong one.

    Args:
        p: as :func:`expected_calibration_error` takes them.
        draws: how often outcomes are drawn by them.
        seed: of the draws.
    """
    rng, p = np.random.default_rng(seed), np.sort(p)  # whatever the order of the pairs
    drawn = ((rng.random(len(p)) < p).astype(np.float64) for _ in range(draws))
    return float(np.mean([expected_calibration_error(p, outcome) for outcome in drawn]))


def calibration_curve(
    p: Sequence[float] | Floats, outcome: Sequence[float] | Floats, bins: int = 10
) -> tuple[Floats, Floats, Ints]:
    """Stated against observed preference for ``a``, by bins of equal width; empty ones left out.

    Not sklearn's function of that name: gold ties make outcomes of one half.

    Returns:
        Mean ``p``, mean ``outcome`` and number of pairs of each bin, shape (non-empty bins,).

    Raises:
        ValueError: as :func:`expected_calibration_error`.
    """
    if bins < 1:
        raise ValueError(f"bins: got {bins}, expected at least 1")
    p_, outcome_ = _checked(p, outcome)
    index = _bin_of(p_, bins)
    count = np.bincount(index, minlength=bins)
    there = count > 0
    stated = np.bincount(index, p_, bins)[there] / count[there]
    observed = np.bincount(index, outcome_, bins)[there] / count[there]
    return stated, observed, count[there]


def risk_coverage(confidence: Floats, wrong: Floats, rows: int) -> tuple[Floats, Floats]:
    """The share of wrong labels among the most confident ones, for every coverage there is.

    Args:
        confidence: of each decided row.
        wrong: in [0, 1], of each decided row.
        rows: all rows, undecided ones included: what coverage is a share of.

    Returns:
        Coverage, ascending, and risk, shape (different confidences,).
    """
    order, last = _by_confidence(confidence)
    ends = np.unique(last)
    return (ends + 1) / rows, (np.cumsum(wrong[order]) / np.arange(1, len(order) + 1))[ends]


def _by_confidence(confidence: Floats) -> tuple[Ints, Ints]:
    """Rows from the most confident down; for each the index of the last as confident."""
    order = np.argsort(-confidence, kind="stable")[: np.count_nonzero(~np.isnan(confidence))]
    descending = -confidence[order]
    return order, np.searchsorted(descending, descending, side="right") - 1


def _bin_of(p: Floats, bins: int) -> Ints:
    return np.minimum((p * bins).astype(np.int64), bins - 1)


def _checked(*values: Any) -> list[Floats]:
    arrays = [np.asarray(value, np.float64) for value in values]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or not arrays[0].size:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"got shapes {shapes}, expected lists of one length, at least 1")
    for array in arrays:
        if not np.all((array >= 0) & (array <= 1)):  # NaN is caught too
            raise ValueError("got values outside [0, 1], expected probabilities")
    return arrays
