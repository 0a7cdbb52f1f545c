"""How much of the flow is under way at once: it fills the engines, and fits into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.judging.judging_formats import replies_a_round
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.ray_nodes import Node
from pipeline.labeling.read_pairs import ShardTask

# Of the object store, for units that no worker has taken yet, and for those that workers are at.
_READ_SHARE, _JUDGE_SHARE = 0.4, 0.4
_STORE_TO_COME = 8 * 2**30  # of a node that an autoscaler has yet to begin: its least, commonly
_UNITS_A_READER = 3  # two that it has handed over and one in the making
_GROWS = 8  # times that texts are larger in memory than in a shard; pictures and clips are not
# A unit lasts as long as the engine takes to begin its replies, and then as its longest reply: five
# times the mean, by lognormal lengths. Meanwhile others are to fill the places of those that ended.
_LONGEST = 5
_LEAST_UNITS = 3
# Units differ: so many large ones among small ones may wait for a worker, where others idle.
_MOST_UNITS = 128


def readers(tasks: Sequence[ShardTask], config: LabelConfig, nodes: Sequence[Node]) -> int:
    """How many shards may be read at once: as many as the object store has room for.

    Ray bounds what readers hand over once it has seen how large units are. Until then, and above
    all while engines start, it begins as many as there are CPUs, which would spill to disk.

    Args:
        tasks: what is to be read.
        config: of the job.
        nodes: of the cluster, that are up.
    """
    store = sum(_store_bytes(node) for node in nodes)
    if not any(_workers_on(node, config) for node in nodes):
        store = config.workers.max * _STORE_TO_COME
    size = min(config.input.unit_bytes, _GROWS * _bytes_of_unit(tasks))
    return max(1, int(store * _READ_SHARE / max(_UNITS_A_READER * size, 1)))


@dataclass(frozen=True)
class InFlight:
    """Units of one worker.

    Attributes:
        judged: at once.
        handed_over: those, and one whose bytes arrive meanwhile if it is not another worker's.
    """

    judged: int
    handed_over: int


def units_in_flight(
    tasks: Sequence[ShardTask], config: LabelConfig, nodes: Sequence[Node]
) -> InFlight:
    """How many units a worker has: ``engine.units_in_flight``, or what fills its engine.

    Units of few pairs, as ``input.unit_bytes`` cuts large pictures and clips, need many. Their
    bytes stay in the object store until they are judged, which bounds how many there are. Workers
    whose engines start first are not to take the others' share, beyond what fills their places:
    as far as the nodes tell that are up, whoever else uses their GPUs.

    Args:
        tasks: what is to be read.
        config: of the job.
        nodes: of the cluster, that are up.
    """
    units = [unit for task in tasks for unit in task.units]
    replies = replies_a_round(config.judge.format) * sum(unit.rows for unit in units)
    filling = config.engine.max_num_seqs * len(units) / max(replies, 1)  # units in all its places
    share = math.ceil(max(len(units) / _workers(config, nodes), filling))
    judged = config.engine.units_in_flight
    if not judged:
        size = min(config.input.unit_bytes, _bytes_of_unit(tasks))
        room = int(_store_of_worker(config, nodes) * _JUDGE_SHARE / max(size, 1))
        wanted = min(1 + math.ceil(_LONGEST * filling), room, _MOST_UNITS)
        judged = min(max(_LEAST_UNITS, wanted), share)
    return InFlight(judged, max(judged, min(judged + 1, share)))


def _bytes_of_unit(tasks: Sequence[ShardTask]) -> float:
    """Mean bytes of a unit in its shard."""
    units = sum(len(task.units) for task in tasks)
    return sum(task.size for task in tasks) / max(units, 1)


def _store_of_worker(config: LabelConfig, nodes: Sequence[Node]) -> float:
    """A worker's share of its node's object store, on the tightest node that can hold one."""
    there = [(_store_bytes(node), _workers_on(node, config)) for node in nodes]
    return min((store / workers for store, workers in there if workers), default=_STORE_TO_COME)


def _workers(config: LabelConfig, nodes: Sequence[Node]) -> int:
    """How many workers the nodes that are up can hold; one if none can, as others are to come."""
    there = sum(_workers_on(node, config) for node in nodes)
    return max(1, min(there, config.workers.max))


def _workers_on(node: Node, config: LabelConfig) -> int:
    """How many workers a node can hold."""
    gpus = node["Resources"].get("GPU", 0)
    room = int(gpus / config.workers.gpus) if config.workers.gpus else config.workers.max
    return min(room, config.workers.max)


def _store_bytes(node: Node) -> float:
    return float(node["Resources"].get("object_store_memory", 0))
