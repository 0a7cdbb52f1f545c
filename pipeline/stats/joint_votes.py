"""Several judges' verdicts about the same pairs: how far they repeat each other, and together say.

Verdicts are 1 for a, -1 for b, 0 for a tie, and NaN where a judge has none: (pairs, judges).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from pipeline.stats.arrays import Floats, Ints

ALIKE = 0.6  # judges whose verdicts correlate more are one family
_ADDED = 0.5  # to each count, so that no verdict is impossible
_ROUNDS = 500
_SETTLED = 1e-9


def correlations(values: Floats) -> Floats:
    """Pearson's correlation of every two columns over the rows that both have.

    0 where fewer than three rows have both, or one of the two never varies; 1 with itself.
    """
    count = values.shape[1]
    found = np.eye(count)
    for first in range(count):
        for second in range(first):
            both = values[~np.isnan(values[:, [first, second]]).any(axis=1)][:, [first, second]]
            if len(both) >= 3 and both.std(axis=0).min() > 0:
                found[first, second] = found[second, first] = np.corrcoef(both.T)[0, 1]
    return found


def effective_judges(correlation: Floats) -> float:
    """How many independent judges have the variance of this many: 1ᵀS⁻¹1, from 1 to their number.

    Correlations of single pairs of judges over different rows may contradict each other; then S has
    no inverse that means anything, and its pseudo-inverse is taken.
    """
    ones = np.ones(len(correlation))
    value = float(ones @ np.linalg.pinv(correlation, hermitian=True) @ ones)
    return min(max(value, 1.0), float(len(correlation)))


def families(correlation: Floats, bases: Sequence[Hashable]) -> tuple[int, ...]:
    """The number of each judge's family: judges of one base, or alike, share it, also by a third.

    Args:
        correlation: of their verdicts.
        bases: what each was made from.
    """
    count = len(bases)
    numbers = list(range(count))
    for first in range(count):
        for second in range(first):
            if bases[first] == bases[second] or correlation[first, second] > ALIKE:
                old, new = numbers[first], numbers[second]
                numbers = [new if each == old else each for each in numbers]
    order = list(dict.fromkeys(numbers))
    return tuple(order.index(each) for each in numbers)


def dawid_skene(verdicts: Floats) -> Floats:
    """How often each judge's verdict is right, wrong or a tie, by agreement alone (Dawid & Skene).

    Two classes, a and b, of equal chance; a judge errs alike on both, so that exchanging the
    candidates of all pairs changes nothing. It believes whom most agree with: judges that repeat
    each other are taken for right, and no probability of it can be relied on.

    Args:
        verdicts: of the judges, at least one of each.

    Returns:
        (judges, 3); each row adds up to 1.
    """
    for_a, for_b, tie = (verdicts == 1), (verdicts == -1), (verdicts == 0)
    score = np.nansum(verdicts, axis=1)
    p = np.where(score > 0, 1.0, np.where(score < 0, 0.0, 0.5))
    rates = np.zeros((verdicts.shape[1], 3))
    for _ in range(_ROUNDS):
        right = p @ for_a + (1 - p) @ for_b
        wrong = (1 - p) @ for_a + p @ for_b
        counts = np.stack([right, wrong, tie.sum(axis=0)], axis=1) + _ADDED
        before, rates = rates, counts / counts.sum(axis=1, keepdims=True)
        if np.abs(rates - before).max() < _SETTLED:
            break
        p = 1 / (1 + np.exp(-(np.nan_to_num(verdicts) @ log_odds(rates))))
    return rates


def log_odds(rates: Floats) -> Floats:
    """How much a verdict for a side says for it, by :func:`dawid_skene`."""
    return np.log(rates[:, 0] / rates[:, 1])


def right_of(verdicts: Floats, gold: Floats) -> tuple[Ints, Ints]:
    """Of each judge how many verdicts for a side are people's, and of how many.

    Args:
        verdicts: of pairs of which people prefer a side.
        gold: 1 or -1.
    """
    sided = np.abs(np.nan_to_num(verdicts)) > 0
    right = np.sign(np.nan_to_num(verdicts)) == gold[:, None]
    return (right & sided).sum(axis=0), sided.sum(axis=0)
