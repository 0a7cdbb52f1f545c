"""The gap of a reward model's scores up to which they are a tie, as gold has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from pipeline.runtime.config_file import Frozen

Floats = NDArray[np.float64]


class TieBand(Frozen):
    """The gap of a reward model's scores up to which they are a tie.

    Attributes:
        margin: the gap.
        ties: share of the gold pairs within it that people called a tie.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    margin: float = Field(ge=0)
    ties: float = Field(ge=0, le=1)


def fit_tie_band(margins: Floats, gold: Floats) -> TieBand:
    """The narrowest band by which most gold pairs get the label that people gave them.

    Args:
        margins: score of ``a`` less that of ``b``, one for each pair.
        gold: 1.0 where a human prefers ``a``, 0.0 where ``b``, 0.5 for a tie.

    Returns:
        a band of 0 where wider ones would label no more pairs right, as without ties in gold.
    """
    gaps = np.abs(margins)
    order = np.argsort(gaps, kind="stable")
    tied = gold[order] == 0.5
    right = np.where(margins > 0, gold == 1, (margins < 0) & (gold == 0))[order]
    # Of the first n pairs ties are right, of the others sides; n is where equal gaps end.
    within = np.concatenate([[0], np.cumsum(tied)])
    beyond = np.concatenate([[0], np.cumsum(right[::-1])])[::-1]
    ends = np.flatnonzero(np.append(np.diff(gaps[order]) > 0, True)) + 1
    zero = int(np.count_nonzero(gaps == 0))
    counts = np.unique(np.concatenate([[zero], ends[ends > zero]]))
    best = int(counts[np.argmax((within + beyond)[counts])])
    margin = float(gaps[order][best - 1]) if best else 0.0
    return TieBand(margin=margin, ties=float(tied[:best].mean()) if best else 0.0)


def labels_right(margins: Floats, gold: Floats, band: float) -> NDArray[np.bool_]:
    """Whether each pair gets the label that people gave it, ties included."""
    label = np.where(np.abs(margins) <= band, 0.5, np.where(margins > 0, 1.0, 0.0))
    same: NDArray[np.bool_] = label == gold
    return same
