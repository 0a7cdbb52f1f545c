"""The flow of labeling on Ray Data: the only module that composes it.

shard tasks → read_units (CPU tasks) → JudgeActor (one engine each; commits parts) → unit results

Where a judge of a cascade works beside the one before it, its shard tasks are what that one has
opened by then: a task that takes no CPU receives them from an actor beside the driver.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.labeling.cluster.ray_nodes import nodes_of_cluster
from pipeline.labeling.flow_size import nodes_beside, readers, units_in_flight, workers_at_start
from pipeline.labeling.judge_actor import JudgeActor
from pipeline.labeling.opened_units import OpenedUnits
from pipeline.labeling.planning.committed_shards import CommittedShard
from pipeline.labeling.planning.planned_version import of_planned_version
from pipeline.labeling.planning.shard_planner import ShardPlan, ShardPlanner, map_threads
from pipeline.labeling.read_pairs import ShardTask, read_units
from pipeline.labeling.run_budget import RunBudget, Spending, Take
from pipeline.labeling.run_spec import RunSpec
from pipeline.labeling.stop_mark import StopMark
from pipeline.labeling.stop_watch import StopBudgetOver, StopWatch
from pipeline.labeling.unit_result import UnitResult, unit_results_of
from pipeline.runtime import errors
from pipeline.runtime.errors import PairmillError, RayLostError
from pipeline.runtime.faults import sentence_of
from pipeline.runtime.stop import Stop
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store

_SHARDS_A_TASK = 128
_SPOT_WAIT_S = 24 * 3600  # waiting for capacity is no failure
_POOL_GROWS_AT = 1.0  # units in flight over units that all workers may judge at once


def judge_shards(
    tasks: Sequence[ShardTask] | OpenedUnits, spec: RunSpec, stop: Stop
) -> Iterator[UnitResult]:
    """Judges every unit of ``tasks``; yields a unit result when a unit is committed.

    Ends early after a stop is asked for: once what was in flight is committed, at the latest after
    ``workers.stop_seconds``.

    Raises:
        PairmillError: a stage met an error that the user can act on.
    """
    take = _SharedSpending(spec.budget) if spec.budget.counted else None
    _configure(DataContext.get_current())
    how = (spec, take)
    for flow in _opened(tasks, *how) if isinstance(tasks, OpenedUnits) else _planned(tasks, *how):
        if stop.asked:
            return
        watch = partial(StopWatch, stop, spec)  # Ray Data calls it without arguments
        # Of the flow, which has a copy: what is Ray's own is that of all judges side by side.
        flow.context.custom_execution_callback_classes = [watch]  # type: ignore[list-item]
        deaths = spec.config.workers.max_start_failures
        flow.context.max_consecutive_actor_init_deaths = deaths
        try:
            for table in tables_of(flow):
                yield from unit_results_of(table)
        except StopBudgetOver:
            return


def tables_of(flow: ray.data.Dataset) -> Iterator[pa.Table]:
    """The blocks that a flow yields, each as soon as it is ready.

    Raises:
        PairmillError: a stage met an error that the user can act on.
    """
    try:
        # A block that is fetched ahead is held until the next one comes, which may take minutes.
        yield from flow.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except RayError as error:
        raise user_error(error) from error


def waves(tasks: Sequence[ShardTask], most_units: int) -> Iterator[list[ShardTask]]:
    """Groups shard tasks so that none but a single huge shard exceeds ``most_units``."""
    wave: list[ShardTask] = []
    units = 0
    for task in tasks:
        if wave and units + len(task.units) > most_units:
            yield wave
            wave, units = [], 0
        wave.append(task)
        units += len(task.units)
    if wave:
        yield wave


class _SharedSpending:
    """A :class:`Spending` in an actor beside the driver, which every worker asks."""

    def __init__(self, budget: RunBudget) -> None:
        self._actor: Any = _beside_driver(Spending).remote(budget)

    async def __call__(self, votes: int, begun: bool, usd: float) -> bool:
        return bool(await self._actor.take.remote(votes, begun, usd))


class _Handover:
    """Shard tasks on their way from the driver to the flow of a later judge; an actor.

    What was handed over stays known by its number: Ray runs a task again whose node is lost, and
    goes on with what the second run yields behind what the first one has.
    """

    def __init__(self) -> None:
        self._handed: list[list[ShardTask] | None] = []
        self._changed = asyncio.Condition()

    async def put(self, tasks: list[ShardTask] | None) -> None:
        """Adds tasks; None ends them."""
        async with self._changed:
            self._handed.append(tasks)
            self._changed.notify_all()

    async def get(self, number: int) -> list[ShardTask] | None:
        """What was put as the ``number``-th, once it was."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._handed) > number)
        return self._handed[number]


def _planned(
    tasks: Sequence[ShardTask], spec: RunSpec, take: Take | None
) -> Iterator[ray.data.Dataset]:
    """A flow for each wave of units."""
    for wave in waves(tasks, spec.config.workers.wave_units):
        yield _flow(source_of(_blocks(wave)), wave, spec, take)


def _opened(opened: OpenedUnits, spec: RunSpec, take: Take | None) -> Iterator[ray.data.Dataset]:
    """A flow for each wave of units, to which they are handed over as they are opened."""
    left = sum(len(task.units) for task in opened.tasks)
    failed: list[BaseException] = []
    while left:
        handover = _beside_driver(_Handover).remote()
        size = min(left, spec.config.workers.wave_units)
        passing = threading.Thread(
            target=_hand_over, args=(opened, handover, size, failed), name="hand over", daemon=True
        )
        passing.start()
        source = source_of([pa.table({"wave": [0]})]).map_batches(
            _Receiver(handover),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=0,
            compute=TaskPoolStrategy(1),
        )
        yield _flow(source, opened.tasks, spec, take, at_start=spec.config.workers.min)
        passing.join()
        for error in failed:
            raise error
        left -= size


def _hand_over(opened: OpenedUnits, handover: Any, size: int, failed: list[BaseException]) -> None:
    """Hands so many units over, or fewer if no more are opened; ``failed`` gets an error of ours.

    The flow meets one of Ray, too; it ends in any case.
    """
    with suppress(RayError):
        try:
            while size and (tasks := opened.take(size)):
                size -= sum(len(task.units) for task in tasks)
                ray.get(handover.put.remote(tasks))
        except BaseException as error:  # noqa: BLE001  raised again by who waits for this thread
            if not isinstance(error, RayError):
                failed.append(error)
        finally:
            ray.get(handover.put.remote(None))


class _Receiver:
    """The first stage of a later judge: yields shard tasks one at a time, as they are opened."""

    def __init__(self, handover: Any) -> None:
        self._handover = handover
        self.__name__ = "receive_tasks"

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for number in itertools.count():
            tasks = ray.get(self._handover.get.remote(number))
            if tasks is None:
                return
            yield from _blocks(tasks)


def source_of(blocks: list[pa.Table]) -> ray.data.Dataset:
    """A source of a flow.

    Not ``from_arrow``: it looks at each block in a task of its own, which needs a worker before the
    flow has begun, and of which 44 kB stay in this process.
    """
    source: ray.data.Dataset = ray.data.from_blocks(blocks)
    return source


def _blocks(tasks: Sequence[ShardTask]) -> list[pa.Table]:
    return [pa.table({"task": pa.array([pickle.dumps(task)], pa.binary())}) for task in tasks]


def _beside_driver(kind: type) -> Any:
    """An actor class whose actors live where the driver does."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=here)


def _flow(
    source: ray.data.Dataset,
    tasks: Sequence[ShardTask],
    spec: RunSpec,
    take: Take | None,
    at_start: int | None = None,
) -> ray.data.Dataset:
    """The flow of ``tasks``, which come from ``source``.

    Args:
        source: yields the tasks.
        tasks: all that may come.
        spec: of the run.
        take: takes votes from the run's budget, if it has one.
        at_start: workers to start at once; by default as many as ``tasks`` need.
    """
    workers = spec.config.workers
    nodes = nodes_beside(nodes_of_cluster(), workers, spec.beside)
    in_flight = units_in_flight(tasks, spec.config, nodes, spec.share)
    pool = ActorPoolStrategy(
        min_size=workers.min,
        max_size=workers.max,
        initial_size=at_start or workers_at_start(tasks, spec.config, nodes, in_flight.handed_over),
        max_concurrent_calls_per_actor=in_flight.judged,
        max_tasks_in_flight_per_actor=in_flight.handed_over,
    )
    return source.map_batches(
        _Reader(spec),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=workers.read_cpus,
        compute=TaskPoolStrategy(readers(tasks, spec.config, nodes)),
    ).map_batches(
        JudgeActor,
        fn_constructor_args=(spec, take),
        batch_size=1,
        batch_format="pyarrow",
        compute=pool,
        num_gpus=workers.gpus,
        num_cpus=workers.cpus,  # the default of a GPU actor is 1
    )


def _configure(context: DataContext) -> None:
    """Sets what is the same for all flows of this process."""
    # One block for each unit: Ray would join small units to one block, for one actor.
    context.target_max_block_size = 1
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    # Ray's own 1.75 is beyond what workers may have in flight here: the pool would never grow.
    context.autoscaling_config.actor_pool_util_upscaling_threshold = _POOL_GROWS_AT
    context.execution_no_progress_timeout_s = _SPOT_WAIT_S


class _Reader:
    """The read stage: receives shard tasks, yields their units one at a time."""

    def __init__(self, spec: RunSpec) -> None:
        self._corpora, self._output = spec.corpora, Store(spec.output_uri)
        self._stop = StopMark(self._output, spec.run_id)
        self.__name__ = "read_units"

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for data in batch["task"].to_pylist():
            if self._stop.seen():  # many tasks may be left
                return
            task: ShardTask = pickle.loads(data)
            corpus = self._corpora[task.corpus]
            store, config = Store(corpus.uri), corpus.config
            limits = (config.unit_bytes, config.read_seconds)
            units = read_units(store, task, config.mapping(), *limits)
            units = of_planned_version(store, task, units, ContentKeys(store, self._output))
            yield from itertools.takewhile(lambda unit: not self._stop.seen(), units)


def plan_shards_by_tasks(
    planner: ShardPlanner, shards: Sequence[CommittedShard]
) -> Iterable[ShardPlan]:
    """Plans shards by Ray tasks, in order."""

    @ray.remote(num_cpus=1)
    def plan_some(some: Sequence[CommittedShard]) -> list[ShardPlan]:
        return list(map_threads(planner, some))

    batches = [
        shards[start : start + _SHARDS_A_TASK] for start in range(0, len(shards), _SHARDS_A_TASK)
    ]
    try:
        results: list[list[ShardPlan]] = ray.get([plan_some.remote(batch) for batch in batches])
    except RayError as error:
        raise user_error(error) from error
    return itertools.chain.from_iterable(results)


def user_error(error: BaseException) -> BaseException:
    """The error of ours that a Ray error wraps; that Ray failed; or the Ray error itself."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "cause", None)
        # What Ray makes of one of ours is of our kind too, but its text is a traceback.
        for candidate in (inner, cause):
            if isinstance(candidate, PairmillError):
                return candidate
        cause = cause.__cause__ or cause.__context__
    # Of what a worker raised, Ray may keep nothing but the text.
    if found := re.search(rf"^{errors.__name__}\.(\w+): (.*)", str(error), re.M | re.S):
        kind = getattr(errors, found[1], None)
        if isinstance(kind, type) and issubclass(kind, PairmillError):
            return kind(found[2].partition("\n\n")[0].strip())  # behind it, Ray goes on
    sentence = sentence_of(error)
    return RayLostError(sentence) if sentence else error
