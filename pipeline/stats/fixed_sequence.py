"""How low a confidence may be while accepted labels are wrong no more often than promised.

Thresholds are tested from the strictest on, and the first that fails ends the tests, so that all of
them together are wrong with probability ``delta`` at most (fixed-sequence testing). They must not
depend on the labels they are tested on: here they are quantiles of the corpus. Labels of one prompt
are alike; a test then counts as many as have the same variance, which holds approximately.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.stats.arrays import Floats, Ints
from schemas.error_bounds import BoundTest

_COVERAGES = tuple(step / 10 for step in range(1, 11))
_FEW = 20  # of so few distinct scores, each is a threshold


@dataclass(frozen=True)
class Threshold:
    """One threshold on a score.

    Attributes:
        coverage: share of the corpus that reaches it.
    """

    value: float
    coverage: float


def thresholds_of(corpus: Floats) -> list[Threshold]:
    """Thresholds to test, the strictest first: quantiles, or all values where these are few.

    Args:
        corpus: the scores of all labels, or of a sample of them.
    """
    values = np.unique(corpus)
    if len(values) > _FEW:
        wanted = np.quantile(corpus, [1 - share for share in _COVERAGES], method="lower")
        values = np.unique(wanted)
    reach = [float(np.mean(corpus >= value)) for value in values]
    return [Threshold(float(v), c) for v, c in zip(values, reach, strict=True)][::-1]


def least_checked(alpha: float, delta: float) -> float:
    """How many labels, none of them wrong, show that at most ``alpha`` are."""
    return math.log(delta) / math.log1p(-alpha)


def first_tested(thresholds: list[Threshold], checked: int, alpha: float, delta: float) -> int:
    """The number of the threshold to begin with; all of them, ``len``, where none can pass.

    One that leaves twice as many labels as are needed without an error, or else just as many.
    """
    needed = least_checked(alpha, delta)
    for factor in (2, 1):
        for number, threshold in enumerate(thresholds):
            if threshold.coverage * checked >= factor * needed:
                return number
    return len(thresholds)


def fixed_sequence(
    thresholds: list[Threshold],
    scores: Floats,
    wrong: Ints,
    clusters: Ints,
    alpha: float,
    delta: float,
    weights: Floats | None = None,
) -> list[BoundTest]:
    """The tests that were made, in order: all but the last have passed.

    Args:
        thresholds: from :func:`thresholds_of`.
        scores: of the checked labels.
        wrong: 1 of those that are wrong, else 0.
        clusters: labels that share one are alike.
        alpha: the share of wrong ones that is promised at most.
        delta: with which probability at most the promise may fail.
        weights: 1 / the probability with which each was drawn; all alike by default.
    """
    start = first_tested(thresholds, len(scores), alpha, delta)
    if start == len(thresholds):
        return []
    weights = np.ones(len(scores)) if weights is None else weights
    sums = _sums(thresholds, scores, wrong, clusters, weights)
    independent = _independent(sums)
    share = sums.wrong_weight.sum(0) / np.maximum(sums.weight.sum(0), 1e-300)
    upper = upper_share(share, independent, delta)
    made = []
    for number in range(start, len(thresholds)):
        test = BoundTest(
            thresholds[number].value,
            thresholds[number].coverage,
            int(sums.count[number]),
            int(sums.wrong[number]),
            int(np.count_nonzero(sums.weight[:, number])),
            float(independent[number]),
            float(upper[number]),
            bool(upper[number] <= alpha),
        )
        made.append(test)
        if not test.passed:
            break
    return made


@dataclass(frozen=True)
class _Sums:
    """Sums over the labels that reach each threshold: (clusters, thresholds) or (thresholds)."""

    weight: Floats
    wrong_weight: Floats
    weight2: Floats
    count: Ints
    wrong: Ints


def _sums(
    thresholds: list[Threshold], scores: Floats, wrong: Ints, clusters: Ints, weights: Floats
) -> _Sums:
    rising = np.array([each.value for each in thresholds])[::-1]
    # The first threshold, counted from the strictest, that a score reaches.
    first = len(rising) - np.searchsorted(rising, scores, side="right")
    width = len(rising) + 1
    codes = np.unique(clusters, return_inverse=True)[1] if len(clusters) else clusters
    cells, shape = codes * width + first, (int(codes.max(initial=-1)) + 1, width)

    def by_cluster(values: Floats) -> Floats:
        found = np.bincount(cells, values, shape[0] * width).reshape(shape)
        return found.cumsum(1)[:, :-1]

    def total(values: Floats) -> Floats:
        return np.bincount(first, values, width).cumsum()[:-1]

    ones = np.ones(len(scores))
    return _Sums(
        by_cluster(weights),
        by_cluster(weights * wrong),
        total(weights * weights),
        total(ones).astype(np.int64),
        total(wrong.astype(np.float64)).astype(np.int64),
    )


def _independent(sums: _Sums) -> Floats:
    """Of how many independent labels the share of wrong ones has the variance."""
    whole = np.maximum(sums.weight.sum(0), 1e-300)
    share = sums.wrong_weight.sum(0) / whole
    most = whole**2 / np.maximum(sums.weight2, 1e-300)  # of independent labels, so weighted
    groups = np.count_nonzero(sums.weight, axis=0)
    equal = np.isclose(sums.weight2 * sums.count, whole**2)
    if len(sums.weight) and np.all(groups == sums.count) and np.all(equal):
        return sums.count.astype(np.float64)  # each of a cluster of its own: the test is exact
    spread = ((sums.wrong_weight - share * sums.weight) ** 2).sum(0)
    variance = spread / whole**2 * groups / np.maximum(groups - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(variance > 0, share * (1 - share) / variance, np.inf)
    none = sums.wrong == 0
    return np.where(none, np.minimum(groups, most), np.minimum(most, np.maximum(1.0, found)))


def upper_share(share: Floats, independent: Floats, delta: float) -> Floats:
    """Clopper and Pearson's upper end: where no label is checked, or all are wrong, it is 1.

    Args:
        share: of labels that are wrong.
        independent: how many independent labels show that.
        delta: with which probability at most more of them are wrong.
    """
    from scipy.special import betaincinv  # see pipeline.stats.wilson

    wrong = share * independent
    right = independent - wrong
    with np.errstate(invalid="ignore"):
        end = betaincinv(wrong + 1, np.where(right > 0, right, 1.0), 1 - delta)
    return np.where(right > 1e-12, end, 1.0)
