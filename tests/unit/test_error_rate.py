"""How often labels are wrong, by those that people checked: known values, and coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from pipeline.stats.error_rate import Check, counts_by_prompt
from pipeline.stats.tally import ratio_sums
from pipeline.stats.wilson import clustered_wilson, wilson

RIGHT = np.array([5, 5, 0, 5, 3, 5, 4, 5, 5, 2])


def test_without_probabilities_it_is_the_share_of_wrong_ones() -> None:
    wrong, zero = 5.0 - RIGHT, np.zeros(10)
    check = Check.of(np.stack([np.full(10, 5.0), wrong, zero], axis=1))
    assert (check.pairs, check.prompts, check.wrong) == (50, 10, 11)
    assert check.error_rate(0) == pytest.approx(
        clustered_wilson(ratio_sums(wrong.astype(np.int64), np.full(10, 5)))
    )
    assert check.error_rate(0) == pytest.approx((0.22, 1 - 0.9312, 1 - 0.4816), abs=5e-5)


def test_what_is_stated_of_all_is_corrected_by_the_checked_ones_by_hand() -> None:
    # Residuals of three prompts: 1 - .2 - .2, 0 - .1, 1 - .3; their mean is 1.2 of 4 labels.
    counts = np.array([[2, 1, 0.4], [1, 0, 0.1], [1, 1, 0.3], [0, 0, 0]])
    check = Check.of(counts)
    variance = (0**2 + 0.4**2 + 0.4**2) / 4**2 * 3 / 2
    assert (check.pairs, check.prompts) == (4, 3)
    assert (check.gap, check.variance) == pytest.approx((0.3, variance))
    low, high = wilson(0.4, min(4, 0.24 / variance), stdtrit(2, 0.975))
    assert check.error_rate(0.1) == pytest.approx((0.4, low, high))


@pytest.mark.parametrize(("wrong", "stated"), [(0.0, 0.5), (5.0, 0.5)])
def test_where_all_or_none_are_wrong_each_prompt_counts_as_one(wrong: float, stated: float) -> None:
    check = Check.of(np.tile([5, wrong, 5 * stated], (20, 1)))
    rate = wrong / 5
    assert check.error_rate(stated) == pytest.approx((rate, *wilson(rate, 20, stdtrit(19, 0.975))))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 1)), max_size=30))
def test_labels_of_a_prompt_are_counted_together(rows: list[tuple[int, bool, float]]) -> None:
    prompts, wrong, stated = (np.array([row[i] for row in rows], np.float64) for i in range(3))
    check = Check.of(counts_by_prompt(prompts.astype(np.int64), wrong, stated))
    assert (check.pairs, check.prompts) == (len(rows), len({row[0] for row in rows}))
    if rows:
        assert check.gap == pytest.approx(wrong.mean() - stated.mean())
        rate, low, high = check.error_rate(0.5)
        assert 0 <= low <= rate <= high <= 1
    assert Check.stored(check.figures()) == check
    assert Check.stored({"ece": 0.1}) is None


def test_the_interval_holds_the_truth_where_probabilities_are_wrong() -> None:
    """Of 60 prompts with 5 checked labels, whose stated probabilities are too sure by 7 points."""
    rng, held, repeats = np.random.default_rng(6), 0, 1_000
    p = 0.5 + 0.5 * rng.beta(2.1, 0.9, (2_000, 1))  # of each prompt
    truth, stated = float(np.mean(1 - p)), float(np.mean(0.6 * (1 - p)))
    for drawn in rng.integers(2_000, size=(repeats, 60)):
        wrong = rng.binomial(5, 1 - p[drawn, 0])
        check = Check.of(np.stack([np.full(60, 5), wrong, 5 * 0.6 * (1 - p[drawn, 0])], axis=1))
        _, low, high = check.error_rate(stated)
        held += low <= truth <= high
    assert truth - stated == pytest.approx(0.06, abs=0.02)
    assert 0.93 <= held / repeats <= 0.975
