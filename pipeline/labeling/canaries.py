"""Canaries: gold pairs that a run judges anew, among its corpus and by the same workers.

Their parts lie under ``canaries/<run_id>`` as those of any output, and are no part of a snapshot:
they show whether the judge still judges as it did. They cost an engine nothing that does not run,
so a run that has nothing to judge judges no canaries either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.labeling.canary_config import CanaryConfig, canary_root
from pipeline.labeling.judge_actor import Corpus
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.plan import Plan, make_plan
from pipeline.labeling.read_pairs import ShardTask
from pipeline.pairs.shards import open_input
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store

_PLACE = 1  # among the corpora of a run's spec
_MOST_PIECES = 64  # each is an object


@dataclass(frozen=True)
class Canaries:
    """The canaries of one run.

    Attributes:
        corpus: where they are, and where their parts go.
        output: the store of those parts.
    """

    corpus: Corpus
    output: Store
    plan: Plan

    def among(self, plan: Plan) -> list[ShardTask]:
        """The tasks of a run, canaries spread evenly among them."""
        pieces = min(plan.units, _MOST_PIECES)
        own = list(_cut(self.plan, pieces))
        placed = [*_places(plan.tasks), *_places(own)]
        return [task for _, task in sorted(placed, key=lambda place: place[0])]


def plan_canaries(
    config: CanaryConfig | None,
    label: LabelConfig,
    output: Store,
    run_id: str,
    judge_id: str,
    reporter: Reporter,
) -> Canaries | None:
    """What of canaries a run judges; None without any.

    Raises:
        InputError: they are not there, or do not keep to pairs v1.
        StorageError: they cannot be reached.
    """
    if config is None or config.input is None:
        return None
    root, how = canary_root(output, run_id), config.read_as(label.input)
    plan = make_plan(config.input, root, how, label.judge, judge_id)
    for shard in plan.bad_shards:
        reporter.note(f"unreadable canaries, left out: {shard.entry.key}: {shard.defect}")
    if not plan.rows_to_do:
        return None
    source, _ = open_input(config.input)
    return Canaries(Corpus(source.uri, root.uri, how), root, plan)


def _cut(plan: Plan, pieces: int) -> Iterator[ShardTask]:
    """About so many tasks of one unit each, by their rows."""
    for task in plan.tasks:
        for unit in task.units:
            for piece in unit.split(max(1, round(pieces * unit.rows / plan.rows_to_do))):
                yield replace(task, units=(piece,), corpus=_PLACE)


def _places(tasks: Sequence[ShardTask]) -> Iterator[tuple[float, ShardTask]]:
    """Tasks with their place between 0 and 1."""
    for number, task in enumerate(tasks):
        yield (number + 0.5) / len(tasks), task
