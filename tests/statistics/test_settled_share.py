"""What a least confidence settles of gold, against counts by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.aggregation.settled_share import settled_shares
from schemas.quality import Rate
from tests.calibrations import calibration, scored
from tests.statistics.test_calibration_fit import JUDGE, fit, gold_votes, judged, overconfident

FOLDS = [{"weights": (0.25, 0.0, 0.0)}] * 2


def test_counts_by_hand() -> None:
    """Gaps of 2 to 8 points for a: the surer half is always right, the others half of the time."""
    pairs = []
    for number in range(40):
        gap = 8 if number % 2 else 2
        votes = [scored("ab", 9, 9 - gap), scored("ba", 9, 9 - gap)]
        gold = 1.0 if gap == 8 or number % 4 == 0 else 0.5
        pairs.append(replace(gold_votes(number, votes, gold), preference="a"))
    undecided = replace(pairs[0], preference=None)
    whole = calibration(JUDGE, (0.25, 0.0, 0.0), folds=FOLDS)
    all_of_them, surer = settled_shares(whole, [*pairs, *[undecided] * 10])
    assert (all_of_them.min_confidence, surer.min_confidence) == (0.6224, 0.8807)  # 1 / (1 + e^-½)
    assert (all_of_them.share, surer.share) == (0.8, 0.4)
    assert (all_of_them.right.value, surer.right.value) == (0.75, 1.0)
    assert (all_of_them.right.n, surer.right.n) == (40, 20)
    assert surer.right.low == pytest.approx(0.82, abs=0.02)


def test_a_judge_that_prefers_nothing_settles_nothing() -> None:
    pairs = judged(60, overconfident)
    assert settled_shares(fit(pairs), pairs) == []


def test_the_surer_are_more_often_right() -> None:
    pairs = [
        replace(pair, preference="a" if pair.p_a_raw > 0.5 else "b")
        for pair in judged(2_000, overconfident)
    ]
    found = settled_shares(fit(pairs), pairs)
    assert found[0].share == 1
    rates: list[Rate] = [each.right for each in found]
    values = [each.value or 0 for each in rates]
    assert values == sorted(values)
    assert values[-1] - values[0] > 0.05
