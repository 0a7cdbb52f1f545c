"""Agreement of several candidates' scores, and accuracy at a tie threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stats.rank_agreement import (
    TieThresholdAccuracy,
    edit_distance,
    kendall,
    ordered_pairs,
    ranking_distance,
    ranking_of,
)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("abcd", "abcd", 0), ("abcd", "abdc", 2), ("kitten", "sitting", 3), ("", "abc", 3)],
)
def test_edit_distance(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance
    assert edit_distance(second, first) == distance


def test_rankings_are_written_best_first_and_compared_as_strings() -> None:
    assert ranking_of([3, 9, 5, 9]) == "bdca"
    # judge "bdca", human "cdab" (as MLLM-as-a-Judge writes it): b-d-c-a to c-d-a-b
    assert ranking_distance([3, 9, 5, 9], [2, 1, 4, 3]) == edit_distance("bdca", "cdab") / 4
    assert ranking_distance([4, 3, 2, 1], [4, 3, 2, 1]) == 0
    assert ranking_distance(None, [2, 1]) == 1


def test_kendall_and_pairs_by_hand() -> None:
    judge, human = [9.0, 5.0, 5.0], [3.0, 2.0, 1.0]
    # of three pairs two agree and one is tied by the judge: tau-b = 2 / sqrt(2 * 3)
    assert kendall(judge, human) == pytest.approx(2 / 6**0.5)
    assert ordered_pairs(judge, human) == (2, 1, 3)
    assert ordered_pairs(judge[::-1], human) == (0, 1, 3)
    assert (kendall(None, human), kendall([5.0] * 3, human)) == (0, 0)
    assert ordered_pairs(None, human) == (0, 0, 3)


@given(
    st.lists(
        st.tuples(st.sampled_from([-1.0, 0.0, 1.0]), st.integers(-4, 4).map(float)),
        min_size=1,
        max_size=12,
    )
)
def test_the_tie_threshold_is_the_best_of_all_margins(rows: list[tuple[float, float]]) -> None:
    gold, margin = np.array(rows).T
    best = max(
        np.mean([g == 0 if abs(m) <= threshold else g * m > 0 for g, m in rows])
        for threshold in {abs(m) for _, m in rows}
    )
    assert TieThresholdAccuracy(gold, margin)(np.ones((1, len(rows))))[0] == pytest.approx(best)


def test_rows_without_a_margin_are_never_right() -> None:
    gold, margin = np.array([1.0, 0.0, -1.0]), np.array([2.0, float("nan"), -0.5])
    assert TieThresholdAccuracy(gold, margin)(np.ones((1, 3)))[0] == pytest.approx(1 / 3)
    nothing = TieThresholdAccuracy(gold, np.full(3, float("nan")))
    assert np.isnan(nothing(np.ones((1, 3)))[0])
