"""A simulated labeling run: the real plan, index, unit runner and checks; only votes are random.

In place of Ray, units run one after another in the process, and what the runner gives to threads
runs at once: every request is one of the simulated process.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.aggregation.evidence import next_orders
from pipeline.aggregation.labeler import Labeler
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.renderings import rendering_of
from pipeline.judging.votes import Vote, standing
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.planning.plan import plan_shards
from pipeline.labeling.planning.reconcile import check_coverage
from pipeline.labeling.planning.reopening import Reopening
from pipeline.labeling.planning.settled_parts import unsettled_parts
from pipeline.labeling.read_pairs import Pairs
from pipeline.labeling.unit_runner import UnitRunner
from pipeline.labeling.worker_activity import Activity
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import shard_key
from pipeline.parts.forgotten import Forgotten
from pipeline.parts.index_update import mark_asked, update_index
from pipeline.parts.units import Unit
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError, ReconcileError, RowRejected
from pipeline.runtime.stop import Stop
from pipeline.snapshots.live_shards import live_shards
from pipeline.store.host import Host
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import check_writer
from schemas.labels import Reason
from tests.calibrations import scored
from tests.judging import pairs_of
from tests.shards import pair
from tests.simulator.invariants import BrokenPromiseError
from tests.simulator.simulated_store import Inline

_SHOWN = rendering_of(images=False, videos=False, ended=False)
_UNREADABLE = 0.25  # of rows; and of pairs, of which no reply can be read


@dataclass(frozen=True)
class Identified:
    """What stands for a row that was read."""

    pair_hash: str
    cluster: str = "ab" * 32
    alike: str = ""
    rubric: None = None
    content: None = None
    kinds: frozenset[str] = frozenset()


class RandomJudge(Judge):
    """Reuses and decides as the real one does; what it is asked has random answers."""

    def __init__(
        self, chance: random.Random, host: Host, judge: JudgeConfig, labeler: Labeler
    ) -> None:
        self.activity = Activity()
        self._chance, self._host = chance, host
        self._judge, self._labeler, self._format = judge, labeler, judge.declared_format
        self._prompting: Any = self
        self._seeds_by_id = False

    def identify(self, pair: Mapping[str, Any]) -> Identified:
        return Identified(digest(pair["pair_id"]))

    def prepare(self, row: Any) -> Any:
        if self._chance.random() < _UNREADABLE:
            raise RowRejected(Reason.MEDIA_CORRUPT, "no picture")
        return row

    async def judge_unit(self, unit: Unit, pairs: Pairs, stamp: Any, *rest: Any) -> Any:
        earlier, _stopping = rest
        rows = []
        for offset in range(len(pairs)):
            where = {"shard": unit.shard, "unit": unit.name, **stamp, "row": unit.start + offset}
            row = await self.judge_pair(pairs[offset], where, earlier)
            if row["run_id"] == stamp["run_id"]:
                row["judged_at"] = self._host.now()
            rows.append(row)
        return rows

    async def _vote(self, prepared: Any, votes: list[Vote], where: Mapping[str, Any]) -> None:
        budget, hashed = self._judge.votes, prepared.pair_hash
        unreadable, run_id = self._chance.random() < _UNREADABLE, where["run_id"]
        while orders := next_orders(self._format, standing(votes), budget, 2, hashed):
            for order in orders:
                vote = scored(order, self._chance.randint(1, 10), self._chance.randint(1, 10))
                if unreadable:
                    vote = Vote(order=order, seed=7, outcome=Reason.MALFORMED)
                seed = self._chance.getrandbits(31)  # no two votes are alike
                votes.append(replace(vote, seed=seed, run_id=run_id, rendering=_SHOWN))

    async def _in_thread(self, work: Any, *arguments: object) -> Any:
        return work(*arguments)


@dataclass(frozen=True)
class LabelingRun:
    """One labeling run, as ``pipeline.labeling.label_run`` does it."""

    source: Store
    output: Store
    judge: RandomJudge
    judge_id: str
    lease: Lease
    stop: Stop
    forgotten: Forgotten

    def go(self, unit_rows: int, reasons: frozenset[Reason]) -> None:
        """Plans, judges and checks.

        Args:
            unit_rows: rows of a unit.
            reasons: quarantined rows to retry.

        Raises:
            BrokenPromiseError: rows are in no part, or in two.
        """
        again = Reopening(self.judge.config, self.lease.run_id, reasons)
        index = update_index(self.output, self.judge_id)
        unsettled = unsettled_parts(self.output, self.judge_id, again.asking, index)
        plan = plan_shards(
            self.source, "", self.output, InputConfig(unit_rows=unit_rows), self.judge.config,
            self.judge_id, reopening=again, unsettled=unsettled, read_published=live_shards,
        )  # fmt: skip
        ids = (self.judge_id, self.lease.run_id, 2)
        epoch = self.lease.epoch
        runner = UnitRunner(
            self.judge, self.output, *ids, reasons, epoch=epoch, forgotten=self.forgotten,
            fence=functools.partial(check_writer, self.output, epoch),
        )  # fmt: skip
        with asyncio.Runner() as loop:
            loop.get_loop().set_default_executor(InlineThreads())
            for task in plan.tasks:
                for unit in task.units:
                    self.stop.check("a unit was the next step")
                    loop.run(runner.run(unit, self._pairs(unit)))
        try:
            check_coverage(plan, self.output, self.judge_id, self.stop)
        except ReconcileError as error:
            raise BrokenPromiseError(f"{self.lease.run_id}: {error}") from error
        if plan.settled:
            mark_asked(index, self.output, dict.fromkeys(plan.settled, again.asking))

    def _pairs(self, unit: Unit) -> Pairs:
        """The pairs of a unit, if its shard is the version that was planned."""
        data = self.source.read(unit.shard)
        if shard_key(unit.shard, len(data), hashlib.md5(data).hexdigest()) != unit.shard_key:
            raise InputError(f"{unit.shard} was rewritten after it was planned")
        rows = pq.read_table(pa.BufferReader(data), use_threads=False).to_pylist()
        return pairs_of([pair(0, **row) for row in rows[unit.start : unit.stop]])


class InlineThreads(ThreadPoolExecutor):
    """Runs in the caller what asyncio gives to threads."""

    def submit(self, act: Any, /, *args: Any, **more: Any) -> Future[Any]:
        return Inline().submit(act, *args, **more)
