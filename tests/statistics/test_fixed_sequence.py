"""Error bounds: known answers, and how often they fail in simulated draws (fixed seeds)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import beta, binom

from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.fixed_sequence import (
    Threshold,
    first_tested,
    fixed_sequence,
    least_checked,
    thresholds_of,
)

DRAWS = pytest.mark.parametrize("draws", [500, pytest.param(2_000, marks=pytest.mark.long)])


def judge(rng: np.random.Generator, count: int) -> Floats:
    """Confidences of a calibrated judge that is right in 85 %."""
    return 0.5 + 0.5 * rng.beta(2.1, 0.9, count)


CORPUS = judge(np.random.default_rng(0), 200_000)
THRESHOLDS = thresholds_of(CORPUS)
# The true share of wrong ones among those that reach each threshold, by its value.
ERRORS = {each.value: float(1 - CORPUS[each.value <= CORPUS].mean()) for each in THRESHOLDS}


@pytest.mark.parametrize(
    ("alpha", "needed"), [(0.01, 299), (0.02, 149), (0.05, 59), (0.1, 29), (0.15, 19), (0.2, 14)]
)
def test_labels_needed_without_an_error(alpha: float, needed: int) -> None:
    assert math.ceil(least_checked(alpha, 0.05)) == needed


def test_known_answers_of_a_test() -> None:
    """The upper end is at most alpha exactly where the binomial tail is at most delta."""
    top = [Threshold(0.9, 1.0)]

    def upper(n: int, k: int, alpha: float) -> tuple[float, bool]:
        wrong = np.arange(n) < k
        (test,) = fixed_sequence(top, np.ones(n), wrong.astype(int), np.arange(n), alpha, 0.05)
        assert (test.n, test.wrong, test.clusters, test.independent) == (n, k, n, n)
        return test.upper, test.passed

    assert upper(200, 4, 0.05)[0] == pytest.approx(0.0452, abs=5e-5)
    assert upper(200, 4, 0.05)[1] is True
    assert upper(200, 5, 0.05)[1] is False
    assert upper(200, 12, 0.1)[1] is True
    assert upper(59, 0, 0.05)[1] is True
    for n, k in ((60, 0), (120, 1), (200, 8), (300, 9), (300, 300)):
        end, passed = upper(n, k, 0.05)
        assert passed == (binom.cdf(k, n, 0.05) <= 0.05)
        assert end == pytest.approx(float(beta.ppf(0.95, k + 1, n - k)) if k < n else 1.0)


def test_the_whole_rule_on_the_known_case() -> None:
    """Coverage .3, .6 and 1 leave 60, 120 and 200 labels with 0, 1 and 8 errors."""
    steps = [Threshold(0.9, 0.3), Threshold(0.8, 0.6), Threshold(0.7, 1.0)]
    scores = np.repeat([0.95, 0.85, 0.75], [60, 60, 80])
    wrong = np.zeros(200, np.int64)
    wrong[[60, *range(120, 127)]] = 1
    tests = fixed_sequence(steps, scores, wrong, np.arange(200), 0.05, 0.05)
    # 60 labels are no 2 * 59: the first is left out, as it could not afford one error.
    assert [(t.n, t.wrong, t.passed) for t in tests] == [(120, 1, True), (200, 8, False)]
    assert first_tested(steps, 100, 0.05, 0.05) == 1  # none leaves 118, and this one 60
    assert first_tested(steps, 58, 0.05, 0.05) == 3
    assert fixed_sequence(steps, scores[:50], wrong[:50], np.arange(50), 0.05, 0.05) == []


def test_few_scores_are_thresholds_themselves() -> None:
    found = thresholds_of(np.repeat([0.6, 0.8, 0.9], [5, 3, 2]))
    assert found == [Threshold(0.9, 0.2), Threshold(0.8, 0.5), Threshold(0.6, 1.0)]
    assert [round(each.coverage, 1) for each in THRESHOLDS] == [n / 10 for n in range(1, 11)]


def simulated(
    seed: int, size: int, alpha: float, draws: int, per_prompt: int = 1, alike: float = 0.0
) -> tuple[float, float]:
    """The share of draws whose bound does not hold, and the mean coverage.

    Args:
        per_prompt: labels of one prompt, whose errors have the latent correlation ``alike``.
    """
    rng = np.random.default_rng(seed)
    violations, coverage = 0, 0.0
    clusters: Ints = np.arange(size) // per_prompt
    groups = size // per_prompt
    for _ in range(draws):
        p = judge(rng, size)
        luck = ndtr(
            math.sqrt(alike) * rng.standard_normal(groups)[clusters]
            + math.sqrt(1 - alike) * rng.standard_normal(size)
        )
        wrong = (luck < 1 - p).astype(np.int64)
        tests = fixed_sequence(THRESHOLDS, p, wrong, clusters, alpha, 0.05)
        passed = [test for test in tests if test.passed]
        if passed:
            violations += ERRORS[passed[-1].threshold] > alpha
            coverage += passed[-1].coverage
    return violations / draws, coverage / draws


@DRAWS
@pytest.mark.parametrize("seed", [1, 11])
def test_of_independent_labels_few_bounds_fail(seed: int, draws: int) -> None:
    violated, coverage = simulated(seed, 500, 0.1, draws)
    assert violated <= 0.05
    assert 0.48 <= coverage <= 0.56


@pytest.mark.parametrize(
    ("size", "alpha", "expected"),
    [(100, 0.1, 0.07), (200, 0.1, 0.27), (200, 0.2, 0.92), (500, 0.05, 0.07), (1_000, 0.1, 0.61)],
)
def test_coverage_is_that_of_the_table(size: int, alpha: float, expected: float) -> None:
    violated, coverage = simulated(2, size, alpha, 400)
    assert violated <= 0.05
    assert coverage == pytest.approx(expected, abs=0.035)


@DRAWS
def test_of_clusters_few_bounds_fail(draws: int) -> None:
    """Five labels a prompt, nearly all alike: counting rows would fail in a tenth of the draws."""
    violated, coverage = simulated(12, 500, 0.1, draws, per_prompt=5, alike=0.9)
    assert violated <= 0.06
    assert coverage > 0.3


def test_weights_undo_an_uneven_draw() -> None:
    """Gold that is drawn three times as often where the judge is sure: weighted, bounds hold."""
    rng = np.random.default_rng(4)
    violated = plain = 0
    for _ in range(400):
        p = judge(rng, 4_000)
        chance = np.where(p > 0.9, 0.3, 0.1)
        drawn = rng.random(4_000) < chance
        p, chance = p[drawn], chance[drawn]
        wrong = (rng.random(len(p)) < 1 - p).astype(np.int64)
        for weights in (1 / chance, None):
            each = np.arange(len(p))
            tests = fixed_sequence(THRESHOLDS, p, wrong, each, 0.1, 0.05, weights)
            passed = [test.threshold for test in tests if test.passed]
            fails = bool(passed) and ERRORS[passed[-1]] > 0.1
            violated += fails and weights is not None
            plain += fails and weights is None
    assert violated / 400 <= 0.05
    assert plain / 400 > 0.2
