"""The study of voting strategies: exact where it says so, and the product's own rules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.votes import Vote
from pipeline.lab.vote_study import study
from pipeline.lab.vote_study.judge_noise import (
    Population,
    empty_margins,
    flips,
    mixed,
    scores,
    ties,
)
from pipeline.lab.vote_study.real_votes import replayed, vote_shares
from pipeline.lab.vote_study.soft_replay import soft_against_sampled
from pipeline.lab.vote_study.strategy_averages import Averages
from pipeline.lab.vote_study.study_markdown import soft_table
from pipeline.lab.vote_study.vote_bounds import best_curve, wald_votes
from pipeline.lab.vote_study.vote_enumeration import Enumeration, unparseable, vote_for
from pipeline.lab.vote_study.vote_replay import MOST, AskedPair, Replay, sample_pairs
from pipeline.lab.vote_study.voting_strategies import MAJORITY, OneOrder, Strategy, adaptive, fixed
from schemas.labels import VERDICT

WAYS: list[Strategy] = [
    OneOrder(),
    fixed(2),
    fixed(8),
    adaptive(8),
    adaptive(16, 0.85, 0, label_threshold=MAJORITY),
    adaptive(8, 0.7, 3, prior=0.5),
]


def asked(way: Strategy, reply: Callable[[int, str], Vote]) -> list[Vote]:
    """Asks as the product does, without anything remembered."""
    votes: list[Vote] = []
    while orders := way.orders(votes):
        votes += [reply(len(votes) + i, order) for i, order in enumerate(orders)]
    return votes


@pytest.mark.parametrize("wrong", [0.05, 0.3])
def test_flips_have_the_closed_forms_of_one_both_and_fixed(wrong: float) -> None:
    one, both, eight = (Enumeration(w).averages(flips(wrong)) for w in WAYS[:3])
    right, split = 1 - wrong, 2 * wrong * (1 - wrong)
    assert (one.accuracy, one.undecided, one.votes) == pytest.approx((right, 0, 1))
    assert both.accuracy == pytest.approx(right)
    assert both.among_decided == pytest.approx(right**2 / (right**2 + wrong**2))
    assert (both.undecided, both.votes) == pytest.approx((split, 2))
    of_eight = [math.comb(8, n) * wrong**n * right ** (8 - n) for n in range(5)]
    even = of_eight[4]
    assert eight.accuracy == pytest.approx(sum(of_eight[:4]) + even / 2)
    assert (eight.undecided, eight.votes) == pytest.approx((even, 8))


@pytest.mark.parametrize("wrong", [0.1, 0.25])
def test_the_default_stops_at_a_lead_of_two(wrong: float) -> None:
    averages = Enumeration(adaptive(8)).averages(flips(wrong))
    split, right = 2 * wrong * (1 - wrong), 1 - wrong
    assert averages.votes == pytest.approx(2 * (1 + split + split**2 + split**3))
    assert averages.undecided == pytest.approx(split**4)
    assert averages.among_decided == pytest.approx(right**2 / (right**2 + wrong**2))


@pytest.mark.parametrize("way", [adaptive(8, 0.85, 0), adaptive(4, 0.65, 0), fixed(4), OneOrder()])
@pytest.mark.parametrize("lost", [0.0, 0.2])
def test_merged_counts_equal_every_single_sequence(way: Strategy, lost: float) -> None:
    population = mixed(0.2, true_ties=0.3, bias=1.0).with_unparseable(lost)
    rows = [40, 190, 250, 401]  # of either side, clear and unclear, and a true tie
    few = Population(
        "few", np.full(4, 0.25), population.gold[rows], population.gaps[rows], False, lost
    )
    if lost and way.most > 4:
        way = adaptive(4, 0.85, 0)  # four possible replies a vote: keep the sequences few
    found = Enumeration(way).averages(few)
    right = decided = spent = retries = 0.0
    for row in range(4):
        for votes, chance in _sequences(way, few, row):
            preference = way.decision(votes).preference
            gold = {1: "a", -1: "b", 0: "tie"}[int(few.gold[row])]
            right += chance * (preference == gold) / 3
            decided += chance * (preference is not None and gold != "tie") / 3
            spent += chance * len(votes) / 4
            retries += chance * sum(not vote.parsed for vote in votes) / 4
    assert found.accuracy == pytest.approx(right + (1 - decided) / 2)
    assert found.undecided == pytest.approx(1 - decided)
    assert (found.votes, found.retries) == pytest.approx((spent, retries))


def _sequences(
    way: Strategy, population: Population, row: int
) -> Iterator[tuple[list[Vote], float]]:
    parsed = 1 - population.unparseable
    chances = population.choices()[row]

    def step(votes: list[Vote], chance: float) -> Iterator[tuple[list[Vote], float]]:
        orders = way.orders(votes)
        if not orders:
            yield votes, chance
            return
        choices = "abx" if population.unparseable else "ab"
        for replies in itertools.product(choices, repeat=len(orders)):
            after, left = list(votes), chance
            for order, choice in zip(orders, replies, strict=True):
                if choice == "x":
                    after, left = [*after, unparseable(order)], left * population.unparseable
                else:
                    chosen = chances[int(order == "ba"), "ab".index(choice)]
                    after, left = [*after, vote_for(order, choice)], left * parsed * chosen
            yield from step(after, left)

    return step([], 1.0)


@pytest.mark.parametrize("population", [scores(2, 1), mixed(0.25), empty_margins()])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_replay_with_memory_equals_the_product_without(
    way: Strategy, population: Population
) -> None:
    replay = Replay(way)
    for pair in sample_pairs(population.with_unparseable(0.1), 60, seed=7):

        def stored(number: int, order: str, pair: AskedPair = pair) -> Vote:
            assert pair.votes[number].order == order  # a prefix of what the largest budget asks
            return pair.votes[number]

        votes = asked(way, stored)
        decision, count = replay.of(pair)
        assert count == len(votes)
        fresh = way.decision(votes)
        assert (decision.status, decision.preference) == (fresh.status, fresh.preference)


REPLIES = st.lists(
    st.sampled_from([(7, 7), (9, 2), (2, 9), (6, 5), (5, 6), (8, 5), None]),
    min_size=MOST,
    max_size=MOST,
)


@given(
    REPLIES,
    st.sampled_from([8, 16]),
    st.sampled_from([0.6, 0.65, 0.85]),
    st.sampled_from([0.0, 1.0]),
)
def test_adaptive_never_asks_more_than_fixed_or_its_budget(
    replies: Sequence[tuple[int, int] | None], cap: int, threshold: float, scale: float
) -> None:
    def reply(number: int, order: str) -> Vote:
        scored = replies[number]
        if scored is None:
            return unparseable(order)
        return Vote(
            order=order, seed=0, outcome=VERDICT, scores=(float(scored[0]), float(scored[1]))
        )

    votes = asked(adaptive(cap, threshold, scale), reply)
    most = asked(fixed(cap), reply)
    assert len(votes) <= len(most) <= cap
    assert votes == most[: len(votes)]


@pytest.mark.parametrize(
    "population",
    [flips(0.2), mixed(0.136), mixed(0.3, bias=1.5), scores(1), scores(2, 2, 1), ties(3)],
)
def test_populations_are_distributions_and_favour_no_side(population: Population) -> None:
    assert population.weight.sum() == pytest.approx(1)
    assert population.gaps.sum(-1) == pytest.approx(np.ones(population.gaps.shape[:2]))
    assert float(population.weight @ population.gold) == pytest.approx(0)
    for_a = population.weight @ population.choices().mean(1)
    assert for_a[0] == pytest.approx(for_a[1])


@pytest.mark.parametrize("mean", [0.05, 0.136, 0.3])
def test_mixed_flip_rates_have_their_mean(mean: float) -> None:
    assert Enumeration(OneOrder()).averages(mixed(mean)).accuracy == pytest.approx(
        1 - mean, abs=1e-3
    )


@pytest.mark.parametrize(
    ("nu", "share", "decided", "right", "votes"),
    [  # by a simulation of its own (seed 5): budget 8, threshold 0.85
        (1.0, 0.26, 0.79, 0.905, 4.5),
        (3.0, 0.51, 0.67, None, 5.4),
    ],
)
def test_dropping_ties_decides_as_many_pairs_as_an_independent_simulation(
    nu: float, share: float, decided: float, right: float | None, votes: float
) -> None:
    way = adaptive(8, 0.85)
    # That simulation never calls a pair a tie, which ends the asking here.
    no_ties = replace(way, votes=way.votes.model_copy(update={"tie_threshold": 1 - 1e-9}))
    population = ties(nu)
    found = Enumeration(no_ties).averages(population)
    assert float(population.choices()[..., 2].mean()) == pytest.approx(share, abs=0.01)
    assert 1 - found.undecided == pytest.approx(decided, abs=0.02)
    assert found.votes == pytest.approx(votes, abs=0.2)
    if right is not None:
        assert found.among_decided == pytest.approx(right, abs=0.01)


def test_bias_towards_the_first_slot_is_larger_where_the_gap_is_small() -> None:
    plain, biased = mixed(0.136).choices(), mixed(0.136, bias=1.0).choices()
    shift = np.log(biased[..., 0] / biased[..., 1]) - np.log(plain[..., 0] / plain[..., 1])
    logit = np.abs(np.log(plain[:, 0, 0] / plain[:, 0, 1]))
    assert shift[:, 0] == pytest.approx(1 + np.exp(-logit), abs=1e-5)
    assert shift[:, 1] == pytest.approx(-1 - np.exp(-logit), abs=1e-5)


@pytest.mark.parametrize("way", [fixed(8), adaptive(8), adaptive(16)], ids=lambda way: way.name)
def test_sampled_votes_agree_with_the_exact_averages(way: Strategy) -> None:
    population, count = mixed(0.136), 2_000
    exact = Enumeration(way).averages(population)
    found = Replay(way).averages(sample_pairs(population, count, seed=3))
    assert found.accuracy == pytest.approx(exact.accuracy, abs=4 * 0.5 / (0.9 * count) ** 0.5)
    assert found.votes == pytest.approx(exact.votes, abs=4 * 3 / count**0.5)


def test_the_same_seed_gives_the_same_votes_and_another_others() -> None:
    first, again, other = (sample_pairs(scores(2), 20, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "population",
    [flips(0.1), flips(0.3), mixed(0.136), mixed(0.2, bias=1.0), ties(3), scores(2, 2, slot=1)],
    ids=lambda each: each.name,
)
def test_no_way_of_asking_beats_the_bound(population: Population) -> None:
    votes, accuracy = zip(*best_curve(population), strict=True)
    for way in [fixed(8), *study.DEFAULTS, *study.curve(8, 0.0), *study.curve(16, 0.0)]:
        found = Enumeration(way).averages(population)
        assert found.accuracy <= np.interp(found.votes, votes, accuracy) + 1e-4


def test_walds_bound_is_what_a_lead_costs() -> None:
    wrong, lead = 0.2, 3
    error = wrong**lead / (wrong**lead + (1 - wrong) ** lead)
    assert wald_votes(wrong, error) == pytest.approx(lead * (1 - 2 * error) / (1 - 2 * wrong))


def test_stored_votes_are_counted_and_compared_pair_by_pair() -> None:
    pairs = sample_pairs(scores(2).with_unparseable(0.05), 50, seed=1)
    rows = {row["strategy"]: row for row in replayed([OneOrder(), fixed(8)], fixed(8), pairs, 1)}
    assert rows["fixed 8"]["intervals"]["behind"] == [0.0, 0.0]
    assert rows["one order"]["votes"] == 1.0
    gold = [pair.gold for pair in pairs]
    right = [pair.votes[0].choice == pair.gold for pair in pairs]
    undecided = [pair.votes[0].choice in (None, "tie") for pair in pairs]
    assert "tie" not in gold
    assert rows["one order"]["accuracy"] == pytest.approx(
        (sum(right) + sum(undecided) / 2) / 50, abs=1e-5
    )
    shares = vote_shares(pairs)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    lost = sum(not vote.parsed for pair in pairs for vote in pair.votes)
    assert shares["unreadable"] == pytest.approx(
        lost / sum(len(pair.votes) for pair in pairs), abs=1e-4
    )


def _heated(rng: np.random.Generator, reasoned: bool) -> list[AskedPair]:
    """Pairs whose votes are samples of a chance that is each reply's own."""
    pairs = []
    for _ in range(120):
        votes = []
        for order in ("ab", "ba") * (MOST // 2):
            right = rng.beta(3, 2)
            if reasoned:  # it has decided before it writes a verdict
                right = 1.0 if rng.random() < right else 0.0
            vote = vote_for(order, "a" if rng.random() < right else "b")
            votes.append(replace(vote, soft_a=float(right), weight=1.0))
        pairs.append(AskedPair("a", tuple(votes)))
    return pairs


def test_soft_votes_gain_where_the_last_token_is_left_to_chance_and_nowhere_else() -> None:
    rng = np.random.default_rng(5)
    ways: list[Strategy] = [OneOrder(), fixed(2), fixed(8), adaptive(8)]
    reasoned = soft_against_sampled(ways, _heated(rng, reasoned=True), seed=1)
    assert reasoned is not None
    assert (reasoned["chance"], reasoned["weight"]) == (0.0, 1.0)
    for row in reasoned["rows"]:
        assert (row["accuracy_more"], row["votes_more"]) == ([0.0, 0.0], [0.0, 0.0])
    open_ = soft_against_sampled(ways, _heated(rng, reasoned=False), seed=1)
    assert open_ is not None
    assert open_["weight"] == 4
    both = {row["strategy"]: row for row in open_["rows"]}["both orders"]
    assert both["accuracy_more"][0] > 0.05
    assert soft_table(reasoned["rows"])[1][1][3] == "[+0.0, +0.0]"
    assert soft_against_sampled(ways, sample_pairs(flips(0.1), 5, 1), seed=1) is None


def test_undecided_pairs_count_one_half() -> None:
    nothing = [AskedPair("a", tuple(unparseable(o) for o in ("ab", "ba") * 8))] * 3
    averages = Replay(adaptive(8)).averages(nothing)
    assert averages == Averages(
        accuracy=0.5,
        among_decided=0.5,
        undecided=1.0,
        quarantined=1.0,
        forced=0.0,
        votes=8.0,
        retries=8.0,
    )
