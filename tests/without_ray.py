"""Labeling without Ray, in this process: for tests whose proof is what comes before or after it.

The run is the real one, with its reader, its worker and its commits; units come one after another.
What Ray does (pools, deaths, places, retries) is proven by tests that ask for ``shared_ray``.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.labeling import dataflow, judge_actor
from pipeline.labeling.cascade import cascade_run
from pipeline.labeling.cluster import ray_recorder, ray_session
from pipeline.labeling.judge_actor import JudgeActor
from pipeline.labeling.opened_units import OpenedUnits
from pipeline.labeling.read_pairs import ShardTask
from pipeline.labeling.run_budget import Spending
from pipeline.labeling.run_spec import RunSpec
from pipeline.labeling.unit_result import UnitResult, unit_results_of
from pipeline.runtime.stop import Stop
from tests.recording import Recorded

if TYPE_CHECKING:
    import pytest  # what runs in processes of chaos needs none


class _Worker(JudgeActor):
    """A worker whose end is not that of its process."""

    def _tick(self) -> None:
        """Has nothing to repeat."""

    def close(self) -> None:
        self._engine.close()
        self._logging.close()


def judge_here(
    tasks: Sequence[ShardTask] | OpenedUnits, spec: RunSpec, stop: Stop
) -> Iterator[UnitResult]:
    """In place of the flow on Ray: its reader, and one worker."""
    spending = Spending(spec.budget)

    async def take(votes: int, begun: bool, usd: float) -> bool:
        return spending.take(votes, begun, usd)

    reader, worker = dataflow._Reader(spec), _Worker(spec, take if spec.budget.counted else None)

    async def judged(row: pa.Table) -> list[pa.Table]:
        return [table async for table in worker(row)]

    with asyncio.Runner() as loop:
        try:
            for task in _opened(tasks) if isinstance(tasks, OpenedUnits) else tasks:
                data = pa.table({"task": pa.array([pickle.dumps(task)], pa.binary())})
                for row in reader(data):
                    if stop.asked:
                        return
                    for table in loop.run(judged(row)):
                        yield from unit_results_of(table)
        finally:
            worker.close()  # while its loop is there, in which connections end


def _opened(opened: OpenedUnits) -> Iterator[ShardTask]:
    while taken := opened.take(1):
        yield from taken


def no_session(*arguments: object) -> AbstractContextManager[None]:
    return nullcontext()


def they_fit(*arguments: object) -> bool:
    return True


def label_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, labeling runs are of this process alone."""
    monkeypatch.setattr(dataflow, "judge_shards", judge_here)
    monkeypatch.setattr(ray_session, "ray_session", no_session)
    monkeypatch.setattr(cascade_run, "pools_fit", they_fit)  # on Ray's nodes
    for user in (ray_recorder, judge_actor):
        monkeypatch.setattr(user, "RayRecorder", lambda judge_id: Recorded())
    # Of a worker on Ray, what it logs is in Ray's files, not among what the job says.
    monkeypatch.setattr(judge_actor, "logging_of", no_session)
