"""What a worker does: units, pairs and requests in flight, seconds in each stage, idle seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from pipeline.labeling.prometheus_metrics import (
    ENGINE_IDLE,
    JUDGMENTS,
    PAIRS_IN_FLIGHT,
    REQUESTS_IN_FLIGHT,
    STAGE_SECONDS,
    UNITS_IN_FLIGHT,
    Metric,
    Recorder,
    Unrecorded,
)


class Activity:
    """The activity of one worker, from the moment its engine is ready."""

    def __init__(
        self, recorder: Recorder | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Records in ``recorder``; by default nothing is recorded."""
        self._recorder = recorder or Unrecorded()
        self._clock, self._lock = clock, threading.Lock()
        self._counts = dict.fromkeys((UNITS_IN_FLIGHT, PAIRS_IN_FLIGHT, REQUESTS_IN_FLIGHT), 0)
        self._empty_since: dict[Metric, float] = dict.fromkeys(self._counts, clock())

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Around a unit."""
        with self._one_of(UNITS_IN_FLIGHT):
            yield

    @contextmanager
    def pair(self) -> Iterator[None]:
        """Around a pair."""
        with self._one_of(PAIRS_IN_FLIGHT):
            yield

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around a reply of the engine; one that fails is no judgment."""
        with self._one_of(REQUESTS_IN_FLIGHT), self.stage("engine"):
            yield
        self._recorder.add(JUDGMENTS, 1)

    @contextmanager
    def stage(self, name: Literal["decode", "engine", "commit"]) -> Iterator[None]:
        """Around the work of a stage, waiting included."""
        began = self._clock()
        try:
            yield
        finally:
            self._recorder.add(STAGE_SECONDS, self._clock() - began, stage=name)

    def tick(self) -> None:
        """Records the idle seconds so far; to be called every few seconds."""
        with self._lock:
            for metric, count in self._counts.items():
                if not count:
                    self._end_of_gap(metric)

    @contextmanager
    def _one_of(self, metric: Metric) -> Iterator[None]:
        self._change(metric, 1)
        try:
            yield
        finally:
            self._change(metric, -1)

    def _change(self, metric: Metric, by: int) -> None:
        with self._lock:
            if not self._counts[metric]:
                self._end_of_gap(metric)
            self._counts[metric] += by
            self._empty_since[metric] = self._clock()
            self._recorder.set(metric, self._counts[metric])

    def _end_of_gap(self, metric: Metric) -> None:
        now = self._clock()
        gap, self._empty_since[metric] = now - self._empty_since[metric], now
        if metric is REQUESTS_IN_FLIGHT:
            self._recorder.add(ENGINE_IDLE, gap)
        if metric is UNITS_IN_FLIGHT:
            self._recorder.add(STAGE_SECONDS, gap, stage="read")
