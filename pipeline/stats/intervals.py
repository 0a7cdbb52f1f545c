"""95 % intervals of shares and of what changed between two snapshots, from counts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import chdtr, chndtrinc

from pipeline.stats.bootstrap import LEVEL, Ints
from schemas.quality import Rate

NOTHING = Rate(None, None, None, 0)
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
_SMOOTHING = 0.5  # of a bin that one of two histograms has and the other has not


def share(part: int, whole: int) -> Rate:
    """A share of rows that are independent of each other, with its Wilson interval.

    Wilson's holds its level for few rows and for shares near 0 and 1, where value ± error does not.
    """
    return _wilson(part, whole, whole)


def clustered_share(sums: Ints) -> Rate:
    """A share of things that come in rows, such as votes: those of one row are alike.

    The interval is Wilson's for as many independent things as have the same variance, which the
    spread between rows gives; never for more than there are. Of a share of 0 or 1, which shows no
    spread, each row counts as one.

    Args:
        sums: of :func:`pipeline.stats.tally.ratio_sums`.
    """
    part, whole, part2, product, whole2, rows = map(int, sums)
    if not whole:
        return NOTHING
    p = part / whole
    spread = part2 - 2 * p * product + p * p * whole2  # of parts around what p expects of each row
    if part in (0, whole) or rows < 2:
        independent = float(rows)
    elif spread <= 0:
        independent = float(whole)
    else:
        variance = spread / whole**2 * rows / (rows - 1)
        independent = min(float(whole), max(1.0, p * (1 - p) / variance))
    return _wilson(part, whole, independent)


def change(before: Rate, now: Rate) -> Rate:
    """How much a share changed, with Newcombe's interval of a difference of two Wilson ones.

    It takes the two for independent. Snapshots that share rows are not: the interval is then
    wider than it need be, and a gate that asks it blocks too rarely rather than by chance.
    """
    if before.value is None or now.value is None:
        return NOTHING
    below = math.hypot(now.value - _end(now.low), _end(before.high) - before.value)
    above = math.hypot(_end(now.high) - now.value, before.value - _end(before.low))
    value = now.value - before.value
    return Rate(value, max(-1.0, value - below), min(1.0, value + above), min(before.n, now.n))


def stability_index(before: Sequence[int], now: Sequence[int]) -> Rate:
    """Population stability index of two histograms over the same bins, with an interval.

    PSI = Σ (q - p) ln(q / p) over the bins that either has, p and q being the shares of each, with
    half a count added to each of these bins. It lies above the true index, since chance makes any
    two samples differ: times nm / (n + m) it is about a noncentral chi-square variable of one
    degree of freedom less than bins, whose noncentrality is the true index times the same. The
    interval is that of the noncentrality, so that its lower end is 0 where chance explains all.
    """
    first, second = np.asarray(before, np.float64), np.asarray(now, np.float64)
    n, m = int(first.sum()), int(second.sum())
    if not n or not m:
        return NOTHING
    there = (first > 0) | (second > 0)
    p, q = (
        (counts[there] + _SMOOTHING) / (counts[there] + _SMOOTHING).sum()
        for counts in (first, second)
    )
    value = float(((q - p) * np.log(q / p)).sum())
    scale = n * m / (n + m)
    low, high = (
        _noncentrality(value * scale, int(there.sum()) - 1, tail) / scale
        for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    )
    return Rate(value, min(value, low), max(value, high), min(n, m))


def _noncentrality(x: float, freedom: int, tail: float) -> float:
    """Of the noncentral chi-square distribution that has the share ``tail`` up to ``x``."""
    if freedom == 0 or chdtr(freedom, x) <= tail:  # even the central one has no more
        return 0.0
    return float(chndtrinc(x, freedom, tail))


def _wilson(part: int, whole: int, independent: float) -> Rate:
    if not whole:
        return NOTHING
    p, z2 = part / whole, _Z**2 / independent
    centre = (p + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Rate(p, min(low, p), max(high, p), whole)


def _end(value: float | None) -> float:
    if value is None:
        raise AssertionError("a rate with a value has an interval")
    return value
