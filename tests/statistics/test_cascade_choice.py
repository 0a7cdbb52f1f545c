"""The cheapest least confidences of a cascade: counts by hand, and bounds that are tested after."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from pipeline.aggregation.cascade_choice import (
    OFF,
    CheckedAnswers,
    Choice,
    Prices,
    Promise,
    _deciding,
    cheapest_choice,
    weighed,
)
from pipeline.aggregation.composition import Answer
from pipeline.aggregation.first_settled import FirstSettled
from pipeline.aggregation.giving_order import AHEAD, ranks
from pipeline.stats.fixed_sequence import fixed_sequence, thresholds_of

PRICES = Prices((1.0, 40.0), 2_000.0)
PROMISE = Promise(0.1, 0.05, 600)


def answers(sure: Any, wrong: Any, **changes: Any) -> CheckedAnswers:
    """Preferences of all judges, as (judges, pairs)."""
    confidence = np.asarray(sure, float)
    all_true = np.ones(confidence.shape, np.bool_)
    columns: dict[str, Any] = {
        "given": all_true, "sided": all_true, "weights": np.ones(confidence.shape[1])
    } | changes  # fmt: skip
    return CheckedAnswers(sure=confidence, wrong=np.asarray(wrong, np.bool_), **columns)


def two_judges(wrong_where_unsure: float) -> CheckedAnswers:
    """Of 200 pairs the first judge is sure of one half, and right; the second is always right."""
    sure = [np.repeat([0.9, 0.6], 100), np.full(200, 0.95)]
    unsure_wrong = np.arange(100) < wrong_where_unsure * 100
    wrong = [np.concatenate([np.zeros(100, np.bool_), unsure_wrong]), np.zeros(200, np.bool_)]
    return answers(sure, wrong)


def test_the_cheap_judge_settles_what_it_may() -> None:
    chosen = cheapest_choice(two_judges(0.3), PRICES, PROMISE)
    assert (chosen.accepts, chosen.asked) == ((0.9,), (1.0, 0.5))
    assert (chosen.price, chosen.kept, chosen.wrong) == (1 + 40 / 2, 1.0, 0.0)
    # Where errors leave room for all of its labels, the second judge is spared.
    spared = cheapest_choice(two_judges(0.1), PRICES, PROMISE)
    assert (spared.accepts, spared.asked, spared.price) == ((0.6,), (1.0, 0.0), 1.0)
    assert (spared.kept, spared.wrong) == (1.0, 0.05)
    assert spared.errors.sum() == 10


def test_a_judge_that_does_not_pay_is_not_asked() -> None:
    chosen = cheapest_choice(two_judges(0.3), Prices((30.0, 40.0), 2_000.0), PROMISE)
    assert (chosen.accepts, chosen.asked, chosen.price) == ((OFF,), (0.0, 1.0), 40.0)


def test_a_tie_of_the_first_judge_is_no_label_that_spares_people() -> None:
    both = two_judges(0.3)
    sided = both.sided.copy()
    sided[0, :50] = False
    tied = weighed(answers(both.sure, both.wrong, sided=sided), (0.9,), PRICES, PROMISE)
    assert (tied.kept, tied.total) == (0.75, 1 + 40 / 2 + 2_000 / 4)


def test_pairs_count_by_how_many_of_the_corpus_they_stand_for() -> None:
    weights = np.repeat([1.0, 3.0], 100)
    both = two_judges(0.3)
    chosen = weighed(answers(both.sure, both.wrong, weights=weights), (0.9,), PRICES, PROMISE)
    assert chosen.asked == (1.0, 0.75)


def test_errors_that_no_test_would_pass_keep_nothing() -> None:
    wrong = np.arange(200) % 4 == 0
    same = answers(np.full((2, 200), 0.8), [wrong, wrong])
    chosen = cheapest_choice(same, PRICES, PROMISE)
    assert (chosen.kept, chosen.total) == (0.0, chosen.price + 2_000)


def test_it_decides_as_the_rule_of_cascades_does() -> None:
    rng = np.random.default_rng(3)
    kinds = [("labeled", "a"), ("tie", None), ("abstained", None), ("quarantined", None)]
    rows = [
        [
            Answer(kind, choice, confidence=rng.choice([0.5, 0.7, 0.9]) if k < 2 else None)
            for k in rng.integers(0, 4, 3)
            for kind, choice in (kinds[k],)
        ]
        for _ in range(500)
    ]
    rows = [row for row in rows if any(each.given for each in row)]
    by_judge = list(zip(*rows, strict=True))
    sure = [[-1.0 if e.confidence is None else e.confidence for e in of] for of in by_judge]
    given = np.array([[each.given for each in of] for of in by_judge])
    checked = answers(sure, np.zeros((3, len(rows))), given=given)
    for accepts in ((0.7, 0.9), (0.0, 0.5), (OFF, 0.7), (OFF, OFF)):
        expected = [FirstSettled(accepts).combine(row).taken for row in rows]
        assert _deciding(checked, accepts)[1].tolist() == expected


def drawn(rng: np.random.Generator, size: int) -> CheckedAnswers:
    """Calibrated judges, right of .82 and .94 of pairs, both less where the two are near."""
    truth = rng.standard_normal(size)
    sure, wrong = [], []
    for right in (0.82, 0.94):
        like = np.sin((right - 0.5) * np.pi)
        seen = like * truth + np.sqrt(1 - like**2) * rng.standard_normal(size)
        sure.append(ndtr(np.abs(seen) * like / np.sqrt(1 - like**2)))
        wrong.append((seen > 0) != (truth > 0))
    return answers(sure, wrong)


def labels(checked: CheckedAnswers, chosen: Choice) -> tuple[Any, Any]:
    """What thresholds are of, and which labels are wrong, by a choice that is made."""
    by = _deciding(checked, chosen.accepts)[1]
    pairs = np.arange(len(by))
    scores = ranks(checked.sure[by, pairs], by == len(checked.sure) - 1, AHEAD[chosen.path])
    return scores, checked.wrong[by, pairs].astype(np.int64)


def test_of_chosen_cascades_few_bounds_fail() -> None:
    """300 pairs choose, 500 others test: the choice is made before these are looked at."""
    rng, draws, size = np.random.default_rng(31), 100, 500
    corpus = drawn(np.random.default_rng(0), 50_000)
    failed, kept, price = 0, 0.0, 0.0
    for _ in range(draws):
        chosen = cheapest_choice(drawn(rng, 300), PRICES, Promise(0.1, 0.05, size))
        all_scores, all_wrong = labels(corpus, chosen)
        tests = fixed_sequence(
            thresholds_of(all_scores[:2_000]), *labels(drawn(rng, size), chosen),
            np.arange(size), 0.1, 0.05,
        )  # fmt: skip
        passed = [test.threshold for test in tests if test.passed]
        given = all_scores >= (passed[-1] if passed else np.inf)
        failed += bool(given.any() and all_wrong[given].mean() > 0.1)
        kept += given.mean()
        price += chosen.price
    assert failed / draws <= 0.05
    assert kept / draws > 0.9
    assert price / draws < PRICES.judges[1] / 2
