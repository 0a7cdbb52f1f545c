"""What the votes of a pair, a ranking and a single candidate say together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.decisions import (
    decide,
    decide_pair,
    decide_ranking,
    decide_single,
    position_consistent,
)
from pipeline.aggregation.evidence import Evidence, next_orders, pairs_of
from pipeline.aggregation.policy import PolicyConfig, Rule, label_rule, stop_rule
from pipeline.judging.judge_config import VotesConfig
from pipeline.judging.votes import Vote
from pipeline.lab.tiny_judge.asked_formats import format_of
from schemas.labels import VERDICT, Reason, Status

SCORES = {"a": (7.0, 4.0), "b": (2.0, 9.0), "tie": (5.0, 5.0)}
UNREADABLE = (Reason.MALFORMED, Reason.TIMEOUT)
OUTCOMES = st.sampled_from(("a", "b", "tie"))
RULE = Rule()


def vote(order: str, outcome: str, scores: tuple[float, ...] | None = None) -> Vote:
    """A vote for ``a``, ``b`` or ``tie``, or an unparseable one."""
    if outcome not in SCORES:
        return Vote(order=order, seed=1, outcome=outcome, detail=f"detail of {order}")
    return Vote(
        order=order, seed=1, outcome=VERDICT, scores=scores or SCORES[outcome], rationale=outcome
    )


def votes_of(outcomes: Sequence[str]) -> list[Vote]:
    """Votes in swap-balanced order."""
    return [vote(("ab", "ba")[number % 2], outcome) for number, outcome in enumerate(outcomes)]


def p_above_half(wins: int, losses: int) -> Fraction:
    """P(share > 1/2) under a uniform prior, exactly: a binomial tail."""
    total = wins + losses + 1
    return Fraction(sum(math.comb(total, k) for k in range(wins + 1)), 2**total)


@pytest.mark.parametrize(
    ("outcomes", "status", "preference"),
    [
        ("aa", Status.LABELED, "a"),  # 7/8
        ("bb", Status.LABELED, "b"),
        ("ab", Status.ABSTAINED, None),
        ("aaab", Status.ABSTAINED, None),  # 13/16
        ("aaaaab", Status.LABELED, "a"),  # 15/16
        ("aaaabb", Status.ABSTAINED, None),
        ("aaaaaabb", Status.LABELED, "a"),  # 466/512
        ("aaaaabbb", Status.ABSTAINED, None),
    ],
)
def test_a_preference_needs_a_posterior(
    outcomes: str, status: Status, preference: str | None
) -> None:
    decision = decide_pair(votes_of(outcomes), RULE)
    assert (decision.status, decision.preference) == (status, preference)
    wins, losses = outcomes.count("a"), outcomes.count("b")
    expected = p_above_half(max(wins, losses), min(wins, losses))
    assert decision.confidence == pytest.approx(float(expected), abs=1e-12)
    assert decision.p_a_raw == wins / len(outcomes)


@pytest.mark.parametrize(
    ("outcomes", "posterior"),
    [  # Beta(3, 1), Beta(2, 1) and Beta(1, 1); a half vote for each side gave .7734 in the first
        (["a", "a", *["tie"] * 4], 0.875),
        (["a", "tie"], 0.75),
        (["tie"] * 6, 0.5),
    ],
)
@pytest.mark.parametrize("margin_scale", [0.0, 2.0])
def test_a_vote_for_a_tie_is_for_neither_side(
    outcomes: list[str], posterior: float, margin_scale: float
) -> None:
    whole = [
        vote(v.order, str(v.choice), (9, 9 - 80 * (v.choice == "a"))) for v in votes_of(outcomes)
    ]
    evidence = Evidence.of(whole, Rule(margin_scale=margin_scale))
    assert evidence.p_prefers_a(RULE) == pytest.approx(posterior, abs=1e-9)
    assert evidence.ties == outcomes.count("tie")


def test_one_vote_for_a_side_among_many_ties_is_no_preference() -> None:
    loose = Rule(threshold=0.74)
    many = decide_pair(votes_of(["a", *["tie"] * 7]), loose)
    assert (many.status, many.preference) == (Status.TIE, None)
    assert many.confidence == pytest.approx(float(p_above_half(7, 1)))
    few = decide_pair(votes_of(["a", *["tie"] * 3]), loose)  # 3 of 4 are not mostly ties: 13/16
    assert few.preference == "a"
    assert few.confidence == pytest.approx(3 / 4)


def test_one_vote_for_a_side_is_no_reason_to_stop() -> None:
    loose = Rule(threshold=0.74)
    assert Evidence.of(votes_of(["a", "tie"]), loose).outcome(loose) == "a"
    assert not Evidence.of(votes_of(["a", "tie"]), loose).settled(loose, 6)
    assert Evidence.of(votes_of(["a", "tie", "tie", "a"]), loose).settled(loose, 4)


@given(
    st.lists(OUTCOMES, min_size=2, max_size=10),
    st.integers(0, 12),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_ties_change_no_posterior_of_a_side(outcomes: list[str], ties: int, prior: float) -> None:
    rule = Rule(prior=prior)
    one = Evidence.of(votes_of(outcomes), rule)
    other = Evidence.of(votes_of([*outcomes, *["tie"] * ties]), rule)
    assert one.p_prefers_a(rule) == other.p_prefers_a(rule)
    assert other.p_ties(rule) >= one.p_ties(rule)


@given(st.lists(OUTCOMES, min_size=2, max_size=8), st.lists(OUTCOMES, max_size=4))
def test_superseded_votes_are_no_evidence(outcomes: list[str], replaced: list[str]) -> None:
    votes = votes_of(outcomes)
    gone = [replace(each, superseded=True) for each in votes_of(replaced)]
    assert decide_pair([*gone, *votes], RULE) == decide_pair(votes, RULE)
    assert Evidence.of([*gone, *votes], RULE) == Evidence.of(votes, RULE)


def test_a_superseded_vote_is_asked_for_again_from_the_same_budget() -> None:
    config = VotesConfig(max_votes=4)
    votes = [replace(vote("ab", "a"), superseded=True), vote("ba", "a")]
    assert next_orders(format_of("pairwise_scores"), votes, config, 2, "") == ("ab",)
    torn = [*votes, vote("ab", "b")]
    assert next_orders(format_of("pairwise_scores"), torn, config, 2, "") == ("ab", "ba")


def test_ties() -> None:
    agreed = decide_pair(votes_of(["tie", "tie"]), RULE)
    assert agreed.status is Status.TIE
    assert agreed.confidence == pytest.approx(7 / 8)
    assert (agreed.p_a_raw, agreed.margin, agreed.position_consistent) == (0.5, 0, True)
    mixed = decide_pair(votes_of(["tie", "a"]), RULE)
    assert (mixed.status, mixed.preference, mixed.p_a_raw) == (Status.ABSTAINED, None, 0.75)
    doubted = decide_pair(votes_of(["tie", "tie"]), Rule(min_confidence=0.9))  # of 7/8
    assert doubted.status is Status.ABSTAINED
    assert doubted.confidence == pytest.approx(7 / 8)
    assert decide_pair(votes_of(["tie", "tie"]), Rule(min_confidence=0.87)).status is Status.TIE
    called = decide_pair(votes_of("ab"), Rule(undecided="tie"))
    assert (called.status, called.preference) == (Status.TIE, None)


@given(st.lists(OUTCOMES, min_size=2, max_size=12), st.sampled_from([0.0, 0.5, 2.0]))
def test_exchanging_the_candidates_exchanges_the_label(
    outcomes: list[str], margin_scale: float
) -> None:
    rule = Rule(margin_scale=margin_scale)
    votes = votes_of(outcomes)
    turned = [
        vote(v.order[::-1], {"a": "b", "b": "a"}.get(str(v.choice), "tie"), v.scores[::-1])
        for v in votes
    ]
    one, other = decide_pair(votes, rule), decide_pair(turned, rule)
    assert other.status is one.status
    assert other.preference == {"a": "b", "b": "a", None: None}[one.preference]
    assert other.confidence == pytest.approx(one.confidence)
    assert other.p_a_raw == pytest.approx(1 - float(one.p_a_raw or 0))
    assert other.margin == pytest.approx(-float(one.margin or 0))


@given(st.lists(OUTCOMES, min_size=1, max_size=14), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(outcomes: list[str], random: Any) -> None:
    votes = votes_of(outcomes)
    shuffled = random.sample(votes, len(votes))
    ours, theirs = decide_pair(votes, RULE), decide_pair(shuffled, RULE)
    assert (ours.status, ours.preference, ours.position_consistent) == (
        theirs.status,
        theirs.preference,
        theirs.position_consistent,
    )
    assert ours.confidence == theirs.confidence
    counts = Counter(outcomes)
    share = (counts["a"] + counts["tie"] / 2) / len(outcomes)
    assert ours.p_a_raw == pytest.approx(share)


def test_small_gaps_count_for_less_where_a_scale_is_given() -> None:
    near = [vote("ab", "a", (7, 6)), vote("ba", "a", (7, 6))]
    clear = [vote("ab", "a", (9, 2)), vote("ba", "a", (9, 2))]
    rule = Rule(margin_scale=1)
    assert Evidence.of(near, rule).for_a == pytest.approx(1.5)
    assert Evidence.of(clear, rule).for_a == pytest.approx(2 / (1 + 3**-7))
    assert decide_pair(near, rule).status is Status.ABSTAINED
    assert decide_pair(clear, rule).preference == "a"
    assert decide_pair(near, RULE).preference == "a"


@given(st.lists(OUTCOMES, max_size=8), st.integers(0, 6), st.sampled_from([0.75, 0.85, 0.9, 0.97]))
def test_undecidable_means_that_no_continuation_decides(
    outcomes: list[str], more: int, threshold: float
) -> None:
    rule = Rule(threshold=threshold, tie_threshold=threshold)
    votes = votes_of(outcomes)
    endings = [[outcome] * more for outcome in ("a", "b", "tie")]
    decided = any(
        Evidence.of([*votes, *votes_of(ending)], rule).outcome(rule) for ending in endings
    )
    assert Evidence.of(votes, rule).decidable(rule, more) is decided


def test_orders_that_contradict_each_other() -> None:
    first_slot = [vote("ab", "a"), vote("ba", "b")] * 2
    assert position_consistent(first_slot) is False
    assert position_consistent([vote("ab", "a"), vote("ba", "a"), vote("ab", "b")]) is False
    assert position_consistent([vote("ab", "a")] * 2 + [vote("ab", "b"), vote("ba", "a")]) is True
    assert position_consistent([vote("ab", "tie"), vote("ba", "tie")]) is True
    assert position_consistent([vote("ab", "tie"), vote("ba", "a")]) is False


def test_the_rationale_is_of_a_vote_that_agrees() -> None:
    outcomes = ["b", "a", "a", "a", "a", "a"]
    assert decide_pair(votes_of(outcomes), RULE).rationale == "a"


def test_a_calibrated_probability_is_the_confidence_and_may_undecide() -> None:
    votes = votes_of("aa")
    decision = decide_pair(votes, RULE, lambda _: 0.7)
    assert (decision.p_a, decision.p_a_raw, decision.confidence) == (0.7, 1.0, 0.7)
    assert decision.preference == "a"
    doubted = decide_pair(votes, Rule(min_confidence=0.8), lambda _: 0.7)
    assert (doubted.status, doubted.preference, doubted.p_a) == (Status.ABSTAINED, None, 0.7)
    for_b = decide_pair(votes_of("bb"), RULE, lambda _: 0.1)
    assert for_b.preference == "b"
    assert for_b.confidence == pytest.approx(0.9)


def test_options_say_which_kind_of_tie() -> None:
    def chosen(*options: str) -> list[Vote]:
        return [
            Vote(order=("ab", "ba")[i % 2], seed=1, outcome=VERDICT, option=option)
            for i, option in enumerate(options)
        ]

    good = decide_pair(chosen("both_good", "both_good", "both_bad", "both_good"), RULE)
    assert (good.status, good.tie_kind, good.margin, good.scores) == (
        Status.TIE,
        "good",
        None,
        None,
    )
    even = decide_pair(chosen("both_good", "both_bad"), RULE)
    assert (even.status, even.tie_kind) == (Status.TIE, None)
    better = decide_pair(chosen("a", "a"), RULE)
    assert (better.preference, better.tie_kind, better.p_a_raw) == ("a", None, 1.0)


def ranked(order: str, *scores: float) -> Vote:
    return Vote(order=order, seed=1, outcome=VERDICT, scores=scores, rationale=order)


def test_a_ranking_is_its_pairs() -> None:
    votes = [ranked("abc", 9, 5, 5), ranked("cba", 8, 5, 6)]
    between = pairs_of(votes)
    assert {pair: [(v.order, v.scores) for v in some] for pair, some in between.items()} == {
        (0, 1): [("ab", (9, 5)), ("ba", (8, 5))],
        (0, 2): [("ab", (9, 5)), ("ba", (8, 6))],
        (1, 2): [("ab", (5, 5)), ("ba", (5, 6))],
    }
    decision = decide_ranking(votes, RULE)
    assert (decision.status, decision.scores) == (Status.LABELED, (8.5, 5, 5.5))
    # Both votes for a in the first two pairs; in the last a tie, and a vote for the second.
    assert decision.confidence == pytest.approx((7 / 8 + 7 / 8 + 3 / 4) / 3)
    assert decision.position_consistent is False
    same = decide_ranking([ranked("ab", 5, 5), ranked("ba", 5, 5)], RULE)
    assert same.status is Status.TIE
    torn = decide_ranking([ranked("ab", 9, 1), ranked("ba", 1, 9)], RULE)
    assert torn.status is Status.ABSTAINED


def test_a_single_score_is_the_mean() -> None:
    votes = [ranked("a", 4), ranked("a", 3)]
    decision = decide_single(votes)
    assert (decision.status, decision.scores, decision.preference) == (Status.LABELED, (3.5,), None)


@pytest.mark.parametrize("failed", UNREADABLE)
def test_without_a_verdict_of_either_order_the_row_is_quarantined(failed: Reason) -> None:
    votes = [vote("ab", "a"), vote("ba", failed), vote("ba", failed)]
    decision = decide(format_of("pairwise_scores"), votes, RULE)
    assert (decision.status, decision.reason) == (Status.QUARANTINED, failed)
    assert decision.detail == "2 of 3 replies unparseable; last, order ba: detail of ba"
    assert (decision.preference, decision.p_a_raw, decision.margin) == (None, None, None)
    assert decide(format_of("pairwise_scores"), [*votes, vote("ba", "a")], RULE).preference == "a"


def test_a_policy_overrides_the_judges_own_rule() -> None:
    votes = VotesConfig(prior=0.5, threshold=0.9, margin_scale=2)
    same = label_rule(votes, PolicyConfig())
    assert same == stop_rule(votes)
    assert same == Rule(prior=0.5, threshold=0.9, margin_scale=2)
    policy = PolicyConfig(threshold=0.6, undecided="tie", min_confidence=0.7)
    other = label_rule(votes, policy)
    assert other == Rule(
        prior=0.5, threshold=0.6, margin_scale=2, undecided="tie", min_confidence=0.7
    )
