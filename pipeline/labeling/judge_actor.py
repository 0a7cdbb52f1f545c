"""The worker: one process, one engine, one judge. A plain class, which Ray runs as an actor."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine import Engine, Scorer
from pipeline.engines.engine_registry import start_engine, start_scorer
from pipeline.engines.shared_gpu import turn_to_start
from pipeline.labeling.attempts import Starts
from pipeline.labeling.cluster.ray_nodes import threads_for_media
from pipeline.labeling.cluster.ray_recorder import RayRecorder
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.prometheus_metrics import ENGINE_START_SECONDS
from pipeline.labeling.read_pairs import corpus_of, unit_of
from pipeline.labeling.run_budget import Purse, Take
from pipeline.labeling.run_spec import Corpus, RunSpec
from pipeline.labeling.unit_result import unit_result_table
from pipeline.labeling.unit_runner import UnitRunner
from pipeline.labeling.worker_activity import Activity
from pipeline.media.media_store import MediaStore
from pipeline.parts.forgotten import Forgotten
from pipeline.runtime.errors import EngineDeadError
from pipeline.runtime.logs import log_context, log_fields, logging_of
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import check_writer

logger = logging.getLogger(__name__)
_TICK_S = 5


class JudgeActor:
    """Judges units as they arrive, several at once, and yields a unit result for each."""

    def __init__(self, spec: RunSpec, take: Take | None = None) -> None:
        """Starts the engine.

        Args:
            spec: of the run.
            take: takes votes from the run's budget, if it has one.

        Raises:
            EngineStartError: it cannot be started, or starting it has killed too many workers.
        """
        config, workers = spec.config, spec.config.workers
        # For as long as the process lives: its standard error is its log file in Ray.
        self._logging = ExitStack()
        self._logging.enter_context(logging_of(spec.run_id, logging.INFO))
        output = Store(spec.output_uri)
        starts = Starts(output, spec.judge_id, spec.run_id)
        recorder = RayRecorder(spec.judge_id)
        with (
            turn_to_start(workers.gpus),
            starts.watched(workers.max, workers.max_start_failures),
        ):
            reward = config.judge.declared_format.family == "reward"
            start = start_scorer if reward else start_engine
            began = time.monotonic()  # waiting for another engine's start is no part of it
            self._engine: Engine | Scorer = start(config.judge, config.engine)
            seconds = round(time.monotonic() - began, 3)
        logger.info("engine started", extra=log_fields(kind=config.engine.kind, seconds=seconds))
        recorder.set(ENGINE_START_SECONDS, seconds)
        self._activity, self._recorder = Activity(recorder), recorder
        threading.Thread(target=self._tick, name="idle seconds", daemon=True).start()
        labeler = Labeler.of(config.judge, config.policy, spec.calibration)
        own, *others = spec.corpora
        threads = config.engine.decode_threads or threads_for_media(workers.gpus)
        how = config.engine.model_copy(update={"decode_threads": threads})
        media = _media(own, config)
        purse = Purse(take, spec.budget.token_price)
        judge = Judge(
            self._engine, config.judge, how, media, labeler, self._activity, purse, spec.seeds_by_id
        )
        ids = (spec.judge_id, spec.run_id, workers.max_deaths)
        lent: dict[str, Any] = {"forgotten": Forgotten.read(output), "epoch": spec.epoch}
        lent["fence"] = functools.partial(check_writer, output, spec.epoch)
        runner = UnitRunner(
            judge,
            output,
            *ids,
            spec.retries,
            rerender=spec.rerender,
            open_rows=spec.open_rows,
            settled_at=spec.settled_at,
            **lent,
        )
        self._runners = [runner]
        for corpus in others:
            other, store = judge.with_media(_media(corpus, config)), Store(corpus.output_uri)
            self._runners.append(UnitRunner(other, store, *ids, same_engine=runner, **lent))

    async def __call__(self, unit_row: pa.Table) -> AsyncIterator[pa.Table]:
        """Judges the unit of a one-row table of ``UNITS``; yields a one-row unit result."""
        unit, pairs = unit_of(unit_row)
        corpus = corpus_of(unit_row)
        with log_context(shard=unit.shard, unit=unit.name):
            try:
                result = await self._runners[corpus].run(unit, pairs)
            except EngineDeadError:
                # A live actor with a dead engine would fail every further task. When its process
                # exits, Ray starts another one and gives it the units in flight of this one.
                logger.exception("the engine died")
                os._exit(1)
        work = self._activity.take_work()
        yield unit_result_table(replace(result, corpus=corpus, work=work))

    def _tick(self) -> None:
        while True:
            time.sleep(_TICK_S)
            self._activity.tick()
            self._recorder.repeat()


def _media(corpus: Corpus, config: LabelConfig) -> MediaStore:
    roots = (*corpus.config.media_roots, corpus.uri)  # relative paths are below the first
    return MediaStore(roots, config.judge.media.max_bytes)
