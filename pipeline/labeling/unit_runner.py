"""Judges units and commits their parts; isolates a row that kills its worker.

Of units whose worker died once, at most three run at a time, so that a further death concerns few.
A unit whose worker died ``max_deaths`` times is isolated: it runs alone on its worker, so that one
more death is caused by it. It is then split into pieces, each marked and committed by itself, and a
piece during which the worker dies is split again, until one row is left that kills its worker
``max_deaths`` times. That row is quarantined; its neighbours are labelled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import pyarrow as pa

from pipeline.aggregation.decisions import Decision
from pipeline.labeling.attempts import Attempts
from pipeline.labeling.open_rows import OpenRows, Settled
from pipeline.labeling.pair_judge import Judge, label_row
from pipeline.labeling.planning.earlier_labels import EarlierLabels
from pipeline.labeling.planning.reopening import Reopening
from pipeline.labeling.read_pairs import Pairs
from pipeline.labeling.stop_mark import StopMark
from pipeline.labeling.unit_result import RowCounts, UnitResult
from pipeline.parts.commit import (
    commit_part,
    committed_rows,
    revise_part,
    shard_parts,
    uncommitted,
)
from pipeline.parts.forgotten import Forgotten
from pipeline.parts.label_index import LabelIndex, open_index
from pipeline.parts.part_files import asking_of, read_part
from pipeline.parts.part_keys import Part
from pipeline.parts.units import Unit
from pipeline.runtime.logs import log_fields
from pipeline.store.object_store import Store
from schemas.labels import NOT_ASKED, Reason, Status

logger = logging.getLogger(__name__)
Found = TypeVar("Found")
MAX_AFTER_DEATH = 3  # units at once on a worker, of those whose worker died once
_COMMITS = 8  # at once, of a unit that a stop has left with gaps
_PIECES = 8  # an isolated unit of 512 rows needs three splits, and as many deaths, to find one row


class UnitRunner:
    """Runs units on one judge: several at once, an isolated one alone."""

    def __init__(
        self,
        judge: Judge,
        output: Store,
        judge_id: str,
        run_id: str,
        max_deaths: int,
        retries: frozenset[Reason] = frozenset(),
        same_engine: UnitRunner | None = None,
        epoch: int = 0,
        forgotten: Forgotten | None = None,
        fence: Callable[[], None] = lambda: None,
        rerender: frozenset[str] = frozenset(),
        open_rows: OpenRows | None = None,
        settled_at: float | None = None,
    ) -> None:
        """Binds a judge to the output store of a run.

        Args:
            judge: judges the pairs.
            output: where parts and attempt marks are.
            judge_id: the judge's fingerprint.
            run_id: the run.
            max_deaths: after so many deaths of its worker, a unit is isolated.
            retries: quarantined rows to retry.
            same_engine: a runner of other pairs on the same engine; isolation covers both.
            epoch: of the lease under which the run writes.
            forgotten: pairs that are not to be judged; none by default.
            fence: called before each commit; raises once another run has taken the lease. A commit
                that is under way then harms nobody (``pipeline.parts.commit``).
            rerender: narrow kinds; see ``pipeline.labeling.planning.reopening``.
            open_rows: which rows a tier of a cascade is asked about; all by default.
            settled_at: see ``pipeline.labeling.planning.reopening``.
        """
        self._open_rows = open_rows
        self._forgotten, self._fence = forgotten or Forgotten(), fence
        self._reopening = Reopening(judge.config, run_id, retries, rerender, settled_at)
        self._judge, self._output, self._max_deaths = judge, output, max_deaths
        self._judge_id, self._run_id = judge_id, run_id
        self._stamp = {"judge_id": judge_id, "run_id": run_id, "epoch": epoch}
        self._attempts = Attempts(output, judge_id, run_id)
        self._index: LabelIndex | None = None
        self._index_opened = asyncio.Lock()
        self._turns: _Turns = same_engine._turns if same_engine else _Turns()
        self._after_death: asyncio.Semaphore = (
            same_engine._after_death if same_engine else asyncio.Semaphore(MAX_AFTER_DEATH)
        )
        self._stop: StopMark = same_engine._stop if same_engine else StopMark(output, run_id)

    async def run(self, unit: Unit, pairs: Pairs) -> UnitResult:
        """Judges and commits a unit, or finds it committed.

        Once the run is to stop, or has no votes left, the unit result counts the rows that were
        judged and committed until then: some of the unit's, or none.

        Raises:
            EngineDeadError: the worker must be replaced; another attempt at the unit follows.
        """
        counts = RowCounts(self._run_id)
        if await self._stop.noticed():
            return UnitResult(unit, counts, 0)
        with self._judge.activity.unit():
            result = await self._run(unit, pairs, counts)
        logger.info(
            "unit done", extra=log_fields(pairs=counts.pairs, seconds=round(result.seconds, 1))
        )
        return result

    async def _run(self, unit: Unit, pairs: Pairs, counts: RowCounts) -> UnitResult:
        began = time.monotonic()
        if not await self._in_store(uncommitted, unit):
            # Some rows are asked about again, or a worker died after it had committed the unit.
            await self._revise(unit, pairs, counts)
            return UnitResult(unit, counts, time.monotonic() - began)
        deaths = await asyncio.to_thread(self._attempts.deaths, unit, alone=False)
        if deaths < self._max_deaths:
            async with self._after_death if deaths else nullcontext(), self._turns.shared():
                await self._attempt(unit, pairs, counts, alone=False)
        else:
            logger.warning(
                "the unit's worker died; running the unit in isolation",
                extra=log_fields(deaths=deaths),
            )
            async with self._turns.alone():
                await self._isolate(unit, pairs, counts)
        return UnitResult(unit, counts, time.monotonic() - began, deaths=deaths)

    async def _revise(self, unit: Unit, pairs: Pairs, counts: RowCounts) -> None:
        """Asks again about rows of a committed unit, unless it keeps killing its worker."""
        async with self._turns.shared():
            part = await self._in_store(_part_of, unit)
            deaths = await asyncio.to_thread(self._attempts.deaths, unit, alone=False)
            if part is not None and deaths < self._max_deaths:
                table = await asyncio.to_thread(read_part, self._output, part.key)
                settled = await self._settled_before(unit)
                if await asyncio.to_thread(self._reopening.pending, table, settled):
                    await asyncio.to_thread(self._attempts.begin, unit, alone=False)
                    index = await self._newest_labels() if self._open_rows else None
                    known = (index, self._reopening, self._forgotten, settled)
                    before = EarlierLabels(table, *known)
                    rows = await self._judge_rows(unit, pairs, before)
                    if len(rows) < unit.rows:  # the run ends: the rest is still to be asked about
                        await self._revise_some(unit, part, table, rows, counts)
                        return
                    asking = await asyncio.to_thread(self._asking, unit)
                    await self._commit_revision(unit, part, rows, asking)
        counts.add_rows(await self._in_store(committed_rows, unit))

    async def _revise_some(
        self, unit: Unit, part: Part, table: pa.Table, rows: list[dict[str, Any]], counts: RowCounts
    ) -> None:
        """Commits what was asked again of a part before the run ended, if anything was."""
        if any(row["run_id"] == self._run_id for row in rows):
            asked = {row["row"]: row for row in rows}
            merged = [asked.get(row["row"], row) for row in table.to_pylist()]
            await self._commit_revision(unit, part, merged, asking_of(table))
            counts.add_rows(rows)

    async def _isolate(self, unit: Unit, pairs: Pairs, counts: RowCounts) -> None:
        if await self._stop.noticed() or await self._settled(unit, counts):
            return
        deaths = await asyncio.to_thread(self._attempts.deaths, unit, alone=True)
        if deaths == 0 or (unit.rows == 1 and deaths < self._max_deaths):
            await self._attempt(unit, pairs, counts, alone=True)
        elif unit.rows == 1:
            await self._commit(unit, [self._killer(unit, pairs[0], deaths)], counts)
        else:
            for piece in unit.split(_PIECES):
                part = pairs.part(piece.start - unit.start, piece.stop - unit.start)
                await self._isolate(piece, part, counts)

    async def _settled(self, unit: Unit, counts: RowCounts) -> bool:
        if await self._in_store(uncommitted, unit):
            return False
        rows = await self._in_store(committed_rows, unit)
        counts.add_rows(rows)
        return True

    async def _attempt(self, unit: Unit, pairs: Pairs, counts: RowCounts, *, alone: bool) -> None:
        await asyncio.to_thread(self._attempts.begin, unit, alone=alone)
        known = (await self._newest_labels(), self._reopening, self._forgotten)
        earlier = EarlierLabels(None, *known, await self._settled_before(unit))
        rows = await self._judge_rows(unit, pairs, earlier)
        with self._judge.activity.stage("commit"):
            runs = _runs_of(rows)
            if len(rows) < unit.rows:  # the run ends: not what lies between rows that it left out
                runs = [run for run in runs if any(row["status"] != NOT_ASKED for row in run)]
            await self._commit_runs(unit, runs, counts)

    async def _commit_runs(
        self, unit: Unit, runs: Sequence[list[dict[str, Any]]], counts: RowCounts
    ) -> None:
        """Commits runs of a unit's rows side by side: who stops the run does not wait for long."""
        slots = asyncio.Semaphore(_COMMITS)

        async def commit(rows: list[dict[str, Any]]) -> None:
            async with slots:
                piece = replace(unit, start=rows[0]["row"], stop=rows[-1]["row"] + 1)
                await self._commit(piece, rows, counts)

        try:
            async with asyncio.TaskGroup() as group:
                for rows in runs:
                    group.create_task(commit(rows))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _settled_before(self, unit: Unit) -> dict[int, Settled]:
        """The unit's rows that a judge before this one has settled."""
        if self._open_rows is None:
            return {}
        return await asyncio.to_thread(self._open_rows.settled, unit)

    def _asking(self, unit: Unit) -> str:
        asking = self._reopening.asking
        return self._open_rows.asking(asking, unit) if self._open_rows else asking

    async def _newest_labels(self) -> LabelIndex:
        """The judge's index as it was when the run began."""
        async with self._index_opened:
            if self._index is not None:
                return self._index
            index = await asyncio.to_thread(open_index, self._output, self._judge_id)
            self._index = index
            return index

    async def _judge_rows(
        self, unit: Unit, pairs: Pairs, earlier: EarlierLabels
    ) -> list[dict[str, Any]]:
        """Labels of the unit's rows; of some of them only if the run is to end meanwhile."""
        stopping = self._stop.noticed
        return await self._judge.judge_unit(unit, pairs, self._stamp, earlier, stopping)

    async def _commit(self, unit: Unit, rows: list[dict[str, Any]], counts: RowCounts) -> None:
        await asyncio.to_thread(self._fence)
        left = await self._in_store(uncommitted, unit)
        created = [await self._create(piece, _rows_of(piece, unit, rows)) for piece in left]
        if left != [unit] or not all(created):  # another run committed some: what is stored counts
            rows = await self._in_store(committed_rows, unit)
        counts.add_rows(rows)

    async def _commit_revision(
        self, unit: Unit, part: Part, rows: list[dict[str, Any]], asking: str
    ) -> None:
        await asyncio.to_thread(self._fence)
        how = (self._output, self._judge_id, unit, part, rows, asking)
        await asyncio.to_thread(revise_part, *how)

    async def _create(self, unit: Unit, rows: list[dict[str, Any]]) -> bool:
        asking = await asyncio.to_thread(self._asking, unit)
        how = (self._output, self._judge_id, unit, rows, asking)
        return await asyncio.to_thread(commit_part, *how)

    async def _in_store(self, look: Callable[[Store, str, Unit], Found], unit: Unit) -> Found:
        return await asyncio.to_thread(look, self._output, self._judge_id, unit)

    def _killer(self, unit: Unit, pair: Mapping[str, Any], deaths: int) -> dict[str, Any]:
        decision = Decision(
            status=Status.QUARANTINED,
            reason=Reason.ENGINE_KILLED,
            detail=f"its worker died {deaths} times while judging this row alone",
        )
        where = {"shard": unit.shard, "unit": unit.name, "row": unit.start, **self._stamp}
        return label_row(pair, where, None, decision, [], self._judge.policy_id)


def _part_of(store: Store, judge_id: str, unit: Unit) -> Part | None:
    """The part of exactly the unit's rows; None where other parts have them.

    That is so where rows are many or large enough that the reader has split the unit.
    """
    parts = shard_parts(store, judge_id, unit.shard_key).parts
    return next((part for part in parts if part.rows == (unit.start, unit.stop)), None)


def _rows_of(piece: Unit, unit: Unit, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = rows[piece.start - unit.start : piece.stop - unit.start]
    return [row | {"unit": piece.name} for row in own]


def _runs_of(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows in runs of consecutive ones, each of which can be a part."""
    runs: list[list[dict[str, Any]]] = []
    for row in rows:
        if runs and runs[-1][-1]["row"] + 1 == row["row"]:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


class _Turns:
    """Many units share the worker, or one runs alone; those that wait to run alone go first."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._sharing = self._waiting = 0
        self._alone = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            async with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: not self._alone and not self._sharing)
                self._alone = True
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            async with self._changed:
                self._alone = False
                self._changed.notify_all()
