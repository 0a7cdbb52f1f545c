"""What is fitted to gold: better probabilities on pairs that the fit has not seen, on no side."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.aggregation.calibration import Calibration, features, fold_of, probability
from pipeline.aggregation.calibration_fit import GoldVotes, fit_calibration, log_loss
from pipeline.aggregation.decisions import decide_pair
from pipeline.aggregation.policy import Rule
from pipeline.judging.votes import Vote
from pipeline.pairs.contents import asked_by_user, text_part
from pipeline.pairs.prompts import cluster_key
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.stats.error_rate import Check
from tests.calibrations import chosen, scored, swapped

JUDGE = "ab" * 32
RIGHT, WRONG = 1.0, 0.0


def gold_votes(name: object, votes: list[Vote], gold: float) -> GoldVotes:
    p_a_raw = decide_pair(votes, Rule()).p_a_raw
    assert p_a_raw is not None
    return GoldVotes(digest(str(name)), hash_of(name), votes, p_a_raw, gold)


def hash_of(name: object) -> int:
    """The key of a prompt that is named so."""
    return cluster_key(None, asked_by_user(text_part(str(name))))


def judged(count: int, reliability: Callable[[int], float], seed: int = 1) -> list[GoldVotes]:
    """Pairs that a judge scores the same in both orders, and that a human agrees with as often
    as ``reliability`` says of the score gap; every tenth is a tie for the human."""
    rng = random.Random(seed)
    pairs = []
    for number in range(count):
        gap = rng.randint(1, 8)
        scores = (9.0, 9.0 - gap) if rng.random() < 0.5 else (9.0 - gap, 9.0)
        votes = [scored("ab", *scores), scored("ba", *scores)]
        agrees = rng.random() < reliability(gap)
        gold = float((scores[0] > scores[1]) == agrees) if number % 10 else 0.5
        pairs.append(gold_votes((seed, number), votes, gold))
    return pairs


def overconfident(gap: int) -> float:
    return 0.55 + 0.04 * gap


def mirrored(pairs: list[GoldVotes]) -> list[GoldVotes]:
    return [
        replace(
            pair,
            votes=[swapped(vote) for vote in pair.votes],
            gold=1 - pair.gold,
            p_a_raw=1 - pair.p_a_raw,
        )
        for pair in pairs
    ]


def fit(pairs: list[GoldVotes], **more: object) -> Calibration:
    return fit_calibration(pairs, JUDGE, "/gold", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [60, 400, 1_000])
def test_a_miscalibrated_judge_is_calibrated_on_pairs_not_seen(count: int) -> None:
    figures = fit(judged(count, overconfident)).figures
    # Both orders agree, so that the raw share is 0 or 1, of a judge that is right at times.
    assert figures["ece_raw"] > 0.2
    assert figures["ece"] < figures["ece_raw"]
    assert figures["brier"] < figures["brier_raw"]
    assert figures["log_loss"] < figures["log_loss_raw"]
    assert (figures["pairs"], figures["ties"], figures["folds"]) == (count, count / 10, 5)


def test_the_reliability_that_made_the_gold_is_found() -> None:
    pairs = judged(6_000, overconfident)
    for method in ("platt", "isotonic"):
        fitted = fit(pairs, method=method)
        for gap in (2, 5, 8):
            votes = [scored("ab", 9, 9 - gap), scored("ba", 9, 9 - gap)]
            expected = 0.9 * overconfident(gap) + 0.1 * 0.5  # a tenth are ties
            assert fitted.p_a(votes) == pytest.approx(expected, abs=0.03)


def test_a_pair_that_was_fitted_to_has_a_fit_without_its_prompt() -> None:
    pairs = judged(200, overconfident)
    whole = fit(pairs)
    assert len(whole.folds) == 5
    for number, fold in enumerate(whole.folds):
        others = [pair for pair in pairs if fold_of(pair.prompt, 5) != number]
        assert 0 < len(others) < len(pairs)
        assert fold.weights == pytest.approx(fit(others).weights)
    one = pairs[7]
    unseen = whole.p_a_unseen(one.votes, one.prompt)
    weights = whole.folds[fold_of(one.prompt, 5)].weights
    assert unseen == probability(features(one.votes), weights, ())
    assert unseen != whole.p_a(one.votes)
    assert of_an_earlier_version(whole).p_a_unseen(one.votes, one.prompt) is None


def of_an_earlier_version(fitted: Calibration) -> Calibration:
    """As an earlier version stored it: the same calibration by its id."""
    stored = fitted.model_dump(mode="json")
    del stored["folds"]
    return Calibration.model_validate(stored)


def test_isotonic_from_a_thousand_pairs_on() -> None:
    pairs = judged(1_000, overconfident)
    many, fewer = fit(pairs), fit(pairs[:999])
    assert (many.method, many.knots[0]) == ("isotonic", (0.5, 0.5))
    assert (fewer.method, fewer.knots) == ("platt", ())
    assert fit(pairs, method="platt").method == "platt"
    assert fit(pairs[:60], method="isotonic").method == "isotonic"


def test_isotonic_corrects_what_is_not_logistic() -> None:
    pairs = judged(1_500, lambda gap: 0.5 if gap < 5 else 0.95)
    plain, corrected = (fit(pairs, method=method) for method in ("platt", "isotonic"))
    assert corrected.figures["ece"] < plain.figures["ece"] / 2
    small = [scored("ab", 9, 7), scored("ba", 9, 7)]
    assert plain.p_a(small) > 0.55
    assert corrected.p_a(small) == pytest.approx(0.5, abs=0.03)


def test_isotonic_is_never_certain() -> None:
    pairs = [pair for pair in judged(200, lambda gap: RIGHT) if pair.gold != 0.5]
    fitted = fit(pairs, method="isotonic")
    assert fitted.knots[-1][1] == 1 - 1 / (len(pairs) + 2)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_no_side_is_favoured(method: str) -> None:
    # Every gold pair prefers a but a few: a fit with an intercept would learn that.
    one_sided = [
        p if p.gold >= p.p_a_raw else replace(p, gold=1.0) for p in judged(300, lambda _: 0.9)
    ]
    here, there = fit(one_sided, method=method), fit(mirrored(one_sided), method=method)
    assert here.weights == pytest.approx(there.weights, rel=1e-6)
    assert np.array(here.knots) == pytest.approx(np.array(there.knots), abs=1e-6)
    for name in ("brier", "log_loss"):
        assert here.figures[name] == pytest.approx(there.figures[name], abs=1e-9)
    even = [scored("ab", 7, 4), scored("ba", 4, 7)]
    assert here.p_a(even) == 0.5


def test_a_judge_that_only_likes_the_first_slot_is_worth_nothing() -> None:
    votes = [scored("ab", 8, 3), scored("ba", 3, 8)]
    fitted = fit([gold_votes(n, votes, float(n % 2)) for n in range(40)])
    assert fitted.weights == (0.0, 0.0, 0.0)
    assert fitted.p_a([scored("ab", 9, 1), scored("ba", 9, 1)]) == 0.5


def test_a_judge_that_says_the_opposite_of_gold_is_not_turned_round() -> None:
    fitted = fit(judged(200, lambda gap: WRONG))
    assert fitted.weights == (0.0, 0.0, 0.0)
    assert fitted.figures["brier"] < fitted.figures["brier_raw"]


def test_options_without_scores() -> None:
    rng = random.Random(3)
    pairs = []
    for number in range(200):
        side, other = rng.choice(("ab", "ba"))
        votes = [chosen("ab", side), chosen("ba", side), chosen("ab", "both_good")]
        gold = side if rng.random() < 0.7 else other
        pairs.append(gold_votes(number, votes, float(gold == "a")))
    fitted = fit(pairs)
    assert fitted.weights[0] == 0
    assert fitted.p_a(pairs[0].votes) == pytest.approx(
        0.7 if pairs[0].p_a_raw > 0.5 else 0.3, abs=0.07
    )


def test_a_gold_tie_is_half_a_pair_for_each_side() -> None:
    pairs = judged(60, overconfident)
    votes = [scored("ab", 9, 1), scored("ba", 9, 1)]
    ties = [gold_votes(f"tie {n}", votes, 0.5) for n in range(2)]
    one_each = [gold_votes(f"side {n}", votes, float(n)) for n in range(2)]
    assert fit(pairs + ties).weights == pytest.approx(fit(pairs + one_each).weights, rel=1e-6)


def test_figures_are_of_folds_that_the_fit_had_not_seen() -> None:
    pairs = judged(200, overconfident)
    pairs = [replace(pair, prompt=number // 4) for number, pair in enumerate(pairs)]
    folds = [int(digest("fold", str(pair.prompt))[:12], 16) % 2 for pair in pairs]
    squares = []
    for number in (0, 1):
        seen = [pair for pair, fold in zip(pairs, folds, strict=True) if fold != number]
        unseen = [pair for pair, fold in zip(pairs, folds, strict=True) if fold == number]
        fitted = fit(seen)
        squares += [(fitted.p_a(pair.votes) - pair.gold) ** 2 for pair in unseen]
    figures = fit(pairs, folds=2).figures
    assert figures["brier"] == pytest.approx(sum(squares) / len(squares), abs=1e-12)


def test_probabilities_of_preferences_are_checked_on_folds_that_the_fit_had_not_seen() -> None:
    pairs = [
        replace(
            pair, prompt=number // 4, preference="ab"[pair.p_a_raw < 0.5] if number % 3 else None
        )
        for number, pair in enumerate(judged(200, overconfident))
    ]
    folds = [int(digest("fold", str(pair.prompt))[:12], 16) % 2 for pair in pairs]
    residuals, wrong = [], 0
    for number in (0, 1):
        fitted = fit([pair for pair, fold in zip(pairs, folds, strict=True) if fold != number])
        for pair, fold in zip(pairs, folds, strict=True):
            if fold == number and pair.preference:
                p = fitted.p_a(pair.votes)
                chosen, shared = (p, RIGHT) if pair.preference == "a" else (1 - p, WRONG)
                wrong += pair.gold != shared  # a tie for people is wrong, too
                residuals.append((pair.gold != shared) - (1 - chosen))
    check = Check.stored(fit(pairs, folds=2).figures)
    assert check is not None
    assert (check.pairs, check.prompts, check.wrong) == (len(residuals), 50, wrong)
    assert check.gap == pytest.approx(sum(residuals) / len(residuals))


def test_folds_and_fit_do_not_depend_on_the_order_of_the_pairs() -> None:
    pairs = judged(120, overconfident)
    shuffled = random.Random(5).sample(pairs, len(pairs))
    one, other = fit(pairs), fit(shuffled)
    assert one.weights == pytest.approx(other.weights, rel=1e-6)
    assert one.figures == pytest.approx(other.figures, abs=1e-9)


def test_identity_is_of_judge_and_numbers() -> None:
    pairs = judged(60, overconfident)
    once, twice = fit(pairs), fit(pairs)
    assert once.calibration_id == twice.calibration_id
    assert once.model_copy(update={"fitted_at": twice.fitted_at}) == twice
    other = fit_calibration(pairs, "cd" * 32, "/gold")
    assert (other.weights, other.calibration_id != once.calibration_id) == (once.weights, True)
    assert (once.gold, once.gold_pairs) == ("/gold", 60)
    assert once.fitted_with.startswith("scikit-learn ")


def test_too_little_gold_is_refused() -> None:
    decided = [pair for pair in judged(40, overconfident) if pair.gold != 0.5]
    ties = [pair for pair in judged(400, overconfident) if pair.gold == 0.5]
    assert fit(decided[:20]).gold_pairs == 20
    with pytest.raises(InputError, match=r"19 different gold pairs .* at least 20"):
        fit(decided[:19] + ties)
    with pytest.raises(InputError, match="19 different gold pairs"):
        fit(decided[:19] * 3)  # the same pairs again are no more gold
    one_side = [pair for pair in judged(80, overconfident) if pair.gold == RIGHT]
    with pytest.raises(InputError, match=r"gold prefers response_a in all \d\d pairs"):
        fit(one_side)
    few = [replace(pair, prompt=number % 19) for number, pair in enumerate(decided)]
    with pytest.raises(InputError, match=r"36 gold pairs are of 19 different prompts.* least 20"):
        fit(few)
    with pytest.raises(ValueError, match="folds: got 1"):
        fit(decided, folds=1)


def test_log_loss_by_hand() -> None:
    p, outcome = np.array([0.5, 1.0, 1.0]), np.array([0.5, 1.0, 0.0])
    expected = (np.log(2) - np.log(0.999) - np.log(0.001)) / 3
    assert log_loss(p, outcome) == pytest.approx(expected, abs=1e-12)
