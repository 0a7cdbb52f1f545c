"""Which votes are asked for, and what they say together."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.voting import ORDERS, Vote, decide, next_orders, vote_seed
from schemas.labels import VERDICT, Reason, Status

SCORES = {"a": (7.0, 4.0), "b": (2.0, 9.0), "tie": (5.0, 5.0)}
UNREADABLE = (Reason.MALFORMED, Reason.TIMEOUT)


def vote(order: str, outcome: str) -> Vote:
    """A vote for ``a``, ``b`` or ``tie``, or an unreadable one."""
    if outcome not in SCORES:
        return Vote(order=order, seed=1, outcome=outcome, detail=f"detail of {order}")
    a, b = SCORES[outcome]
    return Vote(order=order, seed=1, outcome=VERDICT, score_a=a, score_b=b, rationale=outcome)


@pytest.mark.parametrize("outcomes", list(itertools.product((*SCORES, *UNREADABLE), repeat=2)))
def test_decide_on_every_pair_of_votes(outcomes: tuple[str, str]) -> None:
    decision = decide([vote(order, o) for order, o in zip(ORDERS, outcomes, strict=True)])
    if set(outcomes) & set(UNREADABLE):
        last = max(i for i, o in enumerate(outcomes) if o in UNREADABLE)
        assert decision.status is Status.QUARANTINED
        assert decision.reason == outcomes[last]
        assert str(decision.detail).endswith(f"order {ORDERS[last]}: detail of {ORDERS[last]}")
        assert (decision.preference, decision.p_a_raw, decision.margin) == (None, None, None)
        return
    assert decision.reason is None
    assert decision.position_consistent is (outcomes[0] == outcomes[1])
    margins = {"a": 3.0, "b": -7.0, "tie": 0.0}
    assert decision.margin == (margins[outcomes[0]] + margins[outcomes[1]]) / 2
    share = Counter(outcomes)
    assert decision.p_a_raw == (share["a"] + share["tie"] / 2) / 2
    assert (
        decision.confidence == max(share["a"] + share["tie"] / 2, share["b"] + share["tie"] / 2) / 2
    )
    if outcomes in (("a", "a"), ("b", "b")):
        assert (decision.status, decision.preference) == (Status.LABELED, outcomes[0])
    else:
        assert (decision.status, decision.preference) == (Status.TIE, None)


@given(st.integers(2, 8), st.lists(st.sampled_from((*SCORES, *UNREADABLE)), min_size=8, max_size=8))
def test_asking_until_decided_keeps_to_the_budget(budget: int, outcomes: list[str]) -> None:
    votes: list[Vote] = []
    while orders := next_orders(votes, budget):
        votes += [vote(o, outcomes[len(votes) + i]) for i, o in enumerate(orders)]
    assert len(votes) <= budget
    assert [v.order for v in votes[:2]] == list(ORDERS)
    readable = Counter(v.order for v in votes if v.readable)
    assert max(readable.values(), default=0) <= 1  # nothing is asked again that was answered
    complete = set(readable) == set(ORDERS)
    assert complete or len(votes) == budget
    assert (decide(votes).status is Status.QUARANTINED) is not complete


def test_an_answered_order_is_not_asked_again() -> None:
    votes = [vote("ab", "a"), vote("ba", Reason.MALFORMED)]
    assert next_orders(votes, 6) == ("ba",)
    assert next_orders(votes, 2) == ()
    assert next_orders([*votes, vote("ba", "a")], 6) == ()


@pytest.mark.parametrize("outcome", [*SCORES, *UNREADABLE])
def test_choice_and_stored_row(outcome: str) -> None:
    cast = vote("ba", outcome)
    expected = outcome if outcome in SCORES else None
    row = cast.as_row()
    assert (cast.choice, row["choice"], row["order"]) == (expected, expected, "ba")
    assert "detail" not in row
    if expected is None:
        with pytest.raises(ValueError, match="no margin"):
            _ = cast.margin


@given(st.text(max_size=64), st.integers(0, 100))
def test_seeds_depend_on_pair_and_number_alone(pair_hash: str, number: int) -> None:
    seed = vote_seed(pair_hash, number)
    assert seed == vote_seed(pair_hash, number)
    assert 0 <= seed < 2**31


def test_seeds_are_stable_across_releases_and_distinct() -> None:
    assert vote_seed("0" * 64, 0) == 696_943_203
    assert len({vote_seed(f"{pair:064x}", n) for pair in range(50) for n in range(6)}) == 300
