"""Takes units from pairs to committed parts, and finds the row that kills its worker.

A unit whose worker died ``max_deaths`` times is suspect. It is then judged alone on its worker,
in pieces, each marked and committed by itself: a piece during which the worker dies is cut
smaller, until one row is left that dies alone. That row is quarantined; its neighbours are not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.storage import Store
from pipeline.core.units import Unit
from pipeline.core.voting import Decision
from pipeline.workers.attempts import Attempts
from pipeline.workers.judge import Judge, label_row
from pipeline.workers.label_sink import commit_part, part_statuses
from schemas.labels import Reason, Status

PIECES = 8  # a suspect unit of 512 rows needs three cuts, and as many deaths, to find one row


@dataclass
class Receipt:
    """What became of a unit: counts only, cheap enough to send to the driver."""

    unit: Unit
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    judgments: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Counts rows of labels v1."""
        self.statuses.update(str(row["status"]) for row in rows)
        self.reasons.update(str(row["reason"]) for row in rows if row["reason"])
        for vote in (vote for row in rows for vote in row["votes"]):
            self.judgments += 1
            self.prompt_tokens += vote["prompt_tokens"]
            self.output_tokens += vote["output_tokens"]
            self.cached_tokens += vote["cached_tokens"]


class UnitRunner:
    """Runs units on one judge; several at once, a suspect one alone."""

    def __init__(
        self, judge: Judge, output: Store, judge_id: str, run_id: str, max_deaths: int
    ) -> None:
        """Binds a judge to the output store of a run."""
        self._judge, self._output, self._max_deaths = judge, output, max_deaths
        self._stamp = {"judge_id": judge_id, "run_id": run_id}
        self._attempts = Attempts(output, judge_id, run_id)
        self._turns = _Turns()

    async def run(self, unit: Unit, pairs: Sequence[Mapping[str, Any]]) -> Receipt:
        """Judges and commits a unit, or finds it committed.

        Raises:
            EngineDeadError: the worker must be replaced; the unit will be begun again.
        """
        receipt = Receipt(unit)
        deaths = await asyncio.to_thread(self._attempts.deaths, unit)
        if deaths < self._max_deaths:
            async with self._turns.shared():
                await self._once(unit, pairs, receipt)
        else:
            async with self._turns.alone():
                for piece in unit.split(PIECES):
                    await self._suspect(piece, _slice(unit, piece, pairs), receipt)
        return receipt

    async def _suspect(
        self, unit: Unit, pairs: Sequence[Mapping[str, Any]], receipt: Receipt
    ) -> None:
        deaths = await asyncio.to_thread(self._attempts.deaths, unit)
        if unit.rows == 1 and deaths >= self._max_deaths:
            await self._commit(unit, [self._killer(unit, pairs[0], deaths)], receipt)
        elif unit.rows == 1 or not deaths:
            await self._once(unit, pairs, receipt)
        else:
            for piece in unit.split(PIECES):
                await self._suspect(piece, _slice(unit, piece, pairs), receipt)

    async def _once(self, unit: Unit, pairs: Sequence[Mapping[str, Any]], receipt: Receipt) -> None:
        key = unit.part_key(self._stamp["judge_id"])
        if await asyncio.to_thread(self._output.size, key) is not None:
            receipt.add(await self._committed(unit))  # a worker died after it had committed
            return
        await asyncio.to_thread(self._attempts.begin, unit)
        rows = await self._judge.judge_unit(unit, pairs, self._stamp)
        await self._commit(unit, rows, receipt)

    async def _commit(self, unit: Unit, rows: list[dict[str, Any]], receipt: Receipt) -> None:
        judge_id = self._stamp["judge_id"]
        if not await asyncio.to_thread(commit_part, self._output, judge_id, unit, rows):
            rows = await self._committed(unit)  # another run was faster: its rows are the truth
        receipt.add(rows)

    async def _committed(self, unit: Unit) -> list[dict[str, Any]]:
        table = await asyncio.to_thread(
            part_statuses, self._output, self._stamp["judge_id"], unit
        )
        return list(table.to_pylist())

    def _killer(self, unit: Unit, pair: Mapping[str, Any], deaths: int) -> dict[str, Any]:
        decision = Decision(
            status=Status.QUARANTINED,
            reason=Reason.ENGINE_KILLED,
            detail=f"its worker died {deaths} times while judging this row alone",
        )
        where = {"shard": unit.shard, "unit": unit.name, "row": unit.start, **self._stamp}
        return label_row(pair, where, None, decision, [])


def _slice(
    unit: Unit, piece: Unit, pairs: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    return pairs[piece.start - unit.start : piece.stop - unit.start]


class _Turns:
    """Many share the worker, or one has it alone; who wants it alone is let in first."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._sharing = self._waiting = 0
        self._taken = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._taken and not self._waiting)
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
                await self._changed.wait_for(lambda: not self._taken and not self._sharing)
                self._taken = True
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            async with self._changed:
                self._taken = False
                self._changed.notify_all()
