"""How many units are in flight: enough to fill the engines, and no more than memory holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.labeling.cluster.ray_nodes import Node
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.labeling.read_pairs import ShardTask

# Shares of the object store: for units that no worker has taken yet, and for those being judged.
_READ_SHARE, _JUDGE_SHARE = 0.4, 0.4
_FUTURE_STORE = 8 * 2**30  # assumed of a node that an autoscaler has yet to start: a low value
_UNITS_A_READER = 3  # two that it has handed over and one that it is reading
_GROWTH = 8  # texts in memory to texts in a shard; pictures and clips do not grow
# A unit takes as long as the engine needs to start its replies, and then as its longest reply: five
# times the mean, with lognormal lengths. Meanwhile others have to fill the slots that became free.
_LONGEST = 5
# Units that wait behind those, in which a pair finds others of its prompt (``pair_turns``); some of
# theirs are begun before their turn, so that units end later than they would one after the other.
_AHEAD = 3
_LEAST_UNITS = 3
# Units differ: more of them at one worker could be large ones that wait while others idle.
_MOST_UNITS = 128


def readers(tasks: Sequence[ShardTask], config: LabelConfig, nodes: Sequence[Node]) -> int:
    """How many shards are read at once: all, or as many as the object store has room for.

    Ray bounds what readers hand over once it has measured units. Until then, and above all while
    engines start, it would run a reader on every CPU, and spill to disk.

    Args:
        tasks: the shards to read.
        config: of the job.
        nodes: those of the cluster that are up.
    """
    store = sum(_store_bytes(node) for node in nodes)
    if not any(_workers_on(node, config) for node in nodes):
        store = config.workers.max * _FUTURE_STORE
    size = min(config.input.unit_bytes, _GROWTH * _bytes_of_unit(tasks))
    room = int(store * _READ_SHARE / max(_UNITS_A_READER * size, 1))
    return max(1, min(len(tasks), room))


@dataclass(frozen=True)
class InFlight:
    """Units in flight at one worker.

    Attributes:
        judged: units judged at once.
        handed_over: those, and one whose bytes arrive meanwhile, within the worker's fair share.
    """

    judged: int
    handed_over: int


def units_in_flight(
    tasks: Sequence[ShardTask], config: LabelConfig, nodes: Sequence[Node], share: float = 1.0
) -> InFlight:
    """How many units a worker has: ``engine.units_in_flight``, or what fills its engine.

    Small units, as ``input.unit_bytes`` makes them of large pictures and clips, need many. Their
    bytes stay in the object store until they are judged, which bounds their number. Workers whose
    engines start early are capped at their fair share, unless their engine would idle; the share
    assumes that all GPUs of the nodes that are up are for this run.

    Args:
        tasks: the shards to read.
        config: of the job.
        nodes: those of the cluster that are up.
        share: of the rows, about how many the judge is asked about.
    """
    units = [unit for task in tasks for unit in task.units]
    asked = share * sum(unit.rows for unit in units)
    replies = config.judge.declared_format.requests_at_once * asked
    # Units that fill all of its slots.
    filling = config.engine.max_num_seqs * len(units) / max(replies, 1)
    fair = math.ceil(max(len(units) / _workers(config, nodes), filling))
    judged = config.engine.units_in_flight
    if not judged:
        size = min(config.input.unit_bytes, _bytes_of_unit(tasks))
        room = int(_store_of_worker(config, nodes) * _JUDGE_SHARE / max(size, 1))
        wanted = min(1 + math.ceil((_LONGEST + _AHEAD) * filling), room, _MOST_UNITS)
        judged = min(max(_LEAST_UNITS, wanted), fair)
    return InFlight(judged, max(judged, min(judged + 1, fair)))


def workers_at_start(
    tasks: Sequence[ShardTask], config: LabelConfig, nodes: Sequence[Node], handed_over: int
) -> int:
    """How many engines start side by side: as many as there is room and work for.

    Ray would begin the second one when the first has more than it can do, which is after it has
    started, a minute later on a GPU.

    Args:
        tasks: the shards to read.
        config: of the job.
        nodes: those of the cluster that are up.
        handed_over: units that one worker holds.
    """
    units, pool = sum(len(task.units) for task in tasks), config.workers
    needed = min(_workers(config, nodes), math.ceil(units / handed_over))
    if pool.cpus:  # without a reader they would have nothing to do
        cpus = sum(_there(node, "CPU") for node in nodes)
        needed = min(needed, int((cpus - pool.read_cpus) / pool.cpus))
    return max(pool.min, needed)


def nodes_beside(
    nodes: Sequence[Node], own: WorkersConfig, others: Sequence[WorkersConfig]
) -> list[Node]:
    """What pools of other judges leave of the nodes to one that works at the same time.

    Each has the same share of the object stores, and the others their least workers, but for the
    place of one worker of its own on each node: pools that do not fit come one after the other.

    Args:
        nodes: those of the cluster that are up.
        own: its pool.
        others: the other pools.
    """
    reserved = {
        "GPU": (own.gpus, sum(pool.min * pool.gpus for pool in others)),
        "CPU": (own.cpus, sum(pool.min * pool.cpus for pool in others)),
    }
    left: list[Node] = []
    for node in nodes:
        resources = {**node["Resources"]}
        resources["object_store_memory"] = _store_bytes(node) / (1 + len(others))
        for name, (kept, wanted) in reserved.items():
            there = _there(node, name)
            taken = min(wanted, max(0.0, there - kept))
            reserved[name] = (kept, wanted - taken)
            resources[name] = there - taken
        left.append({**node, "Resources": resources})
    return left


def _bytes_of_unit(tasks: Sequence[ShardTask]) -> float:
    """Mean bytes of a unit in its shard."""
    units = sum(len(task.units) for task in tasks)
    return sum(task.size for task in tasks) / max(units, 1)


def _store_of_worker(config: LabelConfig, nodes: Sequence[Node]) -> float:
    """A worker's share of its node's object store, on the tightest node that can hold one."""
    there = [(_store_bytes(node), _workers_on(node, config)) for node in nodes]
    return min((store / workers for store, workers in there if workers), default=_FUTURE_STORE)


def _workers(config: LabelConfig, nodes: Sequence[Node]) -> int:
    """How many workers fit on the nodes that are up; one if none does, as nodes will be added."""
    there = sum(_workers_on(node, config) for node in nodes)
    return max(1, min(there, config.workers.max))


def _workers_on(node: Node, config: LabelConfig) -> int:
    """How many workers fit on a node."""
    pool = config.workers
    reserved = (("GPU", pool.gpus), ("CPU", pool.cpus))
    return min([pool.max, *(int(_there(node, name) / each) for name, each in reserved if each)])


def _store_bytes(node: Node) -> float:
    return _there(node, "object_store_memory")


def _there(node: Node, name: str) -> float:
    return float(node["Resources"].get(name, 0))
