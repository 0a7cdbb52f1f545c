"""Agreement with gold, against cases counted by hand and against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import stdtrit

from pipeline.stats.agreement import (
    CalibrationError,
    Correlation,
    Kappa,
    RiskArea,
    brier_score,
    calibration_curve,
    expected_calibration_error,
    risk_coverage,
)
from pipeline.stats.bootstrap import (
    Difference,
    Estimate,
    Macro,
    Statistic,
    Within,
    estimates,
    mean,
    pooled,
    share_of,
)
from pipeline.stats.wilson import wilson

CODES = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=2, max_size=30)
UNIT = st.floats(0, 1, width=32)


def plain(statistic: Statistic, rows: int) -> float:
    """The statistic of all rows."""
    return float(statistic(np.ones((1, rows)))[0])


def repeated(values: NDArray[Any], weights: list[int]) -> NDArray[Any]:
    """Each value as often as its weight says."""
    return np.repeat(values, weights)


def test_brier_score_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss  # here, since it takes a second

    p, outcome = [0.9, 0.2, 0.6, 0.0], [1, 0, 0, 1]
    assert brier_score(p, outcome) == pytest.approx(brier_score_loss(outcome, p))


def test_a_gold_tie_is_an_outcome_of_one_half() -> None:
    assert brier_score([0.5, 1.0], [0.5, 0.5]) == pytest.approx(0.125)


def test_ece_by_hand() -> None:
    # bin [0.2, 0.4): stated 0.3, observed 0.5; bin [0.8, 1]: stated 0.95, observed 1
    assert expected_calibration_error([0.25, 0.35, 0.9, 1.0], [0, 1, 1, 1], bins=5) == (
        pytest.approx(0.5 * 0.2 + 0.5 * 0.05)
    )


def test_calibration_curve_leaves_empty_bins_out() -> None:
    stated, observed, count = calibration_curve([0.0, 0.1, 1.0], [0, 0.5, 1], bins=2)

    assert stated.tolist() == pytest.approx([0.05, 1.0])
    assert observed.tolist() == [0.25, 1.0]
    assert count.tolist() == [2, 1]


@pytest.mark.parametrize(("p", "outcome"), [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([0.5], [2])])
def test_what_is_no_probability_is_refused(p: list[float], outcome: list[float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        expected_calibration_error(p, outcome)


@given(CODES)
def test_kappa_is_that_of_scikit_learn(codes: list[tuple[int, int]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    first, second = np.array(codes).T
    there = (first >= 0) & (second >= 0)
    statistic = Kappa(first, second)
    assert statistic.support == there.sum()
    if len(set(first[there]) | set(second[there])) < 2:
        return
    expected = cohen_kappa_score(first[there], second[there])
    assert plain(statistic, len(codes)) == pytest.approx(expected)


def test_weights_are_how_often_a_row_was_drawn() -> None:
    rng = np.random.default_rng(1)
    weights = [0, 3, 1, 2, 0, 1, 1, 4]
    first, second = rng.integers(0, 3, (2, 8))
    p, outcome = rng.random(8), rng.integers(0, 3, 8) / 2
    pairs: list[tuple[Statistic, Statistic]] = [
        (Kappa(first, second), Kappa(repeated(first, weights), repeated(second, weights))),
        (
            CalibrationError(p, outcome, 4),
            CalibrationError(repeated(p, weights), repeated(outcome, weights), 4),
        ),
        (RiskArea(p, outcome), RiskArea(repeated(p, weights), repeated(outcome, weights))),
        (Correlation(p, outcome), Correlation(repeated(p, weights), repeated(outcome, weights))),
    ]
    for weighted, repeats in pairs:
        got = weighted(np.array([weights], np.float64))[0]
        assert got == pytest.approx(plain(repeats, sum(weights)))


@given(st.lists(st.tuples(UNIT, st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=20))
def test_calibration_error_as_a_statistic_is_the_function(rows: list[tuple[float, float]]) -> None:
    p, outcome = np.array(rows).T
    assert plain(CalibrationError(p, outcome), len(rows)) == pytest.approx(
        expected_calibration_error(p, outcome), abs=1e-9
    )


def test_rows_without_a_value_are_left_out() -> None:
    nan = float("nan")
    p, outcome = np.array([0.25, nan, 0.9]), np.array([0.0, 1.0, 1.0])
    assert plain(CalibrationError(p, outcome, 2), 3) == pytest.approx((0.25 + 0.1) / 2)
    assert plain(RiskArea(p, np.array([1.0, 1.0, 0.0])), 3) == pytest.approx((0 + 1 / 2) / 2)
    assert Correlation(p, outcome).support == 2


def test_risk_coverage_and_its_area_by_hand() -> None:
    confidence = np.array([0.9, 0.7, 0.9, 0.6])
    wrong = np.array([0.0, 1.0, 1.0, 0.0])

    coverage, risk = risk_coverage(confidence, wrong, rows=8)

    assert coverage.tolist() == [2 / 8, 3 / 8, 4 / 8]
    assert risk.tolist() == pytest.approx([1 / 2, 2 / 3, 2 / 4])
    # Both rows at 0.9 are accepted together: 1/2, 1/2, 2/3, 2/4.
    assert plain(RiskArea(confidence, wrong), 4) == pytest.approx((0.5 + 0.5 + 2 / 3 + 0.5) / 4)


def test_the_area_is_that_under_the_curve_as_rows_grow_many() -> None:
    from sklearn.metrics import auc

    rng = np.random.default_rng(0)
    confidence = rng.random(4_000)
    wrong = (rng.random(4_000) > confidence).astype(np.float64)
    coverage, risk = risk_coverage(confidence, wrong, rows=4_000)
    area = plain(RiskArea(confidence, wrong), 4_000)
    assert area == pytest.approx(auc(coverage, risk), abs=1e-3)


def test_correlation_is_that_of_numpy() -> None:
    x, y = np.random.default_rng(3).normal(1_000, 1, (2, 50))
    assert plain(Correlation(x, y), 50) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert np.isnan(plain(Correlation(np.ones(50), y), 50))


def test_means_ratios_parts_and_differences() -> None:
    shares = mean([1, 0, None, 1])
    votes = pooled([(1, 4), (0, 0), (2, 2), (0, 6)])
    some = Within(np.array([0, 1]), mean([1, 0]))
    values: dict[str, Any] = {
        "mean": (plain(shares, 4), shares.support),
        "pooled": (plain(votes, 4), votes.support),
        "macro": (plain(Macro((shares, some)), 4), Macro((shares, some)).support),
        "difference": (plain(Difference(shares, some), 4), Difference(shares, some).support),
    }
    assert values == {
        "mean": (pytest.approx(2 / 3), 3),
        "pooled": (pytest.approx(3 / 12), 3),
        "macro": (pytest.approx((2 / 3 + 1 / 2) / 2), 5),
        "difference": (pytest.approx(1 / 6), 2),
    }


def test_a_mean_has_the_interval_of_the_central_limit() -> None:
    values = np.random.default_rng(5).random(2_000)
    estimate = estimates({"m": mean(values.tolist())}, 2_000)["m"]
    half = 1.96 * values.std() / 2_000**0.5
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=half / 8)
    assert estimate.high == pytest.approx(values.mean() + half, abs=half / 8)


@given(st.lists(st.tuples(UNIT, st.booleans()), min_size=1, max_size=12), st.integers(0, 3))
def test_intervals_hold_the_point_and_repeat(rows: list[tuple[float, bool]], seed: int) -> None:
    p = np.array([p for p, _ in rows])
    outcome = np.array([float(x) for _, x in rows])
    wanted: dict[str, Statistic] = {
        "mean": mean(p.tolist()),
        "ece": CalibrationError(p, outcome),
        "aurc": RiskArea(p, outcome),
        "kappa": Kappa((p > 0.5).astype(np.int64), outcome.astype(np.int64)),
        "r": Correlation(p, outcome),
    }
    found = estimates(wanted, len(rows), resamples=40, seed=seed)
    for estimate in found.values():
        if estimate.value is not None and estimate.low is not None:
            assert estimate.low <= estimate.value <= (estimate.high or 0)
    assert estimates(wanted, len(rows), resamples=40, seed=seed) == found


def test_whole_clusters_are_drawn() -> None:
    """Rows that repeat others of their cluster tell nothing more."""
    rng = np.random.default_rng(11)
    p, outcome = rng.random(30), rng.integers(0, 3, 30) / 2
    keys = rng.integers(0, 2**40, 30)

    def found(copies: int) -> dict[str, Any]:
        wanted: dict[str, Statistic] = {
            "mean": mean(repeated(3 * p, [copies] * 30).tolist()),
            "r": Correlation(*(repeated(each, [copies] * 30) for each in (p, outcome))),
        }
        clusters = repeated(keys, [copies] * 30)
        return estimates(wanted, 30 * copies, resamples=200, clusters=clusters)

    once, often = found(1), found(4)
    for name in once:
        assert often[name].rows == 4 * once[name].rows
        ends = [(each.value, each.low, each.high) for each in (once[name], often[name])]
        assert ends[0] == pytest.approx(ends[1])


def test_a_share_has_wilsons_interval_by_cluster_and_none_of_few_clusters() -> None:
    right = [1.0] * 5 + [0.0] * 5
    prompts = np.repeat(np.arange(20), 5)
    wanted = {"share": share_of(right * 10), "some": share_of([*right * 2, *[None] * 80])}
    found = estimates(wanted, 100, clusters=prompts)
    # Ten prompts of five right pairs and ten of five wrong ones: as 19 independent pairs.
    low, high = wilson(0.5, 19, stdtrit(19, 0.975))
    every = found["share"]
    assert (every.value, every.rows) == (0.5, 100)
    assert (every.low, every.high) == pytest.approx((low, high))
    assert found["some"] == Estimate(0.5, None, None, 20)  # of four prompts
    bootstrapped = estimates({"mean": mean([2.0, 3.0] * 19)}, 38, clusters=[1, *range(37)])
    assert bootstrapped["mean"].low is not None
    few = estimates({"mean": mean([2.0, 3.0] * 19)}, 38, clusters=[*range(19)] * 2)
    assert few["mean"] == Estimate(2.5, None, None, 38)


def test_nothing_to_count_has_no_value_and_no_resamples_no_interval() -> None:
    found = estimates({"none": mean([None, None]), "one": mean([1.0, None])}, 2, resamples=0)
    assert found["none"] == (type(found["none"]))(None, None, None, 0)
    assert (found["one"].value, found["one"].low, found["one"].rows) == (1.0, None, 1)
