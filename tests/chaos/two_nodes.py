"""Runs a Ray cluster of three nodes until standard input ends; prints its address and raylets.

A process of its own, so that it does not meet the Ray of the tests; its files are in RAY_TMPDIR.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

_STORE_BYTES = 80 * 2**20


def main() -> None:
    """Starts a head with two CPUs and two worker nodes with one pretended GPU each."""
    Path(os.environ["RAY_TMPDIR"], "ray").mkdir()  # Ray writes its address there, too early
    head = {"num_cpus": 2, "num_gpus": 0, "object_store_memory": _STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    raylets = []
    for _ in range(2):
        node = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=_STORE_BYTES)
        (raylet,) = node.all_processes["raylet"]
        raylets.append(str(raylet.process.pid))
    sys.stdout.write(" ".join([cluster.address, *raylets]) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
