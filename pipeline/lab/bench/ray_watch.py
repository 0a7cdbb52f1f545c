"""What a run's Ray reports: bytes through its object stores, and its workers' metrics.

The metrics are read every second from where Prometheus scrapes them.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ray._private import internal_api

from pipeline.labeling.cluster.ray_nodes import nodes_of_cluster
from pipeline.labeling.prometheus_metrics import REQUESTS_IN_FLIGHT, STAGE_SECONDS
from pipeline.runtime.repeating import Repeating

_LINE = re.compile(r"(ray_pairmill_\w+)\{([^}]*)\} (\S+)")
_STAGE = re.compile(r'[Ss]tage="(\w+)"')


def spilled_bytes() -> int:
    """Bytes that this cluster's object stores have ever spilled to disk."""
    return sum(int(each.spilled_bytes_total) for each in _object_store_stats())


def created_bytes() -> int:
    """Bytes of all objects that were ever put into this cluster's object stores."""
    return sum(int(each.cumulative_created_bytes) for each in _object_store_stats())


def report_every_second() -> None:
    """Makes a Ray that this process starts afterwards export new values every second."""
    os.environ.setdefault("RAY_metrics_report_interval_ms", "1000")


def metrics_urls() -> list[str]:
    """Where the cluster's present nodes export their metrics; Ray must run."""
    return [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in nodes_of_cluster()
    ]


class WorkerWatch(Repeating):
    """Watches the workers while a block runs.

    Attributes:
        in_flight: pairs of a clock time and how many requests the engines had in flight.
    """

    def __init__(self, urls: Sequence[str], every_seconds: float = 1) -> None:
        """Reads these pages every so many seconds."""
        super().__init__(every_seconds)
        self._urls = urls
        self.in_flight: list[tuple[float, int]] = []
        self._seconds: dict[tuple[str, str], float] = {}

    def stage_seconds(self) -> dict[str, float]:
        """Seconds of each stage, of all workers; of each its last second is missing."""
        sums = defaultdict[str, float](float)
        for (stage, _), seconds in self._seconds.items():
            sums[stage] += seconds
        return dict(sums)

    def look(self) -> None:
        """Reads the pages."""
        for url in self._urls:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as page:
                self._take(page.read().decode())

    def _take(self, page: str) -> None:
        requests = []
        for name, labels, value in _LINE.findall(page):
            if name == STAGE_SECONDS.exported[0] and (stage := _STAGE.search(labels)):
                self._seconds[stage[1], labels] = float(value)
            if name == REQUESTS_IN_FLIGHT.exported[0]:
                requests.append(float(value))
        if requests:
            self.in_flight.append((time.time(), round(sum(requests))))


def _object_store_stats() -> list[Any]:
    api: Any = internal_api  # untyped in Ray
    nodes = nodes_of_cluster()
    stats = [api.node_stats(n["NodeManagerAddress"], n["NodeManagerPort"]) for n in nodes]
    return [each.store_stats for each in stats]
