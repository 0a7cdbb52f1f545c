"""Agreement with gold, against cases counted by hand and against scikit-learn."""

from __future__ import annotations

import pytest
from sklearn.metrics import brier_score_loss

from pipeline.core.agreement import brier_score, calibration_curve, expected_calibration_error


def test_brier_score_is_that_of_scikit_learn() -> None:
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
