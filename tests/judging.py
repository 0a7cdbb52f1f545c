"""Judges pairs with the scripted engine in tests, without Ray."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa

from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine import Chat, Rendered, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.scripted_engine import ScriptedEngine
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.read_pairs import READ_ROW, Pairs
from pipeline.labeling.unit_runner import UnitRunner
from pipeline.media.media_store import MediaStore
from pipeline.parts.units import Unit
from pipeline.store.object_store import Store
from tests.shards import pair, read

Row = dict[str, Any]
JUDGE_ID = "ab" * 32


class Recording(ScriptedEngine):
    """The scripted engine, and what it was asked in which order.

    Attributes:
        asked: what it was asked.
        events: the user's text, when a reply begins and when it ends.
        gate: replies that have begun wait until this is set; by default none waits.
    """

    def __init__(self, judge: JudgeConfig, engine: EngineConfig) -> None:
        super().__init__(judge, engine)
        self.asked: list[tuple[Chat, Sampling]] = []
        self.events: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        self.asked.append((prompt.chat, sampling))
        self.events.append(prompt.chat.user)
        await self.gate.wait()
        reply = await super().reply(request_id, prompt, sampling)
        self.events.append(prompt.chat.user)
        return reply


def scripted(
    script: Row | None = None,
    judge: Row | None = None,
    root: str = "/nowhere",
    labeler: Labeler | None = None,
    **engine: Any,
) -> tuple[Judge, Recording]:
    """A judge on a scripted engine."""
    config = JudgeConfig.model_validate(judge or {})
    how = EngineConfig(kind="scripted", script=script or {}, decode_threads=2, **engine)
    recording = Recording(config, how)
    media = MediaStore((root,), config.media.max_bytes)
    return Judge(recording, config, how, media, labeler), recording


def pairs_of(rows: list[Row]) -> Pairs:
    """Rows as a worker gets them."""
    return Pairs(pa.array([read(row) for row in rows], READ_ROW))


def text_pair(number: int, mark: str = "", **more: Any) -> Row:
    """A pair without pictures; ``mark`` is in its prompt for the script to look for."""
    return pair(number, images=None, prompt=f"Question {number}? {mark}") | more


def unit(start: int, stop: int) -> Unit:
    """Rows of the one shard of these tests."""
    return Unit("s.parquet", "cd" * 32, start, stop)


def judge_rows(judge: Judge, rows: list[Row], start: int = 0) -> list[Row]:
    """The labels of some pairs, judged as one unit."""
    stamp = {"judge_id": JUDGE_ID, "run_id": "run"}
    where = unit(start, start + len(rows))
    return asyncio.run(judge.judge_unit(where, pairs_of(rows), stamp))


def runner(
    judge: Judge,
    output: Store,
    run_id: str = "run",
    max_deaths: int = 2,
    judge_id: str = JUDGE_ID,
    **more: Any,
) -> UnitRunner:
    """A fresh worker's runner."""
    return UnitRunner(judge, output, judge_id, run_id, max_deaths, **more)
