"""Cascades under one bound: the path chosen on gold that calibrates, tested on other gold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import ndtr

from pipeline.aggregation.giving_order import AHEAD, Bools, Path, chosen_path, ranks
from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.fixed_sequence import fixed_sequence, thresholds_of

DRAWS = 2_000
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
        path = chosen_path(few, first[:2], first[2], ALPHA)
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


@pytest.mark.parametrize(("honest", "usual"), [(1.0, "A"), (0.5, "B")])
def test_of_independent_labels_few_bounds_fail(honest: float, usual: Path) -> None:
    violated, coverage, paths = simulated(Cascade(honest), 21, DRAWS)
    assert violated <= DELTA
    assert coverage > 0.3
    assert usual in paths


def test_of_clusters_few_bounds_fail() -> None:
    """Five labels a prompt, nearly all alike."""
    violated, coverage, _ = simulated(Cascade(0.5), 22, DRAWS, per_prompt=5, alike=0.9)
    assert violated <= DELTA + 0.01
    assert coverage > 0.15


def test_the_path_is_the_one_that_keeps_most() -> None:
    scores = np.repeat([0.95, 0.7], 100)
    by_last = np.repeat([False, True], 100)
    wrong: Ints = np.zeros(200, np.int64)
    both = (scores, by_last)
    assert chosen_path(both, both, wrong, ALPHA) == "A"  # everything holds either way
    wrong[:40] = 1  # the cheap judge is wrong where it is sure
    assert chosen_path(both, both, wrong, ALPHA) == "B"
    few = (scores[80:120], by_last[80:120])
    assert chosen_path(both, few, wrong[80:120], ALPHA) == "A"
    alone = (scores, np.zeros(200, np.bool_))
    assert chosen_path(alone, both, wrong, ALPHA) == "A"
