"""How far a judge's scores of several candidates agree with a human's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np

from pipeline.stats.arrays import Floats
from pipeline.stats.bootstrap import divided


def ranking_of(scores: Sequence[float] | None) -> str:
    """The candidates' letters, the best first; equal scores in the order of the letters.

    Returns:
        such as ``"cab"``; the empty string without scores.
    """
    best_first = sorted(enumerate(scores or ()), key=lambda item: (-item[1], item[0]))
    return "".join(ascii_lowercase[index] for index, _ in best_first)


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance: fewest insertions, deletions and substitutions between two texts."""
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, start=1):
        above, row = row, [i]
        for j, other in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (one != other)))
    return row[-1]


def ranking_distance(scores: Sequence[float] | None, gold: Sequence[float]) -> float:
    """Normalised edit distance of two rankings as MLLM-as-a-Judge defines it, in [0, 1].

    The rankings are written as strings, the best candidate first, and their Levenshtein distance
    is divided by the longer one's length. No scores are an empty ranking: distance 1.
    """
    judged, human = ranking_of(scores), ranking_of(gold)
    return edit_distance(judged, human) / max(len(judged), len(human))


def kendall(scores: Sequence[float] | None, gold: Sequence[float]) -> float:
    """Kendall's tau-b of scores; 0 without scores, and where either side is equal throughout."""
    if scores is None or len(set(scores)) < 2 or len(set(gold)) < 2:
        return 0.0
    from scipy.stats import kendalltau  # a second to import, which no job but evaluations needs

    return float(kendalltau(scores, gold).statistic)


def ordered_pairs(scores: Sequence[float] | None, gold: Sequence[float]) -> tuple[int, int, int]:
    """Pairs of candidates that a human orders: (ordered alike, left equal, all of them).

    Without scores all of them are neither.
    """
    alike = equal = count = 0
    for i in range(len(gold)):
        for j in range(i):
            if gold[i] == gold[j]:
                continue
            count += 1
            if scores is not None:
                sign = (scores[i] - scores[j]) * (gold[i] - gold[j])
                alike, equal = alike + (sign > 0), equal + (sign == 0)
    return alike, equal, count


@dataclass(frozen=True)
class TieThresholdAccuracy:
    """Accuracy over better, worse and tied, at the tie threshold that suits the rows best.

    VideoGen-RewardBench's accuracy with ties: a margin of at most a threshold is a tie, and of
    all margins there are the best threshold is taken ("Ties Matter", arXiv 2305.14324).

    Attributes:
        gold: 1 where a human prefers a, -1 where b, 0 for a tie; shape (rows,).
        margin: the judge's, positive for a; a missing one (NaN) is never right.
    """

    gold: Floats
    margin: Floats

    @property
    def support(self) -> int:
        """All rows."""
        return len(self.gold)

    def __call__(self, weights: Floats) -> Floats:
        """The accuracy under each row of ``weights``; NaN where no row has a margin."""
        size = np.abs(self.margin)
        order = np.argsort(size, kind="stable")[: np.count_nonzero(~np.isnan(size))]
        if not len(order):
            return np.full(len(weights), np.nan)
        drawn, gold, size = weights[:, order], self.gold[order], size[order]
        tied = np.cumsum(drawn * (gold == 0), axis=1)
        alike = np.cumsum(drawn * (gold * self.margin[order] > 0), axis=1)
        right = tied + alike[:, -1:] - alike
        ends = np.flatnonzero(np.append(np.diff(size) > 0, True))  # equal margins stay together
        return divided(right[:, ends].max(axis=1), weights.sum(1))
