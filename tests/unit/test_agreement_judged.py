"""The figures of an evaluation, counted by hand on small sets of judged pairs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.benchmarks import BENCHMARKS
from pipeline.evaluation.evaluation_measures import Family, statistics
from pipeline.evaluation.evaluation_report import confusion
from pipeline.evaluation.pair_measures import four_way, label_of
from pipeline.gold.gold_rows import has_gold
from pipeline.judging.votes import Vote
from pipeline.stats.bootstrap import estimates
from tests.judged_pairs import failure, judged, option, ranked, vote

A = [vote("ab", 9, 2), vote("ba", 8, 3)]
B = [vote("ab", 2, 9), vote("ba", 3, 8)]
TIE = [vote("ab", 5, 5), vote("ba", 5, 5)]
FIRST = [vote("ab", 9, 2), vote("ba", 2, 9)]  # the candidate shown first, each time: abstained
UNREAD = [failure("ab"), failure("ba", "truncated")]


def values(rows: list[JudgedPair], family: Family = "pair") -> dict[str, float | None]:
    found = estimates(statistics(rows, family), len(rows), resamples=0)
    return {name: estimate.value for name, estimate in found.items()}


def entries(**metadata: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in metadata.items()]


SIX = [
    judged(A, "a"),
    judged(A, "b"),
    judged(B, "tie"),
    judged(TIE, "tie"),
    judged(TIE, "a"),
    judged(FIRST, "b"),
    judged(UNREAD, "tie"),
]


def test_what_counts_as_right() -> None:
    assert [label_of(row) for row in SIX] == [
        "a",
        "a",
        "b",
        "tie",
        "tie",
        "abstained",
        "quarantined",
    ]
    found = values(SIX)
    # right: the first and the fourth; half: b against a tie, tie against a, abstained, quarantined
    assert found["accuracy"] == pytest.approx(2 / 7)
    assert found["accuracy_half"] == pytest.approx((2 + 4 / 2) / 7)
    assert found["accuracy_decided"] == pytest.approx(1 / 2)
    assert found["accuracy_no_gold_ties"] == pytest.approx(1 / 4)
    assert found["coverage"] == pytest.approx(3 / 7)
    assert (found["ties"], found["abstained"], found["quarantined"]) == (2 / 7, 1 / 7, 1 / 7)
    assert confusion(SIX) == [[1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 1, 0, 1]]


def test_kappa_is_over_pairs_that_the_judge_calls_a_b_or_tie() -> None:
    # gold a b tie tie a; label a a b tie tie: 2 of 5 agree; by chance (2*2 + 1*1 + 2*2) / 25
    assert values(SIX)["kappa"] == pytest.approx((2 / 5 - 9 / 25) / (1 - 9 / 25))


def test_probabilities_are_held_against_gold() -> None:
    # p_a_raw 1 1 0 .5 .5 .5, outcome 1 0 .5 .5 1 0; the unparseable pair has none
    found = values(SIX)
    assert found["brier"] == pytest.approx((0 + 1 + 0.25 + 0 + 0.25 + 0.25) / 6)
    # bins: 0 (|0 - .5| of 1), .5 (.5 against .5 of 3), 1 (1 against .5 of 2)
    assert found["ece"] == pytest.approx((0.5 * 1 + 0 * 3 + 0.5 * 2) / 6)
    calibrated = JudgedPair(SIX[1].pair, {**SIX[1].label, "p_a": 0.2})
    assert values([calibrated])["brier"] == pytest.approx(0.04)


def test_risk_is_by_confidence_of_pairs_that_are_decided() -> None:
    sure = judged([*A, *A], "b")  # more votes, more confident, and wrong
    assert values([sure, *SIX])["aurc"] == pytest.approx(
        (1 / 1 + 5 * (4 / 6)) / 6  # the five decided ones of two votes are equally confident
    )


def test_position_and_repetition() -> None:
    repeated = [vote("ab", 9, 2), vote("ba", 8, 3), vote("ab", 2, 9), vote("ba", 8, 3)]
    found = values([judged(repeated, "a"), judged(FIRST, "a"), judged(TIE, "a")])
    # shown first and chosen: ab→a; both of FIRST. Not chosen: ba→a twice, ab→b
    assert found["first_slot"] == pytest.approx(3 / 6)
    assert found["repeat_flips"] == pytest.approx(1 / 2)  # ab disagrees, ba agrees
    assert found["position_consistent"] == pytest.approx(1 / 3)  # the tie alone


def test_votes_and_tokens() -> None:
    counted = vote("ab", 5, 5, prompt_tokens=100, output_tokens=20, cached_tokens=60)
    other = vote("ba", 9, 1, prompt_tokens=50, output_tokens=10)
    found = values([judged([failure("ab"), counted, other], "a"), judged(UNREAD, "b")])
    assert found["votes"] == 2.5
    assert (found["prompt_tokens"], found["output_tokens"], found["cached_tokens"]) == (75, 15, 30)
    assert found["votes_unreadable"] == pytest.approx(3 / 5)
    assert found["votes_malformed"] == pytest.approx(2 / 5)
    assert found["votes_truncated"] == pytest.approx(1 / 5)
    assert found["votes_tied"] == pytest.approx(1 / 2)  # of those that could be read


def test_length() -> None:
    rows = [
        judged(A, "a", texts=("long answer", "short")),
        judged(B, "a", texts=("long answer", "short")),
        judged(B, "b", texts=("short", "long answer")),
        judged(TIE, "a", texts=("long answer", "short")),
        judged(A, "a", texts=("0123456789", "012345678901")),  # 2 of 12 differ: too much
        judged(B, "a", texts=("x" * 100, "y" * 91)),
        judged(A, "a", texts=("same1", "same2")),
    ]
    found = values(rows)
    assert found["longer_wins"] == pytest.approx(2 / 5)  # not the tie, not the equal lengths
    assert found["gold_longer_wins"] == pytest.approx(5 / 6)
    assert found["accuracy_length_matched"] == pytest.approx(1 / 2)  # the last two


@pytest.mark.parametrize(
    ("votes", "four"),
    [
        ([option("ab", "a"), option("ba", "a")], [1, 0, 0, 0]),
        ([option("ab", "b"), option("ba", "b")], [0, 1, 0, 0]),
        ([option("ab", "both_good"), option("ba", "both_good")], [0, 0, 1, 0]),
        ([option("ab", "both_bad"), option("ba", "both_bad")], [0, 0, 0, 1]),
        ([option("ab", "both_bad"), option("ba", "both_good")], [0, 0, 0, 0]),
        ([option("ab", "a"), option("ba", "b")], [0, 0, 0, 0]),
    ],
)
def test_four_way_accuracy(votes: list[Vote], four: list[float]) -> None:
    human = {"leftvote": "a", "rightvote": "b", "tievote": "tie", "bothbad_vote": "tie"}
    rows = [
        judged(votes, gold, "pairwise_options", metadata=entries(vote_type=word))
        for word, gold in human.items()
    ]
    assert [four_way(row) for row in rows] == four
    assert four_way(judged(votes, "a", "pairwise_options")) is None


def test_scores() -> None:
    judge, human = [5, 4, 4, 1, 2], [5, 3, 5, 1, 3]
    rows = [ranked([j], [h]) for j, h in zip(judge, human, strict=True)] + [ranked(None, [2])]
    found = values(rows, "score")
    from scipy.stats import pearsonr, spearmanr  # a second to import, which few tests need

    assert found["pearson"] == pytest.approx(pearsonr(judge, human).statistic)
    assert found["spearman"] == pytest.approx(spearmanr(judge, human).statistic)
    assert found["mae"] == pytest.approx((0 + 1 + 1 + 0 + 1) / 5)
    assert (found["coverage"], found["quarantined"]) == (5 / 6, 1 / 6)


def test_rankings() -> None:
    rows = [ranked([9, 5, 2], [3, 2, 1]), ranked([5, 9, 5], [3, 2, 1]), ranked(None, [3, 2, 1])]
    found = values(rows, "ranking")
    # distances: 0; "bac" to "abc" is 2 of 3; nothing is all of it
    assert found["edit_distance"] == pytest.approx((0 + 2 / 3 + 1) / 3)
    # pairs: 3 alike; b-c alike, a-b against, a-c equal; none
    assert found["pair_accuracy"] == pytest.approx((3 + 1) / 9)
    assert found["pair_accuracy_half"] == pytest.approx((3 + 1 + 0.5 + 1.5) / 9)
    assert found["kendall_tau"] == pytest.approx((1 + 0 + 0) / 3)


def test_videogen_accuracies_with_and_without_ties() -> None:
    rows = [
        judged(A, "a", metadata=entries(VQ="A", MQ="B", TA="same", Overall="A")),
        judged(B, "b", metadata=entries(VQ="A", MQ="same", TA="same", Overall="B")),
        judged(TIE, "tie", metadata=entries(VQ="same", MQ="same", TA="A", Overall="same")),
        judged(UNREAD, "a", metadata=entries(VQ="A", MQ="A", TA="A", Overall="A")),
    ]
    extra = BENCHMARKS["videogen-rewardbench"].extra(rows)
    found = {n: e.value for n, e in estimates(extra, 4, resamples=0).items()}
    # margins 6, -6, 0 and none: never right
    assert found == {
        "VQ_without_ties": pytest.approx(1 / 3),
        "VQ_with_ties": pytest.approx(2 / 4),
        "MQ_without_ties": pytest.approx(0 / 2),
        "MQ_with_ties": pytest.approx(2 / 4),  # all tied
        "TA_without_ties": pytest.approx(0 / 2),
        "TA_with_ties": pytest.approx(2 / 4),
        "Overall_without_ties": pytest.approx(2 / 3),
        "Overall_with_ties": pytest.approx(3 / 4),
    }


def test_gold_is_what_the_format_can_be_measured_against() -> None:
    row: dict[str, Any] = {"gold": "a", "gold_scores": None}
    assert has_gold(row, "pair")
    assert not has_gold(row, "score")
    assert not has_gold({"gold": "unknown: x", "gold_scores": None}, "pair")
    assert has_gold({"gold": None, "gold_scores": [1.0, 2.0]}, "ranking")
    assert not has_gold({"gold": None, "gold_scores": [1.0, None]}, "ranking")


SWAPPED = {"a": "b", "b": "a", "tie": "tie"}
SCORES = st.integers(1, 10)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "tie"]), SCORES, SCORES, SCORES, SCORES),
        min_size=1,
        max_size=6,
    )
)
def test_exchanging_the_candidates_of_every_pair_changes_no_figure(
    rows: list[tuple[str, int, int, int, int]],
) -> None:
    original, exchanged = [], []
    for gold, a1, b1, a2, b2 in rows:
        texts = ("x" * a1, "y" * b1)
        votes = [vote("ab", a1, b1), vote("ba", a2, b2)]
        original.append(judged(votes, gold, texts=texts))
        votes = [vote("ba", b1, a1), vote("ab", b2, a2)]
        exchanged.append(judged(votes, SWAPPED[gold], texts=texts[::-1]))
    before, after = values(original), values(exchanged)
    # Bins of probabilities are closed on one side only.
    for name in before.keys() - {"ece"}:
        assert after[name] == pytest.approx(before[name], nan_ok=True), name
