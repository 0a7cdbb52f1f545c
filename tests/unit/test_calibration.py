"""A calibration as it is applied: odd, monotone, and what its numbers say by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.calibration import Knots, Weights, features
from pipeline.judging.votes import Vote
from schemas.labels import Reason
from tests.calibrations import CHOSEN, SCORED, calibration, chosen, pair_votes, scored, swapped

JUDGE = "ab" * 32
WEIGHT = st.floats(0, 3)
WEIGHTS = st.tuples(WEIGHT, WEIGHT, WEIGHT)
KNOTS: Knots = ((0.5, 0.5), (0.6, 0.5), (0.7, 0.8), (0.9, 0.8), (0.99, 0.95))
CORRECTIONS = st.sampled_from(((), KNOTS))


def test_features_are_mean_gap_share_and_count_of_the_readable_votes() -> None:
    lost = Vote(order="ba", seed=1, outcome=Reason.MALFORMED)
    votes = [scored("ab", 9, 2), scored("ba", 5, 5), lost, scored("ab", 4, 6), scored("ba", 8, 5)]
    assert features(votes) == (2.0, 0.25, 1.0)
    assert features([chosen("ab", "b"), chosen("ba", "both_bad")]) == (0.0, -0.5, -1.0)


def test_p_a_by_hand() -> None:
    votes = [scored("ab", 9, 5), scored("ba", 6, 6)]  # features 2, 0.5, 1
    plain = calibration(JUDGE, (0.25, 0.5, 0.125))
    assert plain.p_a(votes) == pytest.approx(1 / (1 + math.exp(-0.875)), abs=1e-15)
    corrected = calibration(JUDGE, (math.log(4) / 2, 0.0, 0.0), KNOTS)  # p = 0.8 before
    assert corrected.p_a(votes) == 0.8
    steep = calibration(JUDGE, (math.log(1.86) / 2, 0.0, 0.0), KNOTS)  # 0.65, between two knots
    assert steep.p_a(votes) == pytest.approx(0.5 + 0.3 * (1.86 / 2.86 - 0.6) / 0.1)
    assert calibration(JUDGE, (9.0, 9.0, 9.0), KNOTS).p_a(votes) == 0.95  # beyond the last knot


@given(pair_votes(SCORED) | pair_votes(CHOSEN), WEIGHTS, CORRECTIONS)
def test_exchanging_the_candidates_exchanges_the_probabilities(
    votes: list[Vote], weights: Weights, knots: Knots
) -> None:
    fitted = calibration(JUDGE, weights, knots)
    p_a, p_b = fitted.p_a(votes), fitted.p_a([swapped(vote) for vote in votes])
    assert p_b == 1 - p_a
    assert 0 <= p_a <= 1


@given(pair_votes(SCORED), st.data(), WEIGHTS, CORRECTIONS)
def test_a_point_for_a_never_counts_against_it(
    votes: list[Vote], data: st.DataObject, weights: Weights, knots: Knots
) -> None:
    index = data.draw(st.sampled_from([i for i, vote in enumerate(votes) if vote.parsed]))
    points = data.draw(st.integers(1, 9))
    score_a, score_b = votes[index].scores
    better = [*votes]
    better[index] = replace(votes[index], scores=(score_a + points, score_b))
    fitted = calibration(JUDGE, weights, knots)
    # Sums of the same terms, rounded: never lower by more than the last bits.
    assert fitted.p_a(better) >= fitted.p_a(votes) - 1e-12


@given(pair_votes(SCORED), st.floats(0.01, 3), CORRECTIONS)
def test_votes_that_cancel_say_one_half(votes: list[Vote], weight: float, knots: Knots) -> None:
    both = [*votes, *map(swapped, votes)]
    assert calibration(JUDGE, (weight, weight, weight), knots).p_a(both) == 0.5
