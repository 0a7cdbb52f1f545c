"""The accuracy of a snapshot by people's answers: known answers, and coverage in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.stats.audit_estimates import accuracy_of_sample, accuracy_of_weighted
from pipeline.stats.wilson import student
from schemas.quality import Rate

Y = np.array([1, 1, 0, 1, 1, 0, 1, 1, 1, 1.0])
F = np.array([0.9, 0.8, 0.6, 0.95, 0.7, 0.55, 0.9, 0.85, 0.6, 0.75])
ALL = np.concatenate([F, np.linspace(0.5, 1, 90)])
CORPUS = (100, float(ALL.mean()), float(ALL.var()))


def test_known_answers() -> None:
    found = accuracy_of_sample(Y, F, np.arange(10), CORPUS)
    assert found == Rate(pytest.approx(0.7910, abs=5e-5), None, None, 10)  # type: ignore[arg-type]
    # Twenty clusters of one each, twice the same: the interval is that of the standard error.
    twice = accuracy_of_sample(np.tile(Y, 2), np.tile(F, 2), np.arange(20), CORPUS)
    rest = np.tile(Y - F, 2)
    error = math.sqrt(rest.var(ddof=1) / 20 + CORPUS[2] / 100)
    assert twice.high is not None
    assert twice.value is not None
    assert twice.high - twice.value == pytest.approx(student(20) * error)
    once = math.sqrt((Y - F).var(ddof=1) / 10 + CORPUS[2] / 100)
    assert once == pytest.approx(0.1087, abs=5e-5)


def test_the_known_answer_of_unequal_probabilities() -> None:
    chance = np.array([0.5, 0.1, 0.1, 0.25])
    wrong = np.array([1, 0, 0, 1.0])
    found = accuracy_of_weighted(1 - wrong, np.zeros(4), np.arange(4), chance, 0.0)
    assert found.value == pytest.approx(1 - 6 / 26)


def test_confidence_that_tells_nothing_moves_nothing() -> None:
    found = accuracy_of_sample(Y, np.zeros(10), np.arange(10), (100, 0.0, 0.0))
    assert found.value == pytest.approx(0.8)
    against = accuracy_of_sample(Y, 1 - F, np.arange(10), (100, float(1 - ALL.mean()), 0.02))
    assert against.value == pytest.approx(0.8)
    assert accuracy_of_sample(Y[:0], F[:0], np.arange(0), CORPUS) == Rate(None, None, None, 0)
    assert accuracy_of_weighted(Y[:0], F[:0], np.arange(0), F[:0], 0.5).n == 0


@pytest.mark.parametrize("how", ["random", "clustered", "weighted", "miscalibrated"])
def test_intervals_cover_at_two_hundred(how: str) -> None:
    """Of 2,000 audits of 200 pairs each, 93 to 97 % have the truth in their interval."""
    rng = np.random.default_rng(6)
    size = 20_000
    stated = 0.5 + 0.5 * rng.beta(2.1, 0.9, size)
    truth = stated if how != "miscalibrated" else 0.4 + 0.5 * stated
    prompts = np.arange(size) // (5 if how == "clustered" else 1)
    alike = rng.normal(0, 0.15, size)[prompts] if how == "clustered" else 0.0
    right = (rng.random(size) < np.clip(truth + alike, 0, 1)).astype(float)
    target = float(right.mean())
    chance = np.maximum(np.sqrt(stated * (1 - stated)), 0.15)
    chance = np.minimum(1.0, 200 * chance / chance.sum())
    covered, draws = 0, 2_000
    mean, variance = float(stated.mean()), float(stated.var())
    for _ in range(draws):
        if how == "clustered":
            groups = rng.choice(size // 5, 40, replace=False)
            drawn = (groups[:, None] * 5 + np.arange(5)).ravel()
        elif how == "weighted":
            drawn = np.flatnonzero(rng.random(size) < chance)
        else:
            drawn = rng.choice(size, 200, replace=False)
        some = (right[drawn], stated[drawn], prompts[drawn])
        if how == "weighted":
            found = accuracy_of_weighted(*some, chance[drawn], mean)
        else:
            found = accuracy_of_sample(*some, (size, mean, variance))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= target <= found.high
    assert 0.93 <= covered / draws <= 0.97
