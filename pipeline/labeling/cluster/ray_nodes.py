"""The nodes of the Ray cluster, and what share of one a worker has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import ray

Node = Mapping[str, Any]


def nodes_of_cluster() -> list[Node]:
    """The nodes that are up; Ray must be initialized."""
    nodes: list[Node] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


# A vLLM engine core and the event loop that feeds it: the GPU waits for both.
_ENGINE_CORES = 2


def threads_for_media(gpus: float) -> int:
    """How many threads prepare pairs beside an engine: one for each other core of the worker."""
    return max(1, cores_of_worker(gpus) - _ENGINE_CORES)


def cores_of_worker(gpus: float) -> int:
    """CPU cores of a worker that reserves ``gpus``: the same share as of its node's GPUs.

    Ray counts cores, since it respects a container's limit where Python sees the whole machine;
    without Ray it is all cores.
    """
    if not ray.is_initialized():
        return os.cpu_count() or 1
    here = ray.get_runtime_context().get_node_id()
    (node,) = (node for node in nodes_of_cluster() if node["NodeID"] == here)
    return share_of_cores(node["Resources"], gpus)


def share_of_cores(resources: dict[str, float], gpus: float) -> int:
    """The same from a node's resources in Ray; all cores where node or worker has no GPU."""
    cores = resources.get("CPU") or os.cpu_count() or 1
    there = resources.get("GPU", 0)
    share = gpus / there if gpus and there else 1
    return max(1, int(cores * min(1, share)))
