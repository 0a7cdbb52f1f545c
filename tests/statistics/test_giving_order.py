"""Cascades under one bound: the path chosen on gold that calibrates, tested on other gold."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import ndtr

from pipeline.aggregation import giving_order
from pipeline.aggregation.error_bound import _refusal
from pipeline.aggregation.giving_order import AHEAD, Bools, Calibrating, Path, chosen_path, ranks
from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.fixed_sequence import Threshold, fixed_sequence, thresholds_of
from schemas.error_bounds import BoundTest, ErrorBound
from schemas.gold import GoldSet

DRAWS = pytest.mark.parametrize("draws", [500, pytest.param(2_000, marks=pytest.mark.long)])
ALPHA, DELTA = 0.1, 0.05


@dataclass(frozen=True)
class Cascade:
    """A cheap judge that decides what it is sure of, and a better one for the rest.

    Attributes:
        honest: how much of the cheap judge's confidence beyond one half is true.
    """

    honest: float

    def labels(self, rng: np.random.Generator, count: int) -> tuple[Floats, Bools, Floats]:
        """Confidence, whether the last judge gave the label, and how likely it is right."""
        cheap = 0.5 + 0.5 * rng.beta(1.5, 1.5, count)
        dear = 0.5 + 0.5 * rng.beta(2.1, 0.7, count)
        by_last = cheap < 0.8
        right = np.where(by_last, dear, 0.5 + self.honest * (cheap - 0.5))
        return np.where(by_last, dear, cheap), by_last, right


def simulated(
    cascade: Cascade, seed: int, draws: int, per_prompt: int = 1, alike: float = 0.0
) -> tuple[float, float, set[Path]]:
    """The share of draws whose bound does not hold, the mean coverage, and the paths taken.

    Each draw has 300 pairs that calibrate and 500 that test.
    """
    rng = np.random.default_rng(seed)
    scores, by_last, right = cascade.labels(np.random.default_rng(0), 200_000)
    corpus, few = (scores, by_last), (scores[:1_000], by_last[:1_000])
    steps = {path: thresholds_of(ranks(*corpus, ahead)) for path, ahead in AHEAD.items()}
    errors = {
        path: {s.value: 1 - right[ranks(*corpus, AHEAD[path]) >= s.value].mean() for s in each}
        for path, each in steps.items()
    }
    violated, coverage, paths = 0, 0.0, set[Path]()
    for _ in range(draws):
        first = checked(rng, cascade, 300, per_prompt, alike)
        path = chosen_path(few, calibrating(*first[:3]), 500, ALPHA, DELTA)
        paths.add(path)
        score, last, wrong, prompts = checked(rng, cascade, 500, per_prompt, alike)
        tests = fixed_sequence(
            steps[path], ranks(score, last, AHEAD[path]), wrong, prompts, ALPHA, DELTA
        )
        passed = [test for test in tests if test.passed]
        if passed:
            violated += errors[path][passed[-1].threshold] > ALPHA
            coverage += passed[-1].coverage
    return violated / draws, coverage / draws, paths


@pytest.fixture
def one_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds of the simulated corpus, the same in all draws, are found once."""

    @functools.cache
    def found(corpus: bytes) -> list[Threshold]:
        return thresholds_of(np.frombuffer(corpus))

    monkeypatch.setattr(giving_order, "thresholds_of", lambda corpus: found(corpus.tobytes()))


def calibrating(scores: Floats, by_last: Bools, wrong: Ints) -> Calibrating:
    """Of pairs that were drawn alike."""
    return Calibrating(scores, by_last, wrong, np.ones(len(wrong)))


def checked(
    rng: np.random.Generator, cascade: Cascade, size: int, per_prompt: int, alike: float
) -> tuple[Floats, Bools, Ints, Ints]:
    scores, by_last, right = cascade.labels(rng, size)
    prompts: Ints = np.arange(size) // per_prompt
    luck = ndtr(
        math.sqrt(alike) * rng.standard_normal(size)[prompts]
        + math.sqrt(1 - alike) * rng.standard_normal(size)
    )
    return scores, by_last, (luck > right).astype(np.int64), prompts


@DRAWS
@pytest.mark.usefixtures("one_corpus")
@pytest.mark.parametrize(("honest", "usual"), [(1.0, "A"), (0.5, "B")])
def test_of_independent_labels_few_bounds_fail(honest: float, usual: Path, draws: int) -> None:
    violated, coverage, paths = simulated(Cascade(honest), 21, draws)
    assert violated <= DELTA
    assert coverage > 0.3
    assert usual in paths


@DRAWS
@pytest.mark.usefixtures("one_corpus")
def test_of_clusters_few_bounds_fail(draws: int) -> None:
    """Five labels a prompt, nearly all alike."""
    violated, coverage, _ = simulated(Cascade(0.5), 22, draws, per_prompt=5, alike=0.9)
    assert violated <= DELTA + 0.01
    assert coverage > 0.15


def test_the_path_is_the_one_that_keeps_most() -> None:
    scores = np.repeat([0.95, 0.7], 100)
    by_last = np.repeat([False, True], 100)
    wrong: Ints = np.zeros(200, np.int64)
    both, promise = (scores, by_last), (200, ALPHA, DELTA)
    assert chosen_path(both, calibrating(*both, wrong), *promise) == "A"  # all hold either way
    wrong[:40] = 1  # the cheap judge is wrong where it is sure
    gold = calibrating(*both, wrong)
    assert chosen_path(both, gold, *promise) == "B"
    few = calibrating(scores[80:120], by_last[80:120], wrong[80:120])
    assert chosen_path(both, few, *promise) == "A"
    alone = (scores, np.zeros(200, np.bool_))
    assert chosen_path(alone, gold, *promise) == "A"
    # Drawn so often that its errors stand for few pairs of the corpus, it is good enough.
    weights = np.where(wrong == 1, 0.01, 1.0)
    assert chosen_path(both, replace(gold, weights=weights), *promise) == "A"


def test_errors_above_the_first_threshold_that_is_tested_end_no_path() -> None:
    """One error among the five surest says nothing: the tests begin where enough are checked."""
    scores = np.linspace(1, 0.5, 200)
    by_last = np.arange(200) % 2 == 1
    wrong: Ints = np.zeros(200, np.int64)
    wrong[[0, 2, 4]] = 1
    corpus = (np.round(scores, 1), by_last)
    gold = calibrating(*corpus, wrong)
    sure = (ranks(*corpus, AHEAD["A"]) == 1.0).sum()
    assert wrong[:sure].mean() > ALPHA
    assert chosen_path(corpus, gold, 200, ALPHA, DELTA) == "A"


def test_a_threshold_is_said_as_the_confidence_of_each_judge() -> None:
    test = BoundTest(1.63, 0.4, 80, 9, 80, 80.0, 0.2, passed=False)
    bound = ErrorBound(
        key="",
        max_error=0.05,
        confidence=0.95,
        loss="strict",
        delta=0.05,
        attempt=1,
        tries=1,
        gold_set="s",
        frames=(),
        frame_pairs=500,
        drawn=200,
        answered=200,
        cannot_say=0,
        disputed=0,
        checked=200,
        weighted=False,
        approximate=False,
        shift_p=None,
        min_confidence=None,
        tests=(test,),
        path="B",
        ahead=1.0,
    )
    said = _refusal(bound, GoldSet("s", "2026-11-30T00:00:00Z", "run"))
    assert "with a confidence of 0.63 or more of the last judge, 9 are wrong" in said
    both = "a confidence of 0.6 or more of the last judge, of 0.8 of others"
    assert replace(bound, ahead=0.2).reaching(0.8) == both
    assert replace(bound, ahead=0.0).reaching(0.8) == "a confidence of 0.8 or more"
