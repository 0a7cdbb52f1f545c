"""Records metrics through Ray, whose agents export them to Prometheus on every node."""

from __future__ import annotations

import threading

from ray.util.metrics import Counter, Gauge, Histogram

from pipeline.labeling.prometheus_metrics import Metric

_JUDGE_DIGITS = 12


class RayRecorder:
    """The recorder of one process; Ray must be initialized."""

    def __init__(self, judge_id: str) -> None:
        """Records for one judge."""
        self._judge = judge_id[:_JUDGE_DIGITS]
        self._made: dict[Metric, Counter | Gauge | Histogram] = {}
        self._gauges: dict[tuple[Metric, tuple[tuple[str, str], ...]], float] = {}
        self._lock = threading.Lock()

    def add(self, metric: Metric, value: float, **labels: str) -> None:
        """Adds to a counter."""
        made = self._of(metric)
        if value and isinstance(made, Counter):  # Ray refuses to add 0
            made.inc(value, self._tags(labels))

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Sets a gauge."""
        with self._lock:
            self._gauges[metric, tuple(labels.items())] = value
        if isinstance(made := self._of(metric), Gauge):
            made.set(value, self._tags(labels))

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Adds a value to a histogram."""
        if isinstance(made := self._of(metric), Histogram):
            made.observe(value, self._tags(labels))

    def repeat(self) -> None:
        """Sets all gauges again: Ray's agents drop those that two intervals did not set."""
        with self._lock:
            gauges = list(self._gauges.items())
        for (metric, labels), value in gauges:
            self.set(metric, value, **dict(labels))

    def _tags(self, labels: dict[str, str]) -> dict[str, str]:
        return {"judge": self._judge, **labels}

    def _of(self, metric: Metric) -> Counter | Gauge | Histogram:
        with self._lock:
            if metric not in self._made:
                self._made[metric] = _made(metric)
            return self._made[metric]


def _made(metric: Metric) -> Counter | Gauge | Histogram:
    keys = ("judge", *metric.labels)
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.text, list(metric.bounds), keys)
    return (Counter if metric.kind == "counter" else Gauge)(metric.name, metric.text, keys)
