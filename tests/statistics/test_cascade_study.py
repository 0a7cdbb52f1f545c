"""The bench of cascades: its arithmetic on known pairs, and its simulation of published judges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.bench import main
from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.lab.cascade_study.published_judges import (
    PUBLISHED,
    Prices,
    Published,
    concentration,
    simulated,
)
from pipeline.lab.cascade_study.routes import (
    Routed,
    Way,
    alone,
    cascade,
    cascades,
    cheapest,
    most_accurate,
    random_routes,
)
from pipeline.lab.cascade_study.stored_judges import StoredVotes, in_first_half, routed
from pipeline.lab.vote_study.vote_enumeration import vote_for
from pipeline.lab.vote_study.voting_strategies import fixed
from pipeline.runtime.errors import InputError
from schemas.labels import VERDICT

PRICES = Prices(1.0, 2.0)


def four_pairs() -> Routed:
    """The first judge is wrong where it is least sure; the last pair is a tie of people's."""
    first = Way("reward model", np.array([1.0, 1, 0, 0.5]), np.ones(4))
    both = Way("both orders", np.array([1.0, 0.5, 1, 0.5]), np.full(4, 4.0))
    sided = np.array([True, True, True, False])
    return Routed(first, np.array([0.9, 0.8, 0.6, -1.0]), (both,), sided)


def test_a_cascade_passes_on_what_has_too_little_confidence() -> None:
    pairs = four_pairs()
    reward, judge = alone(pairs)
    assert [each.error for each in (reward, judge)] == pytest.approx([1 / 3, 1 / 6])
    assert (reward.price, reward.passed, judge.price, judge.passed) == (1, 0, 4, 1)
    found = cascade(pairs, "both orders", 0.8)
    assert (found.passed, found.error, found.price) == (0.5, 0, 1 + 4 / 2)
    assert cascade(pairs, "both orders", 0.85).error == pytest.approx(1 / 6)
    assert {route.passed for route in cascades(pairs)} == {0, 0.25, 0.5, 0.75, 1}


def test_at_random_price_and_error_lie_between_the_judges() -> None:
    half = next(route for route in random_routes(four_pairs()) if route.passed == 0.5)
    assert [half.error, half.price] == pytest.approx([0.25, 2.5])


def test_the_cheapest_within_an_error() -> None:
    routes = [*alone(four_pairs()), *cascades(four_pairs())]
    assert cheapest(routes, 0.2) == cascade(four_pairs(), "both orders", 0.8)
    assert cheapest(routes, 0.4) == alone(four_pairs())[0]
    assert cheapest(alone(four_pairs()), 0.1) is None
    assert most_accurate(routes).error == 0


def test_where_most_confidences_are_one_number_a_cascade_may_pass_all_on() -> None:
    """A plateau of the calibration: no confidence is above it, and the best judge is in reach."""
    pairs = four_pairs()
    flat = replace(pairs, confidence=np.full(4, 0.9))
    best = most_accurate(alone(flat))
    route = cheapest(cascades(flat), best.error)
    assert route is not None
    assert (route.passed, route.error, route.price) == (1, best.error, 5)


@pytest.mark.parametrize("judge", PUBLISHED, ids=lambda each: each.name)
def test_simulated_judges_err_as_published(judge: Published) -> None:
    pairs = simulated(judge, PRICES, alike=0.5, pairs=40_000, seed=3)
    errors = {route.way: route.error for route in alone(pairs)}
    assert errors["reward model"] == pytest.approx(judge.reward, abs=0.008)
    assert errors["both orders"] == pytest.approx(judge.vote, abs=0.008)
    assert errors["fixed 8"] < errors["fixed 4"] < errors["both orders"]
    if judge.many is not None:
        votes, error = judge.many
        rates = np.random.default_rng(1).beta(
            judge.vote * concentration(judge), (1 - judge.vote) * concentration(judge), 200_000
        )
        wrong = np.random.default_rng(2).binomial(votes, rates) > votes / 2
        assert wrong.mean() == pytest.approx(error, abs=0.004)


def test_a_cascade_beats_chance_only_where_judges_err_elsewhere() -> None:
    """Within two points of the best judge: what confidence tells is worth the reward's price."""
    times = {}
    for alike in (0.0, 0.8):
        pairs = simulated(Published("", 0.25, 0.18), Prices(1, 3), alike, 40_000, seed=5)
        most = most_accurate(alone(pairs)).error + 0.02
        by_chance, by_confidence = (cheapest(x(pairs), most) for x in (random_routes, cascades))
        assert by_chance is not None
        assert by_confidence is not None
        times[alike] = by_chance.price / by_confidence.price
    assert times[0.8] < 1 < times[0.0]


def stored(judge: JudgeConfig, gold: dict[str, str], votes: dict[str, list[Vote]]) -> StoredVotes:
    pairs = {}
    for number, (key, said) in enumerate(gold.items()):
        label: dict[str, Any] = {"pair_hash": key, "cluster": str(number), "status": "labeled"}
        label |= {"votes": [each.as_row() for each in votes[key]], "shard": "s", "row": number}
        pairs[key] = JudgedPair({"gold": said, "messages": []}, label)
    return StoredVotes(judge, "judge", pairs, 1.0)


def scored(gap: float) -> Vote:
    return Vote(order="", seed=0, outcome=VERDICT, scores=(gap, 0.0))


def two_judges(gold: dict[str, str]) -> tuple[StoredVotes, StoredVotes]:
    """A reward model whose scores tell something, and a judge that is always right."""
    rng = np.random.default_rng(8)
    gaps = {key: float(rng.normal(1 if int(key) % 2 else -1, 1)) for key in gold}
    scores = {
        key: [Vote(order="", seed=0, outcome=VERDICT, scores=(gap, 0.0))]
        for key, gap in gaps.items()
    }
    sides = {key: "a" if int(key) % 2 else "b" for key in gold}
    right = {key: [vote_for(order, side) for order in ("ab", "ba")] for key, side in sides.items()}
    reward = JudgeConfig.model_validate({"bundle": "skywork-vl-reward"})
    return stored(reward, gold, scores), stored(JudgeConfig(), gold, right)


def test_stored_votes_are_routed_by_halves_and_calibrated_on_the_other_one() -> None:
    gold = {str(number): "a" if number % 2 else "b" for number in range(300)}
    halves = routed(*two_judges(gold), [fixed(2)], PRICES)
    (one, two), (two_again, one_again) = halves
    assert len(one.confidence) + len(two.confidence) == 300
    assert (len(one.confidence), len(two.confidence)) == (
        len(one_again.confidence),
        len(two_again.confidence),
    )
    assert alone(two)[1].error == 0
    assert alone(two)[1].price == 2 * PRICES.vote
    assert 0.05 < alone(two)[0].error < 0.3
    best = cheapest(cascades(two), 0.02)
    assert best is not None
    assert best.price < PRICES.reward + 2 * PRICES.vote

    few = dict(list(gold.items())[:1])
    with pytest.raises(InputError, match="1 gold pairs have votes of both judges"):
        routed(*two_judges(few), [fixed(2)], PRICES)


def test_a_confidence_never_comes_from_the_pairs_own_half() -> None:
    gold = {str(number): "a" if number % 2 else "b" for number in range(300)}
    before = routed(*two_judges(gold), [fixed(2)], PRICES)[0]
    shuffled = dict(gold)
    pairs = two_judges(gold)[0].pairs
    other = [key for key in gold if not in_first_half(pairs[key])]
    shuffled |= dict.fromkeys(other[::2], "a")
    assert shuffled != gold
    after = routed(*two_judges(shuffled), [fixed(2)], PRICES)[0]
    assert np.array_equal(after[1].confidence, before[1].confidence)
    assert np.array_equal(after[0].confidence, before[0].confidence)


def test_the_command_simulates_judges_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--errors", "0.25", "0.18", "--prices", "1", "2", "--folder", str(tmp_path)]
    assert main(["cascade", *given]) == 0
    results = json.loads((tmp_path / "cascade.json").read_text())
    assert results["prices"] == {"reward": 1, "vote": 2}
    assert [study["judges"] for study in results["studies"]][-1] == "your judges"
    assert results["pictures"] == ["cascade_published.png"]
    assert (tmp_path / "cascade_published.png").stat().st_size > 10_000
    assert "your judges: best judge alone fixed 8" in capsys.readouterr().out
