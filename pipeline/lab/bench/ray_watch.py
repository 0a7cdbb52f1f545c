"""What a run's Ray reports of its object stores."""

from __future__ import annotations

from typing import Any

from ray._private import internal_api

from pipeline.labeling.cluster.ray_nodes import nodes_of_cluster


def spilled_bytes() -> int:
    """Bytes that this cluster's object stores have ever spilled to disk."""
    return sum(int(each.spilled_bytes_total) for each in _object_store_stats())


def created_bytes() -> int:
    """Bytes of all objects that were ever put into this cluster's object stores."""
    return sum(int(each.cumulative_created_bytes) for each in _object_store_stats())


def _object_store_stats() -> list[Any]:
    api: Any = internal_api  # untyped in Ray
    nodes = nodes_of_cluster()
    stats = [api.node_stats(n["NodeManagerAddress"], n["NodeManagerPort"]) for n in nodes]
    return [each.store_stats for each in stats]
