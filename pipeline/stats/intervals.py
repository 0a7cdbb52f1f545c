"""95 % intervals of shares and of what changed between two snapshots, from counts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.stats.arrays import Ints, Table
from pipeline.stats.tally import ratio_sums
from pipeline.stats.wilson import (
    LEAST_PROMPTS,
    LEVEL,
    NORMAL,
    clustered_wilson,
    effective_number,
    share_interval,
    student,
    wilson,
)
from schemas.quality import NOT_MEASURED, Rate

NOTHING = NOT_MEASURED
_SMOOTHING = 0.5  # of a bin that one of two histograms has and the other has not


def share(part: int, whole: int) -> Rate:
    """A share of things that are independent of each other, with its Wilson interval."""
    if not whole:
        return NOTHING
    return Rate(part / whole, *wilson(part / whole, whole), whole)


def paired_difference(gained: int, lost: int, whole: int) -> Rate:
    """How many more things have a property under one treatment than under another.

    The interval of Agresti and Min, which adds half a thing to each count of the things that
    differ, and two to all: Wald's, without them, is too narrow for few of them.

    Args:
        gained, lost: things that have the property under the first one alone, the second one alone.
        whole: all of them, each under both, independent of each other.
    """
    if not whole:
        return NOTHING
    more, less, count = gained + 0.5, lost + 0.5, whole + 2
    value = (more - less) / count
    error = NORMAL * math.sqrt(more + less - (more - less) ** 2 / count) / count
    return Rate(value, max(-1.0, value - error), min(1.0, value + error), whole)


def clustered_share(sums: Table) -> Rate:
    """A share of things that come in rows, such as votes: those of one row are alike.

    Args:
        sums: of :func:`pipeline.stats.tally.ratio_sums` (see :mod:`pipeline.stats.wilson`).
    """
    return Rate(*clustered_wilson(sums), int(sums[1])) if sums[1] else NOTHING


def share_by_prompt(counts: Ints) -> Rate:
    """A share of pairs, those of one prompt being alike: ``wilson.share_interval``.

    Args:
        counts: of each prompt, its pairs that have the property and all of them, (prompts, 2).
    """
    sums = ratio_sums(*counts.T)
    if not sums[1]:
        return NOTHING
    low, high = share_interval(sums) or (None, None)
    return Rate(float(sums[0]) / float(sums[1]), low, high, int(sums[1]))


def widened_share(part: int, whole: int, sample: Ints | None) -> Rate:
    """A share of all pairs, widened by how alike those of one prompt are in a sample of them.

    Pairs count as independent where each of the sample is of another prompt, and where it has fewer
    than ``LEAST_PROMPTS`` prompts, which do not tell.

    Args:
        part, whole: counts over all pairs.
        sample: of each prompt of the sample, as :func:`share_by_prompt` takes them.
    """
    if not whole or sample is None or not _tells(sample[:, 1]):
        return share(part, whole)
    independent = max(1.0, whole / design_effect(sample))
    ends = wilson(part / whole, independent, student(int(np.count_nonzero(sample[:, 1]))))
    return Rate(part / whole, *ends, whole)


def design_effect(sample: Ints) -> float:
    """How many times as large the variance of a share is as if its pairs were independent.

    Args:
        sample: of each prompt, as :func:`share_by_prompt` takes them; at least one pair.
    """
    sums = ratio_sums(*sample.T)
    return float(sums[1]) / effective_number(sums)


def mean_design_effect(sample: Ints) -> float:
    """The design effect of a histogram: the mean of its bins', each by what the others hold.

    Args:
        sample: of each prompt of a sample, its pairs by bin, (prompts, bins).

    Returns:
        1 where pairs count as independent (see :func:`widened_share`), or are in one bin.
    """
    whole = sample.sum(1)
    share = sample.sum(0) / max(1, int(whole.sum()))
    bins = np.flatnonzero(share)
    if len(bins) < 2 or not _tells(whole):
        return 1.0
    effects = [design_effect(np.stack([sample[:, each], whole], axis=1)) for each in bins]
    return float(np.dot(effects, 1 - share[bins]) / (len(bins) - 1))


def _tells(pairs: Ints) -> bool:
    """Whether a sample, by its pairs of each prompt, tells how alike those of one prompt are."""
    return bool(np.count_nonzero(pairs) >= LEAST_PROMPTS and pairs.max() > 1)


def change(before: Rate, now: Rate) -> Rate:
    """How much a share changed, with Newcombe's interval of a difference of two Wilson ones.

    It takes the two for independent. Snapshots that share rows are not: the interval is then
    wider than it need be, and a gate that asks it blocks too rarely rather than by chance.
    """
    if before.low is None or now.low is None:
        return NOTHING
    was, is_ = _number(before.value), _number(now.value)
    below = math.hypot(is_ - now.low, _number(before.high) - was)
    above = math.hypot(_number(now.high) - is_, was - before.low)
    value = is_ - was
    return Rate(value, max(-1.0, value - below), min(1.0, value + above), min(before.n, now.n))


def stability_index(before: Sequence[int], now: Sequence[int], effect: float = 1.0) -> Rate:
    """Population stability index of two histograms over the same bins, with an interval.

    PSI = Σ (q - p) ln(q / p) over the bins that either has, p and q being the shares of each, with
    half a count added to each of these bins. It lies above the true index, since chance makes any
    two samples differ: times nm / (n + m) it is about a noncentral chi-square variable of one
    degree of freedom less than bins, whose noncentrality is the true index times the same. The
    interval is that of the noncentrality, so that its lower end is 0 where chance explains all.

    Args:
        before, now: counts by bin.
        effect: the design effect of the counts (see :func:`mean_design_effect`), by which the
            index of chance alone is larger: a correction of the first order (Rao and Scott 1981).
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
    scale = n * m / (n + m) / effect
    low, high = (
        _noncentrality(value * scale, int(there.sum()) - 1, tail) / scale
        for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    )
    return Rate(value, min(value, low), max(value, high), min(n, m))


def _noncentrality(x: float, freedom: int, tail: float) -> float:
    """Of the noncentral chi-square distribution that has the share ``tail`` up to ``x``."""
    from scipy.special import chdtr, chndtrinc  # see pipeline.stats.wilson

    if freedom == 0 or chdtr(freedom, x) <= tail:  # even the central one has no more
        return 0.0
    return float(chndtrinc(x, freedom, tail))


def _number(value: float | None) -> float:
    if value is None:
        raise AssertionError("a rate with one end has a value and both")
    return value
