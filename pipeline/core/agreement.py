"""How well a judge's labels agree with gold, and how far its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def brier_score(p: Sequence[float] | Floats, outcome: Sequence[float] | Floats) -> float:
    """Mean squared error of probabilities.

    Args:
        p: probability that a human prefers ``a``, of each pair, in [0, 1].
        outcome: 1.0 where the human preferred ``a``, 0.0 where ``b``, 0.5 for a tie.

    Raises:
        ValueError: no values, of different length, or outside [0, 1].
    """
    p_, outcome_ = _checked(p, outcome)
    return float(np.mean((p_ - outcome_) ** 2))


def expected_calibration_error(
    p: Sequence[float] | Floats, outcome: Sequence[float] | Floats, bins: int = 10
) -> float:
    """Expected calibration error: mean distance of stated from observed, weighted by pairs.

    Args:
        p: probability that a human prefers ``a``, of each pair, in [0, 1].
        outcome: 1.0 where the human preferred ``a``, 0.0 where ``b``, 0.5 for a tie.
        bins: number of bins of equal width over [0, 1].

    Raises:
        ValueError: no values, of different length, or outside [0, 1]; no bins.
    """
    stated, observed, count = calibration_curve(p, outcome, bins)
    return float(np.sum(count * np.abs(stated - observed)) / np.sum(count))


def calibration_curve(
    p: Sequence[float] | Floats, outcome: Sequence[float] | Floats, bins: int = 10
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Stated against observed preference for ``a``, by bins of equal width; empty ones left out.

    Not sklearn's function of that name: gold ties make outcomes of one half.

    Returns:
        Mean ``p``, mean ``outcome`` and number of pairs of each bin, shape (non-empty bins,).

    Raises:
        ValueError: as :func:`expected_calibration_error`.
    """
    if bins < 1:
        raise ValueError(f"bins: got {bins}, expected at least 1")
    p_, outcome_ = _checked(p, outcome)
    index = np.minimum((p_ * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    there = count > 0
    stated = np.bincount(index, p_, bins)[there] / count[there]
    observed = np.bincount(index, outcome_, bins)[there] / count[there]
    return stated, observed, count[there]


def _checked(*values: Any) -> list[Floats]:
    arrays = [np.asarray(value, np.float64) for value in values]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or not arrays[0].size:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"got shapes {shapes}, expected lists of one length, at least 1")
    for array in arrays:
        if not np.all((array >= 0) & (array <= 1)):  # NaN is caught too
            raise ValueError("got values outside [0, 1], expected probabilities")
    return arrays
