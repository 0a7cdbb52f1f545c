"""The nodes of the Ray cluster, as Ray describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray

Node = Mapping[str, Any]


def nodes_of_cluster() -> list[Node]:
    """The nodes that are up; Ray must run."""
    nodes: list[Node] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]
