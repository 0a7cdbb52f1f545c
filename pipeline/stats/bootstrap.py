"""Intervals of any statistic over rows, for many statistics at once.

A resample is a row of weights: how often each row was drawn. A statistic maps weights of shape
(resamples, rows) to values of shape (resamples,), so that thousands of resamples are a few matrix
products; with all weights one it is the plain statistic. Rows of one cluster (pairs of one prompt)
are alike, so whole clusters are drawn. A share's interval needs no resamples (``wilson``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.tally import ratio_sums
from pipeline.stats.wilson import LEAST_PROMPTS, LEVEL, share_interval

RESAMPLES = 2_000
_CELLS = 2_000_000  # weights in memory at a time


class Statistic(Protocol):
    """A number computed from rows.

    Attributes:
        support: how many rows it is about.
    """

    @property
    def support(self) -> int:
        """How many rows it is about."""

    def __call__(self, weights: Floats) -> Floats:
        """Its value for each row of ``weights`` (resamples, rows); NaN where it has none."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval.

    Attributes:
        value: of all rows; None where it is not defined.
        low, high: 95 % interval: Wilson's of a share, else percentiles of the bootstrap. It always
            holds ``value``: a biased statistic (a calibration error, say) may lie outside of all
            its resamples. None where there are too few clusters.
        rows: how many rows it is about.
    """

    value: float | None
    low: float | None
    high: float | None
    rows: int


class OfSums:
    """A statistic that is a function of weighted sums of columns: many share one matrix product."""

    @property
    def columns(self) -> Floats:
        """What is summed, shape (rows, columns)."""
        raise NotImplementedError

    def of_sums(self, sums: Floats) -> Floats:
        """The statistic of sums, shape (resamples, columns)."""
        raise NotImplementedError

    def __call__(self, weights: Floats) -> Floats:
        """Its value under each row of ``weights``."""
        return self.of_sums(weights @ self.columns)


@dataclass(frozen=True)
class Ratio(OfSums):
    """A ratio of sums: of a share or a mean, the rows it is not about have denominator 0.

    Attributes:
        numerator, denominator: shape (rows,).
    """

    numerator: Floats
    denominator: Floats

    @property
    def support(self) -> int:
        """Rows with a denominator."""
        return int(np.count_nonzero(self.denominator))

    @property
    def columns(self) -> Floats:
        """Both parts."""
        return np.stack([self.numerator, self.denominator], axis=1)

    def of_sums(self, sums: Floats) -> Floats:
        """The ratio."""
        return divided(sums[:, 0], sums[:, 1])


class Share(Ratio):
    """A ratio whose numerator is a part of the denominator in every row: a share of things."""


@dataclass(frozen=True)
class Deviation(OfSums):
    """The standard deviation of numbers that come in rows, such as scores of several candidates.

    Attributes:
        values: of each row; an empty list leaves a row out.
    """

    values: Sequence[Sequence[float]]

    @property
    def support(self) -> int:
        """Rows with a number."""
        return sum(1 for each in self.values if each)

    @property
    def columns(self) -> Floats:
        """How many numbers a row has, their sum and that of their squares."""
        sums = [(len(row), sum(row), sum(x * x for x in row)) for row in self.values]
        return np.array(sums, np.float64).reshape(-1, 3)

    def of_sums(self, sums: Floats) -> Floats:
        """The root of the mean square less the squared mean."""
        means = divided(sums[:, 1], sums[:, 0])
        squares: Floats = np.maximum(divided(sums[:, 2], sums[:, 0]) - means * means, 0)
        return np.asarray(np.sqrt(squares), np.float64)


def mean(values: Sequence[float | None]) -> Ratio:
    """The mean of one value a row; None leaves a row out."""
    return Ratio(*_columns([_whole(value) for value in values]))


def share_of(values: Sequence[float | None]) -> Share:
    """The share of rows that are so (1) or are not (0); None leaves a row out."""
    return Share(*_columns([_whole(value) for value in values]))


def pooled(parts: Sequence[tuple[float, float]]) -> Share:
    """A share over rows, each with its part of numerator and denominator."""
    return Share(*_columns(parts))


def _whole(value: float | None) -> tuple[float, float]:
    return (0.0, 0.0) if value is None else (float(value), 1.0)


def _columns(parts: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    table = np.asarray(parts, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@dataclass(frozen=True)
class Within:
    """A statistic of some of the rows.

    Attributes:
        rows: their indices.
        inner: built of those rows alone.
    """

    rows: Ints
    inner: Statistic

    @property
    def support(self) -> int:
        """That of the inner statistic."""
        return self.inner.support

    def __call__(self, weights: Floats) -> Floats:
        """The inner statistic under the weights of its rows."""
        return self.inner(weights[:, self.rows])


@dataclass(frozen=True)
class Macro:
    """The plain mean of several statistics, such as one of each category."""

    parts: tuple[Statistic, ...]

    @property
    def support(self) -> int:
        """Rows of all parts together."""
        return sum(part.support for part in self.parts)

    def __call__(self, weights: Floats) -> Floats:
        """The mean under each row of ``weights``; parts without a value are left out."""
        values = np.stack([part(weights) for part in self.parts if part.support])
        there = ~np.isnan(values)
        return divided(np.where(there, values, 0).sum(0), there.sum(0).astype(np.float64))


@dataclass(frozen=True)
class Difference:
    """One statistic less another, both about the same rows."""

    first: Statistic
    second: Statistic

    @property
    def support(self) -> int:
        """Rows that both are about, at most."""
        return min(self.first.support, self.second.support)

    def __call__(self, weights: Floats) -> Floats:
        """The difference under each row of ``weights``."""
        return self.first(weights) - self.second(weights)


def estimates(
    statistics: Mapping[str, Statistic],
    rows: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: Sequence[int] | Ints | None = None,
) -> dict[str, Estimate]:
    """Every statistic over the same ``rows`` rows, with its interval.

    Args:
        statistics: by name; all are evaluated on the same resamples.
        rows: number of rows.
        resamples: how many; 0 gives no intervals.
        seed: the same seed draws the same resamples.
        clusters: of each row, such as the key of its prompt; by default each row is one. Of fewer
            than ``LEAST_PROMPTS`` there are none but of shares.
    """
    codes = np.arange(rows)
    if clusters is not None:
        codes = np.unique(np.asarray(clusters, np.int64), return_inverse=True)[1]
    defined = {name: statistic for name, statistic in statistics.items() if statistic.support}
    values = _evaluated(defined, rows)
    count = int(codes.max()) + 1 if rows else 0
    wanted = resamples if defined and count >= LEAST_PROMPTS else 0
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // max(1, rows))
    drawn = [
        values(_weights(rng, min(chunk, wanted - start), count)[:, codes])
        for start in range(0, wanted, chunk)
    ]
    plain = values(np.ones((1, rows)))
    found = {}
    for name, statistic in statistics.items():
        value = float(plain[name][0]) if name in defined else np.nan
        if isinstance(statistic, Share) and not np.isnan(value):
            found[name] = _share(statistic, codes, value, intervals=resamples > 0)
            continue
        samples = np.concatenate([np.empty(0), *(e[name] for e in drawn if name in defined)])
        found[name] = _estimate(value, samples, statistic.support)
    return found


def _evaluated(
    defined: Mapping[str, Statistic], rows: int
) -> Callable[[Floats], dict[str, Floats]]:
    """What evaluates the statistics on weights; those of sums share one matrix product."""
    of_sums = {name: each for name, each in defined.items() if isinstance(each, OfSums)}
    columns = [each.columns for each in of_sums.values()]
    table = np.concatenate(columns, axis=1) if columns else np.empty((rows, 0))
    ends = np.cumsum([each.shape[1] for each in columns])[:-1]
    others = defined.keys() - of_sums.keys()

    def values(weights: Floats) -> dict[str, Floats]:
        parts = np.split(weights @ table, ends, axis=1) if columns else []
        found = {name: of_sums[name].of_sums(p) for name, p in zip(of_sums, parts, strict=True)}
        return found | {name: defined[name](weights) for name in others}

    return values


def _weights(rng: np.random.Generator, resamples: int, count: int) -> Floats:
    """How often each of ``count`` clusters is drawn, for each resample."""
    drawn = rng.integers(count, size=(resamples, count))
    cells = drawn + count * np.arange(resamples)[:, None]
    counts = np.bincount(cells.ravel(), minlength=resamples * count)
    return counts.reshape(resamples, count).astype(np.float64)


def _share(statistic: Share, codes: Ints, value: float, *, intervals: bool) -> Estimate:
    parts = (statistic.numerator, statistic.denominator)
    sums = ratio_sums(*(np.bincount(codes, weights=part) for part in parts))
    interval = share_interval(sums) if intervals else None
    if interval is None:
        return Estimate(value, None, None, statistic.support)
    low, high = interval
    return Estimate(value, min(low, value), max(high, value), statistic.support)


def _estimate(value: float, drawn: Floats, rows: int) -> Estimate:
    if np.isnan(value):
        return Estimate(None, None, None, rows)
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return Estimate(value, None, None, rows)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value), rows)


def divided(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient; NaN where the denominator is 0."""
    result = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result
