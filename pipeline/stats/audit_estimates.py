"""How many of all labels are right, by people's answers about some that were drawn from them.

What labels say of themselves (their confidence) narrows the interval and moves nothing: if it tells
no more than chance, the estimate is the plain one (PPI++, arXiv:2311.01453; Hájek's estimator where
pairs were drawn with different probabilities). Labels of one prompt count together.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.wilson import LEAST_PROMPTS, student
from schemas.quality import Rate


def accuracy_of_sample(
    right: Floats, stated: Floats, clusters: Ints, corpus: tuple[int, float, float]
) -> Rate:
    """The share of right ones, by labels that were drawn with the same probability.

    Args:
        right: 1 of those that agree with people, else 0.
        stated: their confidence, or zeros.
        clusters: labels that share one are alike.
        corpus: how many labels there are, and mean and variance of their confidence.
    """
    count, (size, mean, variance) = len(right), corpus
    if count == 0:
        return Rate(None, None, None, 0)
    weight = 0.0
    if variance > 0 and count > 1:
        covariance = float(np.cov(right, stated)[0, 1])
        weight = min(1.0, max(0.0, covariance / ((1 + count / size) * variance)))
    rest = right - weight * stated
    value = float(rest.mean()) + weight * mean
    error2 = _spread(rest - rest.mean(), clusters) / count**2 + weight**2 * variance / size
    return _rate(value, error2, clusters, count)


def accuracy_of_weighted(
    right: Floats, stated: Floats, clusters: Ints, probabilities: Floats, mean: float
) -> Rate:
    """The same, of labels that were each drawn by itself with a probability of its own.

    Args:
        right, stated, clusters: as above.
        probabilities: of being drawn.
        mean: of the confidence of all labels.
    """
    if not len(right):
        return Rate(None, None, None, 0)
    weights, rest = 1 / probabilities, right - stated
    shift = float((weights * rest).sum() / weights.sum())
    alone = len(np.unique(clusters)) == len(clusters)
    factor = np.sqrt(1 - probabilities) if alone else np.ones(len(rest))
    residuals = factor * weights * (rest - shift)
    error2 = (
        float((residuals**2).sum()) if alone else _spread(residuals, clusters)
    ) / weights.sum() ** 2
    return _rate(mean + shift, float(error2), clusters, len(right))


def _spread(residuals: Floats, clusters: Ints) -> float:
    """The variance of a sum of residuals, those of one cluster together."""
    codes = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(codes, residuals)
    groups = len(sums)
    return float((sums**2).sum()) * groups / max(1, groups - 1)


def _rate(value: float, error2: float, clusters: Ints, count: int) -> Rate:
    """A share with its interval; without one of too few clusters to tell."""
    value = min(1.0, max(0.0, value))
    groups = len(np.unique(clusters))
    if groups < LEAST_PROMPTS:
        return Rate(value, None, None, count)
    half = student(groups) * math.sqrt(error2)
    return Rate(value, max(0.0, value - half), min(1.0, value + half), count)
