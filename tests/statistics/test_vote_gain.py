"""The gain rule: what another round is worth, the price that meets a budget, and what stays."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from fractions import Fraction
from math import comb, floor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.aggregation.evidence import Evidence, next_orders
from pipeline.aggregation.policy import Rule
from pipeline.aggregation.vote_price import LEAST_PAIRS, Offers
from pipeline.judging.asking import asking_of
from pipeline.judging.judge_config import FIRST_PRICE, JudgeConfig, VotesConfig
from pipeline.judging.votes import Vote
from pipeline.lab.vote_study.judge_noise import Population, mixed, scores, ties
from pipeline.lab.vote_study.vote_bounds import best_curve, reached
from pipeline.lab.vote_study.vote_enumeration import Enumeration, unparseable, vote_for
from pipeline.lab.vote_study.vote_replay import sample_pairs
from pipeline.lab.vote_study.voting_strategies import MAJORITY, adaptive, gaining
from pipeline.labeling.carried_price import CarriedPrice, VotePrices
from pipeline.labeling.planning.reopening import Reopening
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, pairs_of, runner, scripted, text_pair, unit
from tests.shards import labels_of

FORMAT = JudgeConfig().declared_format
RECORD = f"prices/{JUDGE_ID[:16]}.json"
COUNTS = st.tuples(*(st.integers(0, 6) for _ in range(3)))


def gain(a: int, b: int, tie: int, votes: int = 2) -> float:
    return Evidence(a, b, tie, a + b + tie).gain(Rule(), votes)


def exact_gain(a: int, b: int, tie: int) -> Fraction:
    """By the nine outcomes of a round, in fractions."""

    def likelier(wins: int, losses: int) -> Fraction:
        tosses = wins + losses + 1  # P(Beta(wins + 1, losses + 1) > 1/2), as tosses of a coin
        p = Fraction(sum(comb(tosses, n) for n in range(wins + 1)), 2**tosses)
        return max(p, 1 - p)

    expected = Fraction(0)
    for outcomes in itertools.product(range(3), repeat=2):
        counts, chance = [a, b, tie], Fraction(1)
        for outcome in outcomes:
            chance *= Fraction(counts[outcome] + 1, sum(counts) + 3)
            counts[outcome] += 1
        expected += chance * likelier(*counts[:2])
    return expected - likelier(a, b)


def test_known_gains() -> None:
    assert gain(1, 1, 0) == pytest.approx(7 / 40)  # 2 (.2 x .3125 + .1333 x .1875)
    assert gain(2, 0, 0) == 0  # no round overturns a lead of two
    assert gain(0, 0, 0, votes=1) == pytest.approx(1 / 6)  # two in three prefer, p is 3/4 then
    assert gain(1, 0, 0, votes=1) == 0
    assert gain(0, 0, 2) == pytest.approx(float(exact_gain(0, 0, 2)), abs=1e-8)


@given(COUNTS)
def test_a_gain_is_that_of_the_nine_outcomes_and_alike_for_both_sides(
    counts: tuple[int, int, int],
) -> None:
    a, b, tie = counts
    assert gain(a, b, tie) == pytest.approx(float(exact_gain(a, b, tie)), abs=1e-8)
    assert gain(a, b, tie) == gain(b, a, tie) >= 0


@given(COUNTS)
def test_agreeing_votes_and_ties_leave_less_to_gain(counts: tuple[int, int, int]) -> None:
    low, high, tie = *sorted(counts[:2]), counts[2]
    assert gain(high + 2, low, tie) <= gain(high, low, tie)
    if high == low:
        assert gain(high, low, tie + 1) < gain(high, low, tie)


def cast(choices: Sequence[str]) -> list[Vote]:
    orders = itertools.cycle(("ab", "ba"))
    return [vote_for(order, choice) for choice, order in zip(choices, orders, strict=False)]


@pytest.mark.parametrize(
    ("choices", "price", "more"),
    [
        ([], 0.4, True),  # the first round is asked under any price
        (["a", "a"], 0.001, False),
        (["a", "b"], 0.175, True),
        (["a", "b"], 0.176, False),
        (["tie", "tie"], 0.05, True),  # that the threshold rule settles as a tie
        (["tie"] * 6, 0.05, True),
        (["tie"] * 6, 0.12, False),
        (["a", "tie"], 0.05, False),
        (["a", "tie"], 0.02, True),
        (["a", "b"] * 4, 0.001, False),  # the most votes
    ],
)
def test_rounds_are_asked_while_they_gain_the_price(
    choices: list[str], price: float, more: bool
) -> None:
    config = VotesConfig(stop="gain", price=price)
    assert next_orders(FORMAT, cast(choices), config, 2, "p") == (("ab", "ba") if more else ())


@pytest.mark.parametrize(
    ("votes", "fault"),
    [
        ({"price": 0.1}, "price and budget_per_pair are of stop: gain"),
        ({"stop": "gain", "price": 0.1, "budget_per_pair": 3}, "a budget sets the price"),
        ({"stop": "gain", "budget_per_pair": 1.5}, "budget_per_pair 1.5 < min_votes 2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(votes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        VotesConfig.model_validate(votes)


def asking(**votes: Any) -> str:
    return asking_of(JudgeConfig.model_validate({"votes": votes}))


def test_a_price_says_how_is_asked_unless_a_budget_moves_it() -> None:
    assert not any(name in asking() for name in ("stop", "price", "budget"))
    assert asking(stop="gain") == asking(stop="gain", price=FIRST_PRICE)
    assert asking(stop="gain", price=0.1) != asking(stop="gain")
    budget = {asking(stop="gain", budget_per_pair=most) for most in (2.5, 4)}
    assert len(budget) == 1
    assert not {asking(), asking(stop="gain")} & budget


PRICES = (0.0001, 0.02, 0.03, 0.05, 0.1, 0.15, 0.17, 0.3)
ASKED_TO_THE_END = VotesConfig(min_votes=2, max_votes=8)


@pytest.mark.parametrize(
    ("population", "budget"),
    [(mixed(0.2), 2.3), (mixed(0.2), 2.6), (ties(1), 2.3), (ties(1), 2.6), (ties(3), 2.6)],
    ids=lambda each: getattr(each, "name", each),
)
def test_a_budget_is_spent_and_kept_to(population: Population, budget: float) -> None:
    """To within the luck of which of 2,000 pairs pay a price between two steps."""
    pairs = [pair.votes[:8] for pair in sample_pairs(population, 2_000, seed=5)]
    price = Offers.of(FORMAT, pairs, ASKED_TO_THE_END).price(budget)
    config = VotesConfig(stop="gain", price=price)
    cost = sum(stopped(pair, config, str(n)) for n, pair in enumerate(pairs)) / len(pairs)
    assert cost == pytest.approx(budget, abs=0.05)


def test_all_pairs_pay_a_price_of_a_step() -> None:
    torn, price = cast(["a", "b"]), 0.175
    asked = [
        stopped([*torn, *torn], VotesConfig(stop="gain", price=price), str(n)) for n in range(50)
    ]
    assert asked == [4] * 50
    between = VotesConfig(stop="gain", price=price + 0.25 / 10_000)
    shares = [next_orders(FORMAT, torn, between, 2, str(n)) != () for n in range(2_000)]
    assert sum(shares) / 2_000 == pytest.approx(0.75, abs=0.04)
    above = VotesConfig(stop="gain", price=price + 1 / 10_000)
    assert not any(next_orders(FORMAT, torn, above, 2, str(n)) for n in range(50))


def stopped(votes: Sequence[Vote], config: VotesConfig, pair: str) -> int:
    asked = 2
    while next_orders(FORMAT, votes[:asked], config, 2, pair):
        asked += 2
    return asked


def test_few_pairs_say_no_price_alone() -> None:
    few = Offers(LEAST_PAIRS - 1, 2 * LEAST_PAIRS, ((0.1, 30), (0.175, 40)))
    assert few.price(9) == FIRST_PRICE
    both = few.with_earlier(Offers(100, 200, ((0.1, 10),)))
    assert both == Offers(LEAST_PAIRS + 99, 2 * LEAST_PAIRS + 200, ((0.1, 40), (0.175, 40)))
    assert both.with_earlier(few) == both
    assert both.price(2.3) == 0.1
    for votes, price in ((30, 0.175 + 0.25 / 10_000), (60, 0.1 + 0.5 / 10_000)):
        assert both.price((both.fixed + votes) / both.pairs) == pytest.approx(price, abs=1e-9)
    assert (both.price(2), both.price(1.9)) == (0.4999, 0.4999)


def test_least_votes_cost_the_same_under_every_price() -> None:
    votes = [unparseable("ab"), *cast(["a", "b"]), *cast(["a", "b"])]
    config = VotesConfig(min_votes=4)
    offers = Offers.of(FORMAT, [votes, [unparseable("ab")] * 8], config)
    assert offers == Offers(1, 5, ((floor(exact_gain(2, 2, 0) * 10_000) / 10_000, 2),))


def test_unparseable_replies_cost_what_their_round_costs() -> None:
    first, second = (floor(exact_gain(n, n, 0) * 10_000) / 10_000 for n in (1, 2))
    lost = unparseable("ab")
    begun = [*cast(["a", "b"]), lost, lost, *cast(["a", "b"])]
    config = VotesConfig(max_votes=8)
    assert Offers.of(FORMAT, [begun], config) == Offers(1, 2, ((second, 2), (first, 4)))
    ended = [*begun, lost, lost]  # the whole budget, in a round without a verdict
    assert Offers.of(FORMAT, [ended], config) == Offers(1, 2, ((second, 2), (first, 4)))
    spent = [lost, *ended]  # nothing is left for another round
    assert Offers.of(FORMAT, [spent], config) == Offers(1, 3, ((first, 4),))


def threshold_rule(population: Population, votes: float) -> float:
    """How often the threshold rule is right at so many votes: the best mix of two settings."""
    known = [
        Enumeration(adaptive(cap, threshold, label_threshold=MAJORITY)).averages(population)
        for threshold in (0.55, 0.65, 0.74, 0.85, 0.9)
        for cap in (2, 4, 6, 8)
    ]
    return reached([(each.votes, each.accuracy) for each in known], votes)


@pytest.mark.parametrize(
    ("population", "more"), [(ties(1), 0.028), (ties(3), 0.04), (scores(2), 0.013)]
)
def test_votes_change_more_labels_than_by_a_threshold(population: Population, more: float) -> None:
    """The price of one night's pairs, in the next night: exact for the judge."""
    budget = 2.6
    night = [pair.votes[:8] for pair in sample_pairs(population, 2_000, seed=11)]
    price = Offers.of(FORMAT, night, ASKED_TO_THE_END).price(budget)
    step = floor(price * 10_000 + 1e-6) / 10_000
    all_of_them, none = (
        Enumeration(gaining(8, each)).averages(population) for each in (step, step + 1e-4)
    )
    paying = 1 - (price - step) * 10_000
    votes = none.votes + paying * (all_of_them.votes - none.votes)
    right = none.accuracy + paying * (all_of_them.accuracy - none.accuracy)
    assert votes == pytest.approx(budget, abs=0.05)
    assert right >= threshold_rule(population, votes) + more


@pytest.mark.parametrize("population", [mixed(0.136), mixed(0.25, bias=1.0)])
def test_a_judge_without_ties_is_asked_alike_by_both_rules(population: Population) -> None:
    threshold = Enumeration(adaptive(8, 0.55, label_threshold=MAJORITY)).averages(population)
    assert Enumeration(gaining(8, FIRST_PRICE)).averages(population) == threshold


@pytest.mark.parametrize(
    "population",
    [ties(1), ties(3), scores(2), scores(2, 2, slot=1), mixed(0.136), mixed(0.136, bias=1.0)],
    ids=lambda each: each.name,
)
def test_no_rule_does_better_by_a_tenth_of_a_point(population: Population) -> None:
    """At 2.6 votes, of rules that know how the judge errs: the mix of two prices around that."""
    known = [Enumeration(gaining(8, price)).averages(population) for price in PRICES]
    found = reached([(each.votes, each.accuracy) for each in known], 2.6)
    best = reached(best_curve(population, cap=8), 2.6)
    assert best - 0.001 <= found <= best + 1e-5


GAIN = {"stop": "gain", "budget_per_pair": 2.5}


def carried(store: Store, **votes: Any) -> tuple[CarriedPrice, JudgeConfig]:
    judge = JudgeConfig.model_validate({"votes": GAIN | votes})
    price = CarriedPrice.of(store, JUDGE_ID, judge)
    assert price is not None
    return price, price.judge(judge)


def test_a_price_moves_once_a_run_has_judged_everything(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    rows = [text_pair(number) for number in range(LEAST_PAIRS)]
    first, config = carried(store)
    assert (first.price, first.settled_at, config.votes.price) == (FIRST_PRICE,) * 3
    first.begin()
    assert VotePrices.parse(store.read(RECORD), "") == VotePrices(FIRST_PRICE)
    worker = runner(scripted(judge={"votes": {"max_votes": 2}})[0], store, "first")
    asyncio.run(worker.run(unit(0, len(rows)), pairs_of(rows)))
    assert carried(store)[0].price == FIRST_PRICE  # a run that was ended goes on with it
    first.end([unit(0, len(rows))], config, "first")
    stored = VotePrices.parse(store.read(RECORD), "")
    assert (stored.highest, stored.offers.pairs) == (FIRST_PRICE, LEAST_PAIRS)
    assert stored.offers.fixed == 2 * LEAST_PAIRS
    second, config = carried(store)
    assert second.price == stored.offers.price(2.5)
    second.end([unit(0, len(rows))], config, "second")  # that run began none of them
    assert VotePrices.parse(store.read(RECORD), "") == stored


def test_rows_that_were_settled_stay_so_under_a_lower_price_of_a_budget(tmp_path: Path) -> None:
    store, rows = Store(str(tmp_path)), [text_pair(0, "TORN")]
    judge = scripted(judge={"votes": {"stop": "gain", "price": 0.2}})[0]
    asyncio.run(runner(judge, store, "first").run(unit(0, 1), pairs_of(rows)))
    (row,) = labels_of(store.uri)
    (row["votes"][0]["scores"], row["votes"][1]["scores"]) = ([7.0, 4.0], [4.0, 7.0])
    lower = JudgeConfig.model_validate({"votes": GAIN}).votes.model_copy(update={"price": 0.1})
    moved = JudgeConfig().model_copy(update={"votes": lower})
    assert Reopening(moved, "second", settled_at=0.2).why(row) is None
    assert Reopening(moved, "second", settled_at=0.15).why(row) == "undecided"
    stated = JudgeConfig.model_validate({"votes": {"stop": "gain", "price": 0.1}})
    assert Reopening(stated, "second").why(row) == "undecided"
