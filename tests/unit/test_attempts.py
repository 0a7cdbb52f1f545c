"""Deaths are counted over runs; what may have been a run's own end is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.labeling.attempts import Attempts, Starts
from pipeline.runtime.errors import EngineStartError
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, unit


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("earlier", "own", "deaths"),
    [
        ([], 0, 0),
        ([], 1, 1),
        ([], 3, 3),
        ([1], 0, 0),  # that run itself may have been ended
        ([2], 0, 1),
        ([1, 1, 1], 0, 0),
        ([3, 2], 2, 5),
    ],
)
def test_deaths(tmp_path: Path, alone: bool, earlier: list[int], own: int, deaths: int) -> None:
    store = Store(str(tmp_path))
    for number, count in enumerate([*earlier, own]):
        attempts = Attempts(store, JUDGE_ID, f"20260101T00000{number}-abc")
        for _ in range(count):
            attempts.begin(unit(0, 8), alone=alone)
    assert attempts.deaths(unit(0, 8), alone=alone) == deaths
    assert attempts.deaths(unit(0, 8), alone=not alone) == 0
    assert attempts.deaths(unit(0, 4), alone=alone) == 0
    other = Attempts(store, "ef" * 32, f"20260101T00000{len(earlier)}-abc")
    assert other.deaths(unit(0, 8), alone=alone) == 0


def start(starts: Starts, lives: bool, max_failures: int) -> None:
    """One start of a worker; one that dies leaves its block by no known way."""
    with starts.watched(1, max_failures):
        if not lives:
            raise KeyboardInterrupt


@pytest.mark.parametrize("max_failures", [0, 1, 3])
def test_an_engine_that_never_starts_ends_the_run(tmp_path: Path, max_failures: int) -> None:
    starts = Starts(Store(str(tmp_path)), JUDGE_ID, "run")
    for _ in range(1 + max_failures):
        with pytest.raises(KeyboardInterrupt):
            start(starts, False, max_failures)
    with pytest.raises(EngineStartError, match=f"died {1 + max_failures} times"):
        start(starts, True, max_failures)
    start(Starts(Store(str(tmp_path)), JUDGE_ID, "next"), True, max_failures)


def test_starts_that_succeed_earn_further_ones(tmp_path: Path) -> None:
    starts = Starts(Store(str(tmp_path)), JUDGE_ID, "run")
    for _ in range(4):
        start(starts, True, 1)
        with pytest.raises(KeyboardInterrupt):
            start(starts, False, 1)
    start(starts, True, 1)
