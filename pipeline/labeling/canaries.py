"""Canaries: gold pairs that a run re-judges, among its corpus and on the same workers.

Their parts are laid out under ``canaries/<run_id>`` as those of any output, and are in no snapshot:
they show whether the judge still judges as it did. They alone are no reason to start an engine: a
run that has nothing else to judge judges no canaries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.labeling.canary_config import CanaryConfig, canary_root
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.planning.plan import Plan, plan_shards
from pipeline.labeling.read_pairs import ShardTask
from pipeline.labeling.run_spec import Corpus
from pipeline.pairs.shards import open_input
from pipeline.runtime.printable import one_line
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store

_CORPUS = 1  # index among the corpora of a run's spec
_MAX_TASKS = 64  # each is an object


@dataclass(frozen=True)
class Canaries:
    """The canaries of one run.

    Attributes:
        corpus: their input, and the root of their parts.
        output: the store of those parts.
    """

    corpus: Corpus
    output: Store
    plan: Plan

    def among(self, plan: Plan) -> list[ShardTask]:
        """The tasks of a run, with canaries spread evenly among them."""
        pieces = min(plan.units, _MAX_TASKS)
        own = list(_small_tasks(self.plan, pieces))
        ordered = sorted([*_positions(plan.tasks), *_positions(own)], key=lambda each: each[0])
        return [task for _, task in ordered]


def plan_canaries(
    config: CanaryConfig | None,
    label: LabelConfig,
    output: Store,
    run_id: str,
    judge_id: str,
    reporter: Reporter,
) -> Canaries | None:
    """The canaries that a run judges; None without any.

    Raises:
        InputError: the input of canaries has no shards, or their columns are not pairs v1.
        StorageError: their store cannot be reached.
    """
    if config is None or config.input is None:
        return None
    root, how = canary_root(output, run_id), config.read_as(label.input)
    source, prefix = open_input(config.input)
    plan = plan_shards(source, prefix, root, how, label.judge, judge_id, hashes=output)
    for shard in plan.bad_shards:
        reporter.note(f"unreadable canaries, left out: {one_line(shard.entry.key)}: {shard.defect}")
    if not plan.rows_to_do:
        return None
    return Canaries(Corpus(source.uri, root.uri, how), root, plan)


def _small_tasks(plan: Plan, pieces: int) -> Iterator[ShardTask]:
    """About ``pieces`` tasks of one unit each, in proportion to their rows."""
    for task in plan.tasks:
        for unit in task.units:
            for piece in unit.split(max(1, round(pieces * unit.rows / plan.rows_to_do))):
                yield replace(task, units=(piece,), corpus=_CORPUS)


def _positions(tasks: Sequence[ShardTask]) -> Iterator[tuple[float, ShardTask]]:
    """Tasks with their relative positions, between 0 and 1."""
    for number, task in enumerate(tasks):
        yield (number + 0.5) / len(tasks), task
