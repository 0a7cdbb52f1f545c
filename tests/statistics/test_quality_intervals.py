"""Intervals of shares and of drift: known values, what they must hold, and how often they do."""

from __future__ import annotations

import itertools
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri, stdtrit

from pipeline.stats.cluster_sums import ClusterSums
from pipeline.stats.intervals import (
    NOTHING,
    change,
    clustered_share,
    design_effect,
    mean_design_effect,
    share,
    share_by_prompt,
    stability_index,
    widened_share,
)
from pipeline.stats.tally import ratio_sums
from pipeline.stats.wilson import (
    LEVEL,
    NORMAL,
    clustered_wilson,
    effective_number,
    share_interval,
    wilson,
)
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
    low, high = wilson(0.5, 100, stdtrit(49, 0.975))
    assert ends(rate) == pytest.approx((low, 0.5, high))


@pytest.mark.parametrize("part", [0, 4])
def test_without_spread_each_row_counts_as_one(part: int) -> None:
    rows = 25
    sums = ratio_sums(np.full(rows, part, np.int64), np.full(rows, 4, np.int64))
    low, high = wilson(part / 4, rows, stdtrit(rows - 1, 0.975))
    assert ends(clustered_share(sums)) == pytest.approx((low, part / 4, high))


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


def test_right_pairs_of_ten_prompts_by_hand() -> None:
    """n_eff = p (1 - p) / v, v = G / (G - 1) Σ (e - p h)² / W²: .78 of 50 pairs are 14.35."""
    right, pairs = np.array([5, 5, 0, 5, 3, 5, 4, 5, 5, 2]), np.full(10, 5)
    sums = ratio_sums(right, pairs)
    assert effective_number(sums) == pytest.approx(14.353, abs=5e-4)
    rate = clustered_share(sums)
    assert (rate.value, rate.n) == (0.78, 50)
    assert (rate.low, rate.high) == pytest.approx((0.4816, 0.9312), abs=5e-5)
    assert ends(share(39, 50)) == pytest.approx((0.6476, 0.78, 0.8725), abs=5e-5)


def test_of_fewer_than_twenty_prompts_each_counts_as_one_pair() -> None:
    counts = np.array([[3, 5], [5, 5], [0, 0]] * 10)
    assert share_by_prompt(counts[:27]) == Rate(72 / 90, *wilson(72 / 90, 18), 90)
    assert share_by_prompt(counts[:6]) == Rate(16 / 20, None, None, 20)
    assert share_by_prompt(counts) == clustered_share(ratio_sums(*counts.T))
    assert share_by_prompt(counts).low is not None
    assert share_by_prompt(np.zeros((5, 2), np.int64)) == NOTHING
    # A sample that does not tell leaves rows independent, and so does none.
    assert widened_share(30, 70, counts[:27]) == widened_share(30, 70, None) == share(30, 70)


def test_all_pairs_are_as_much_alike_as_those_of_the_sample() -> None:
    rng = np.random.default_rng(2)
    right = rng.binomial(5, rng.beta(0.8 * 16 / 9, 0.2 * 16 / 9, 40))  # ICC 1 / (1 + 16 / 9)
    sample = np.stack([right, np.full(40, 5)], axis=1)
    part = int(right.sum())
    assert widened_share(part, 200, sample) == share_by_prompt(sample)
    assert 1.5 < design_effect(sample) < 4  # 1 + 4 ICC = 2.44
    low, high = wilson(0.8, 10_000 / design_effect(sample), stdtrit(39, 0.975))
    assert ends(widened_share(8_000, 10_000, sample)) == pytest.approx((low, 0.8, high))
    alone = np.stack([right > 2, np.ones(40)], axis=1).astype(np.int64)
    assert design_effect(alone) == pytest.approx(40 / 39)  # the spread is estimated with n - 1
    assert widened_share(30, 70, alone) == share(30, 70)  # each pair is of another prompt


def test_the_normal_quantile_is_that_of_the_level() -> None:
    assert ndtri((1 + LEVEL) / 2) == NORMAL


def test_the_intervals_of_five_pairs_a_prompt_hold_the_truth() -> None:
    """Of 60 prompts with 5 pairs, ICC .36: rows taken for independent hold it in 79 %."""
    rng, repeats, p = np.random.default_rng(7), 3_000, 0.8
    alike = 1 / 0.36 - 1  # of the beta distribution of prompts: a + b = 1 / ICC - 1
    chance = rng.beta(p * alike, (1 - p) * alike, (repeats, 60))
    right = rng.binomial(5, chance)
    sums = np.stack(
        [right.sum(1), np.full(repeats, 300), (right**2).sum(1), 5 * right.sum(1)], axis=1
    )
    sums = np.concatenate([sums, np.full((repeats, 2), (1_500, 60))], axis=1)
    found = np.array([clustered_wilson(each) for each in sums])
    held = np.mean((found[:, 1] <= p) & (p <= found[:, 2]))
    assert 0.93 <= held <= 0.97
    rows = np.array([wilson(each, 300) for each in right.sum(1) / 300])
    assert np.mean((rows[:, 0] <= p) & (p <= rows[:, 1])) == pytest.approx(0.79, abs=0.03)


def test_drift_of_pairs_that_are_alike_is_less_certain() -> None:
    before, now = [300, 500, 200], [380, 420, 200]
    assert mean_design_effect(np.repeat([[1, 0, 0], [0, 1, 0]], 20, axis=0)) == 1
    # All four pairs of a prompt are in one bin: four times the variance.
    alike = mean_design_effect(np.repeat([[4, 0, 0], [0, 4, 0], [0, 0, 4]], 20, axis=0))
    assert alike == pytest.approx(4 * 60 / 59)
    plain, wide = stability_index(before, now), stability_index(before, now, alike)
    assert wide.value == plain.value
    # As if a quarter of the pairs had been counted.
    fewer = stability_index([75, 125, 50], [95, 105, 50], alike / 4)
    assert ends(wide)[0] == pytest.approx(ends(fewer)[0], abs=2e-3)
    assert ends(wide)[0] < ends(plain)[0]
    assert mean_design_effect(np.array([[4, 0], [0, 4]] * 9)) == 1  # too few prompts to tell
    assert mean_design_effect(np.array([[4, 0]] * 30)) == 1


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_clusters_add_up_however_they_are_cut(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    merged = ClusterSums(2)
    for start, stop in itertools.pairwise([0, *sorted(cuts), 40]):
        keys, counts = np.array(rows[start:stop], np.int64).reshape(-1, 2).T
        merged.add(ClusterSums.of(keys, counts, np.ones_like(counts)))
    expected = {
        key: [sum(n for k, n in rows if k == key), sum(k == key for k, _ in rows)]
        for key, _ in rows
    }
    assert sorted(merged.sums.tolist()) == sorted(expected.values())


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


@pytest.mark.parametrize(("share", "alike"), [(0.5, 0.36), (0.8, 0.5), (0.95, 0.36), (0.95, 0.5)])
@pytest.mark.parametrize("prompts", [5, 8, 15, 19])
def test_a_share_of_few_prompts_is_held_by_its_interval(
    prompts: int, share: float, alike: float
) -> None:
    """Of a few pictures with 2 to 39 questions each; the figures are in ``share_interval``."""
    rng = np.random.default_rng(7)
    shape = ((1 - alike) / alike * share, (1 - alike) / alike * (1 - share))
    held = 0
    for _ in range(500):
        pairs = rng.integers(2, 40, prompts)
        right = rng.binomial(pairs, rng.beta(*shape, prompts))
        low, high = share_interval(ratio_sums(right, pairs)) or (1, 0)
        held += low <= share <= high
    assert held >= 0.94 * 500
    assert share_interval(ratio_sums(right[:4], pairs[:4])) is None
