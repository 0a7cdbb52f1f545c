"""Takes up metrics in memory, and reads them from a real endpoint."""

from __future__ import annotations

import re
import urllib.request
from collections import defaultdict

from pipeline.labeling.prometheus_metrics import Metric

Series = tuple[str, tuple[tuple[str, str], ...]]
_SAMPLE = re.compile(r"^(ray_pairmill_\w+)\{(.*)\} (\S+)$", re.M)
_OWN_LABELS = ("outcome", "reason", "kind", "stage", "state", "le")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Recorded:
    """What was recorded: sums of counters, last values of gauges, lists of observations."""

    def __init__(self) -> None:
        self.sums: defaultdict[Series, float] = defaultdict(float)
        self.values: dict[Series, float] = {}
        self.highest: defaultdict[Series, float] = defaultdict(float)
        self.observed: defaultdict[Series, list[float]] = defaultdict(list)

    def add(self, metric: Metric, value: float, **labels: str) -> None:
        assert (metric.kind, set(labels)) == ("counter", set(metric.labels))
        self.sums[_series(metric, labels)] += value

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        assert (metric.kind, set(labels)) == ("gauge", set(metric.labels))
        series = _series(metric, labels)
        self.values[series] = value
        self.highest[series] = max(value, self.highest[series])

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        assert (metric.kind, set(labels)) == ("histogram", set(metric.labels))
        self.observed[_series(metric, labels)].append(value)

    def repeat(self) -> None:
        """Gauges stay here."""

    def sum(self, metric: Metric, **labels: str) -> float:
        """A counter's sum."""
        return self.sums[_series(metric, labels)]

    def last(self, metric: Metric, **labels: str) -> float:
        """A gauge's last value."""
        return self.values[_series(metric, labels)]


def scrape(port: int, judge: str) -> dict[tuple[str, str], float]:
    """What Prometheus would read of a judge: by exported name and the value of the own label.

    Series of several processes are added up.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        text = reply.read().decode()
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    for name, labels, value in _SAMPLE.findall(text):
        of = dict(_LABEL.findall(labels))
        own = [of[key] for key in _OWN_LABELS if key in of]
        if of["judge"] == judge[:12]:
            found[name, "".join(own)] += float(value)
    return dict(found)


def _series(metric: Metric, labels: dict[str, str]) -> Series:
    return metric.name, tuple(sorted(labels.items()))
