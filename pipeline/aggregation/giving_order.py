"""In which order the labels of a cascade are tested and given: paths of thresholds.

A path lowers one threshold for each judge, together. Where labels are ranked by confidence, the
last judge's somewhat ahead of the others', one rank says all of them, and one sequence of tests is
of all labels given, whichever judge gave them:

* ``A``: all judges alike;
* ``B``: the last judge's first, then the others', as where the cheap ones are little worth;
* ``C``: the last judge's with a confidence that is lower by 0.2.

The path is chosen on gold that calibrates, before the gold that tests is looked at: the one by
which most of the corpus keeps its labels. What judges cost is spent by then, so that this is the
path of the least cost of the pairs that are left to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.fixed_sequence import Threshold, first_tested, thresholds_of

Path = Literal["A", "B", "C"]
Bools = NDArray[np.bool_]
AHEAD: dict[Path, float] = {"A": 0.0, "B": 1.0, "C": 0.2}
_LEAST_CHECKED = 50  # fewer tell no path from another


def ranks(confidences: Floats, by_last: Bools, ahead: float) -> Floats:
    """What thresholds are of: the confidence, of the last judge's labels so much more."""
    return confidences + ahead * by_last


@dataclass(frozen=True)
class Calibrating:
    """Labels that people have checked, none of which tests the bound.

    Attributes:
        scores: their confidences.
        by_last: which of them the last judge gave.
        wrong: 1 where people disagree.
        weights: 1 / the probability with which each was drawn.
    """

    scores: Floats
    by_last: Bools
    wrong: Ints
    weights: Floats


def chosen_path(
    corpus: tuple[Floats, Bools], gold: Calibrating, tested: int, alpha: float, delta: float
) -> Path:
    """The path by which most of the corpus keeps its labels, by gold that calibrates.

    Args:
        corpus: confidences, and which labels the last judge gave.
        gold: what is known of them.
        tested: how many labels test the bound: by these the first threshold is taken.
        alpha: the share of wrong labels that is promised at most.
        delta: with which probability at most the promise may fail.

    Returns:
        ``A`` where all labels are of the last judge, or of others, where few are checked, or where
        no path is better.
    """
    of_last = corpus[1]
    if len(gold.wrong) < _LEAST_CHECKED or of_last.all() or not of_last.any():
        return "A"
    kept: dict[Path, float] = {}
    for path, ahead in AHEAD.items():
        steps = thresholds_of(ranks(*corpus, ahead))
        begun = steps[first_tested(steps, tested, alpha, delta) :]
        kept[path] = _kept(begun, gold, alpha, ahead)
    return max(kept, key=lambda path: kept[path])  # the first of equal ones


def _kept(steps: Sequence[Threshold], gold: Calibrating, alpha: float, ahead: float) -> float:
    """The share of the corpus above the last threshold up to which gold keeps to ``alpha``."""
    checked, found = ranks(gold.scores, gold.by_last, ahead), 0.0
    for step in steps:
        given = checked >= step.value
        if given.any() and np.average(gold.wrong[given], weights=gold.weights[given]) > alpha:
            break
        found = step.coverage
    return found
