"""Intervals of shares and of drift: known values, what they must hold, and how often they do."""

from __future__ import annotations

import itertools
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stats.intervals import NOTHING, change, clustered_share, share, stability_index
from pipeline.stats.tally import ratio_sums
from schemas.quality import Rate


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [  # of Wilson's formula as printed in Newcombe, Statistics in Medicine 17 (1998) 857, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_a_share_has_the_published_interval(part: int, whole: int, low: float, high: float) -> None:
    rate = share(part, whole)
    assert (rate.value, rate.n) == (part / whole, whole)
    assert rate.low == pytest.approx(low, abs=5e-5)
    assert rate.high == pytest.approx(high, abs=5e-5)


def test_a_share_of_nothing_is_nothing() -> None:
    assert share(0, 0) == NOTHING
    assert clustered_share(np.zeros(6, np.int64)) == NOTHING
    assert change(NOTHING, share(1, 2)) == change(share(1, 2), NOTHING) == NOTHING
    assert stability_index([0, 0], [1, 2]) == stability_index([1, 2], [0, 0]) == NOTHING


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_lies_in_its_interval_and_mirrors(counts: tuple[int, int]) -> None:
    part, whole = counts
    rate, mirrored = share(part, whole), share(whole - part, whole)
    low, value, high = ends(rate)
    assert 0 <= low <= value <= high <= 1
    assert ends(mirrored) == pytest.approx((1 - high, 1 - value, 1 - low))


def test_rows_of_one_vote_each_are_independent() -> None:
    flags = np.array([1] * 30 + [0] * 70)
    rate = clustered_share(ratio_sums(flags, np.ones(100, np.int64)))
    plain = share(30, 100)
    # The spread is estimated with n - 1: a hair wider.
    assert ends(rate) == pytest.approx(ends(plain), abs=2e-3)
    assert rate.high is not None
    assert plain.high is not None
    assert rate.high >= plain.high


def test_votes_that_go_together_count_as_one() -> None:
    flags = np.array([1] * 30 + [0] * 70)
    whole = clustered_share(ratio_sums(flags * 8, np.full(100, 8, np.int64)))
    assert whole.n == 800
    assert ends(whole) == pytest.approx(ends(share(30, 100)), abs=2e-3)


def test_votes_that_balance_within_rows_are_never_more_than_they_are() -> None:
    # A judge that always keeps to its candidate gives the first slot one of each two votes.
    rate = clustered_share(ratio_sums(np.ones(50, np.int64), np.full(50, 2, np.int64)))
    assert ends(rate) == pytest.approx(ends(share(50, 100)))


@pytest.mark.parametrize("part", [0, 4])
def test_without_spread_each_row_counts_as_one(part: int) -> None:
    rows = 25
    sums = ratio_sums(np.full(rows, part, np.int64), np.full(rows, 4, np.int64))
    assert ends(clustered_share(sums)) == pytest.approx(ends(share(rows * part // 4, rows)))


def test_clustered_intervals_hold_the_truth() -> None:
    """Votes of a row fail together: 95 % intervals that took them for independent miss often."""
    rng = np.random.default_rng(1)
    truth, rows, repeats = 0.2, 150, 600
    held = naive = 0
    for _ in range(repeats):
        chance = rng.beta(0.2 * 1.5, 0.8 * 1.5, rows)  # of each row, alike for all of its votes
        votes = rng.choice([2, 4, 8], rows)
        failed = rng.binomial(votes, chance)
        low, _, high = ends(clustered_share(ratio_sums(failed, votes)))
        held += low <= truth <= high
        low, _, high = ends(share(int(failed.sum()), int(votes.sum())))
        naive += low <= truth <= high
    assert held / repeats > 0.92
    assert naive / repeats < 0.85


@pytest.mark.parametrize(
    ("before", "now", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998) 873, table II, method 10
        ((48, 80), (56, 70), -0.3339, -0.0524),
        ((3, 10), (9, 10), -0.8090, -0.1705),
        ((0, 10), (10, 10), -1.0000, -0.6075),
    ],
)
def test_a_change_has_the_published_interval(
    before: tuple[int, int], now: tuple[int, int], low: float, high: float
) -> None:
    # There it is the first less the second: the signs are the other way around.
    rate = change(share(*before), share(*now))
    assert rate.value == pytest.approx(now[0] / now[1] - before[0] / before[1])
    assert rate.n == min(before[1], now[1])
    assert (rate.low, rate.high) == pytest.approx((-high, -low), abs=5e-5)


HISTOGRAM = st.lists(st.integers(0, 300), min_size=4, max_size=4)


@given(HISTOGRAM, HISTOGRAM)
def test_the_index_is_its_formula_and_in_its_interval(before: list[int], now: list[int]) -> None:
    rate = stability_index(before, now)
    if not any(before) or not any(now):
        assert rate == NOTHING
        return
    bins = [(x + 0.5, y + 0.5) for x, y in zip(before, now, strict=True) if x or y]
    n, m = (sum(each) for each in zip(*bins, strict=True))
    expected = sum((y / m - x / n) * np.log((y / m) / (x / n)) for x, y in bins)
    low, value, high = ends(rate)
    assert value == pytest.approx(expected, abs=1e-12)
    assert 0 <= low <= value <= high
    assert rate.n == min(sum(before), sum(now))


def test_the_same_histogram_has_not_drifted() -> None:
    assert ends(stability_index([5, 80, 15], [5, 80, 15]))[:2] == (0.0, 0.0)


_BEFORE = np.array([3, 1, 0.5, 0.5, 2, 0.5, 0.5, 1, 2, 4.0]) / 15
_NOW = np.array([2, 1, 0.5, 0.5, 2, 0.5, 0.5, 1, 2, 5.0]) / 15


@pytest.mark.parametrize(("n", "m"), [(25, 40), (200, 5_000), (100_000, 100_000)])
@pytest.mark.parametrize("now", [_BEFORE, _NOW])
def test_the_index_holds_the_true_one(n: int, m: int, now: Any) -> None:
    """Though the index of small samples is large by chance alone."""
    truth = float(((now - _BEFORE) * np.log(now / _BEFORE)).sum())
    rng = np.random.default_rng(n)
    drawn = [
        ends(
            stability_index(rng.multinomial(n, _BEFORE).tolist(), rng.multinomial(m, now).tolist())
        )
        for _ in range(300)
    ]
    assert fmean(low > truth for low, _, _ in drawn) < 0.05
    assert fmean(high < truth for _, _, high in drawn) < 0.07
    if n == 25:
        assert fmean(value for _, value, _ in drawn) > 0.3


def test_a_drift_is_seen() -> None:
    before, now = [100, 100, 100, 700], [400, 300, 200, 100]
    low, value, high = ends(stability_index(before, now))
    assert value == pytest.approx(1.872, abs=0.01)
    assert 1.5 < low < value < high < 2.3


def ends(rate: Rate) -> tuple[float, float, float]:
    """Low, value and high of a rate that has them."""
    found = [end for end in (rate.low, rate.value, rate.high) if end is not None]
    low, value, high = found
    for one, other in itertools.pairwise(found):
        assert one <= other
    return low, value, high
