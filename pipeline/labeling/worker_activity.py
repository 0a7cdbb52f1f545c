"""What a worker does: units, pairs and requests in flight, seconds in each stage, idle seconds."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from pipeline.runtime.clock import utc_now


@dataclass
class Work:
    """What workers did for some time; that of several times or workers adds up.

    Attributes:
        stage_s: seconds in each stage, summed over pairs, replies and units there at the same time.
        requests: how many were in flight at each whole second of the clock.
    """

    stage_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    requests: Counter[int] = field(default_factory=Counter)

    def add(self, other: Work) -> None:
        """Adds what another worker did, or the same one at another time."""
        for stage, seconds in other.stage_s.items():
            self.stage_s[stage] += seconds
        self.requests.update(other.requests)


class Activity:
    """The activity of one worker, from the moment its engine is ready."""

    def __init__(
        self,
        recorder: Recorder | None = None,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: float | None = None,
    ) -> None:
        """Records in ``recorder``; by default nothing is recorded.

        Args:
            recorder: receives metrics.
            clock: never goes back and never leaps.
            time_of_day: when the clock is looked at first; now, by default.
        """
        self._recorder = recorder or Unrecorded()
        self._clock, self._lock = clock, threading.Lock()
        self._ahead = (utc_now().timestamp() if time_of_day is None else time_of_day) - clock()
        self._second = int(self._ahead + clock())
        self._work = Work()
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
            seconds = self._clock() - began
            self._recorder.add(STAGE_SECONDS, seconds, stage=name)
            with self._lock:
                self._work.stage_s[name] += seconds

    def take_work(self) -> Work:
        """What the worker did since this was last called."""
        with self._lock:
            self._note_requests()
            work, self._work = self._work, Work()
        return work

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
            if metric is REQUESTS_IN_FLIGHT:
                self._note_requests()
            self._counts[metric] += by
            self._empty_since[metric] = self._clock()
            self._recorder.set(metric, self._counts[metric])

    def _note_requests(self) -> None:
        """Notes the requests in flight at the whole seconds since the last note, all the same."""
        now = int(self._ahead + self._clock())
        count = self._counts[REQUESTS_IN_FLIGHT]
        self._work.requests.update(dict.fromkeys(range(self._second + 1, now + 1), count))
        self._second = now

    def _end_of_gap(self, metric: Metric) -> None:
        now = self._clock()
        gap, self._empty_since[metric] = now - self._empty_since[metric], now
        if metric is REQUESTS_IN_FLIGHT:
            self._recorder.add(ENGINE_IDLE, gap)
        if metric is UNITS_IN_FLIGHT:
            self._recorder.add(STAGE_SECONDS, gap, stage="read")
