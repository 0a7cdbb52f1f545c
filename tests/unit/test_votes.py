"""Votes: asked in swap-balanced rounds, mapped back to the candidates, stored and read again."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.evidence import next_orders
from pipeline.judging.judge_config import VotesConfig
from pipeline.judging.parsing import Unparseable, Verdict
from pipeline.judging.renderings import Rendering
from pipeline.judging.reply_grammar import Option
from pipeline.judging.votes import LETTERS, Vote, mapped_back, round_orders, vote_seed
from pipeline.lab.tiny_judge.asked_formats import format_of
from schemas.labels import VERDICT, VOTE, Reason

PAIRWISE, RANKING, SINGLE = (
    format_of(name) for name in ("pairwise_scores", "batch_ranking", "single_score")
)
SCORES = {"a": (7.0, 4.0), "b": (2.0, 9.0), "tie": (5.0, 5.0)}


def vote(order: str, outcome: str) -> Vote:
    if outcome not in SCORES:
        return Vote(order=order, seed=1, outcome=Reason.MALFORMED)
    return Vote(order=order, seed=1, outcome=VERDICT, scores=SCORES[outcome])


def asked_for(outcomes: Sequence[str], config: VotesConfig) -> list[Vote]:
    """Asks as the judge does; reply number n is ``outcomes[n]``."""
    votes: list[Vote] = []
    while orders := next_orders(PAIRWISE, votes, config, 2, "pair"):
        votes += [vote(o, outcomes[len(votes) + i]) for i, o in enumerate(orders)]
    return votes


@pytest.mark.parametrize(
    ("outcomes", "number"),
    [
        ("aa", 2),
        ("abaa", 4 + 2),  # three to one is not enough
        ("abaaaa", 6),
        ("ababaaaa", 8),
        ("abababxx", 6),  # five to three would not decide: not asked
        ("abaaabaa", 8),
    ],
)
def test_clear_pairs_cost_one_round_and_others_as_many_as_they_need(
    outcomes: str, number: int
) -> None:
    votes = asked_for(outcomes + "aa", VotesConfig(max_votes=8, threshold=0.85))
    assert len(votes) == number
    assert [v.order for v in votes] == ["ab", "ba"] * (number // 2)


@given(
    st.integers(2, 16),
    st.lists(st.sampled_from((*SCORES, "unparseable")), min_size=16, max_size=16),
)
def test_budget_balance_and_retries(budget: int, outcomes: list[str]) -> None:
    votes = asked_for(outcomes, VotesConfig(max_votes=budget))
    assert len(votes) <= budget
    assert [v.order for v in votes[:2]] == ["ab", "ba"]
    parsed = Counter(v.order for v in votes if v.parsed)
    assert abs(parsed["ab"] - parsed["ba"]) <= 1
    if parsed["ab"] != parsed["ba"]:  # only where the budget ended within a round
        assert len(votes) == budget
    again = asked_for(outcomes, VotesConfig(max_votes=budget))
    assert again == votes


def test_an_answered_order_is_not_asked_again_in_its_round() -> None:
    votes = [vote("ab", "a"), vote("ba", "x")]
    config = VotesConfig(max_votes=6)
    assert next_orders(PAIRWISE, votes, config, 2, "") == ("ba",)
    assert next_orders(PAIRWISE, votes, VotesConfig(max_votes=2), 2, "") == ()
    assert next_orders(PAIRWISE, [*votes, vote("ba", "a")], config, 2, "") == ()
    assert next_orders(PAIRWISE, [*votes, vote("ba", "b")], config, 2, "") == ("ab", "ba")


def test_a_round_that_the_budget_cannot_complete_is_not_begun() -> None:
    votes = [vote("ab", "a"), vote("ba", "b")]
    assert next_orders(PAIRWISE, votes, VotesConfig(max_votes=3), 2, "") == ()


def test_least_votes() -> None:
    config = VotesConfig(min_votes=6, max_votes=8)
    assert len(asked_for("aaaaaaaa", config)) == 6
    votes = [Vote(order="a", seed=1, outcome=VERDICT, scores=(3.0,))]
    assert next_orders(SINGLE, votes, VotesConfig(min_votes=2), 1, "") == ("a",)
    assert next_orders(SINGLE, votes * 2, VotesConfig(min_votes=2), 1, "") == ()
    assert next_orders(SINGLE, votes, VotesConfig(min_votes=1), 1, "") == ()


@given(st.integers(3, 10), st.integers(0, 5), st.text(max_size=8))
def test_rounds_of_a_ranking_show_each_before_each_other_equally_often(
    count: int, number: int, pair_hash: str
) -> None:
    orders = round_orders(count, number, pair_hash)
    assert orders == round_orders(count, number, pair_hash)
    assert all(sorted(order) == list(LETTERS[:count]) for order in orders)
    for first, second in itertools.combinations(LETTERS[:count], 2):
        before = [order.index(first) < order.index(second) for order in orders]
        assert sorted(before) == [False, True]
    assert round_orders(count, 0, pair_hash)[0] == LETTERS[:count]


def test_rankings_of_a_pair_differ_from_round_to_round() -> None:
    assert len({round_orders(6, number, "pair") for number in range(5)}) == 5
    assert round_orders(6, 1, "pair") != round_orders(6, 1, "another")


def test_a_ranking_asks_until_every_two_are_decided() -> None:
    config = VotesConfig(max_votes=8)
    orders = next_orders(RANKING, [], config, 3, "p")
    assert orders == ("abc", "cba")
    clear = [Vote(order=o, seed=1, outcome=VERDICT, scores=(9.0, 5.0, 1.0)) for o in orders]
    assert next_orders(RANKING, clear, config, 3, "p") == ()
    torn = [clear[0], Vote(order="cba", seed=1, outcome=VERDICT, scores=(9.0, 1.0, 5.0))]
    assert next_orders(RANKING, torn, config, 3, "p") == round_orders(3, 1, "p")


@pytest.mark.parametrize(
    ("order", "shown", "scores"),
    [
        ("ab", (8.0, 3.0), (8.0, 3.0)),
        ("ba", (8.0, 3.0), (3.0, 8.0)),
        ("a", (4.0,), (4.0,)),
        ("cab", (1.0, 2.0, 3.0), (2.0, 3.0, 1.0)),
        ("dcba", (1.0, 2.0, 3.0, 4.0), (4.0, 3.0, 2.0, 1.0)),
    ],
)
def test_scores_are_mapped_back(
    order: str, shown: tuple[float, ...], scores: tuple[float, ...]
) -> None:
    fields = mapped_back(Verdict(shown, None, "why"), order)
    said = {"outcome": VERDICT, "scores": scores, "criteria": ()}
    assert fields == {**said, "option": None, "rationale": "why"}


@pytest.mark.parametrize(
    ("order", "option", "choice"),
    [("ab", "first", "a"), ("ba", "first", "b"), ("ab", "second", "b"), ("ba", "second", "a")],
)
def test_options_are_mapped_back(order: str, option: Option, choice: str) -> None:
    read = Verdict((), option, "")
    cast = Vote(order=order, seed=1, **mapped_back(read, order))
    assert (cast.option, cast.choice, cast.margin, cast.scores) == (choice, choice, None, ())


@pytest.mark.parametrize("option", ["both_good", "both_bad"])
def test_options_for_both_are_ties(option: Option) -> None:
    read = Verdict((), option, "")
    cast = Vote(order="ba", seed=1, **mapped_back(read, "ba"))
    assert (cast.option, cast.choice) == (option, "tie")


def test_an_unparseable_reply_has_no_verdict() -> None:
    fields = mapped_back(Unparseable(Reason.REFUSED, "it says no", "hm"), "ab")
    cast = Vote(order="ab", seed=1, **fields)
    assert (cast.outcome, cast.detail, cast.rationale) == (Reason.REFUSED, "it says no", "hm")
    assert (cast.parsed, cast.choice, cast.margin, cast.scores) == (False, None, None, ())


VOTES = st.builds(
    Vote,
    order=st.sampled_from(["ab", "ba", "a", "cab", "dbca"]),
    seed=st.integers(0, 2**31 - 1),
    outcome=st.sampled_from([VERDICT, str(Reason.TRUNCATED)]),
    rationale=st.text(max_size=5),
    output_tokens=st.integers(0, 9),
    cut_text=st.none() | st.text(max_size=5),
    rendering=st.none() | st.builds(Rendering, text=st.just(2), image=st.none() | st.just(3)),
).flatmap(
    lambda v: st.lists(st.floats(1, 10), min_size=len(v.order), max_size=len(v.order)).map(
        lambda scores: replace(v, scores=tuple(scores) if v.parsed else ())
    )
)


@given(st.lists(VOTES, max_size=4))
def test_votes_survive_storage(votes: list[Vote]) -> None:
    stored = pa.array([cast.as_row() for cast in votes], VOTE)
    assert [Vote.from_row(row) for row in stored.to_pylist()] == votes


def test_a_stored_pair_names_its_scores() -> None:
    row = vote("ba", "b").as_row()
    assert (row["score_a"], row["score_b"], row["scores"], row["choice"]) == (2, 9, None, "b")
    assert "detail" not in row


@given(st.text(max_size=64), st.integers(0, 100))
def test_seeds_depend_on_pair_and_number_alone(pair_hash: str, number: int) -> None:
    seed = vote_seed(pair_hash, number)
    assert seed == vote_seed(pair_hash, number)
    assert 0 <= seed < 2**31


def test_seeds_are_stable_across_releases_and_distinct() -> None:
    assert vote_seed("0" * 64, 0) == 696_943_203
    assert len({vote_seed(f"{pair:064x}", n) for pair in range(50) for n in range(6)}) == 300
