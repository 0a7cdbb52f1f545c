"""A run's progress for its operator: until the first engine is ready, the phase that goes on and
its seconds; from then on a live bar on a terminal, an event every few seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from pipeline.labeling.unit_result import RowCounts, UnitResult
from pipeline.runtime.phases import phase
from pipeline.runtime.repeating import every
from pipeline.runtime.reporter import Reporter
from schemas.labels import Status

_WAITING, _STARTING, _JUDGING = "waiting for a worker", "starting the engine", "judging"


class RunProgress:
    """The live progress of one run; a context manager fed with engine starts and unit results.

    Attributes:
        counts: what the unit results so far add up to.
    """

    def __init__(self, reporter: Reporter, run_id: str, total: int, every_seconds: float) -> None:
        self._reporter, self._total, self._every = reporter, total, every_seconds
        self._judging_since: float | None = None
        self._last_result = 0.0
        self.counts = RowCounts(run_id)
        self._now = ""  # which of the three phases
        self._shown = ExitStack()  # how it is shown
        self._lock = threading.Lock()
        self._bar = Progress(
            BarColumn(bar_width=10),  # all of it fits 80 columns
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            console=reporter.console,
        )
        self._task = self._bar.add_task(_JUDGING, total=total, rates="no unit is done yet")

    def __enter__(self) -> Self:
        self._enter(_WAITING)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def engine_starts(self, marks: Mapping[str, int]) -> None:
        """Receives how many engine starts were ``begun`` so far and how many became ``ready``."""
        if marks["ready"]:
            self._enter(_JUDGING)
        elif marks["begun"]:
            self._enter(_STARTING)

    def update(self, result: UnitResult) -> None:
        """Adds a committed unit."""
        self._enter(_JUDGING)
        self.counts.add(result.counts)
        self._last_result = time.monotonic()
        began = self._last_result - result.seconds
        self._judging_since = min(began, self._judging_since or began)
        now = self.rates()
        rates = (
            f"{now['pairs_per_s']:.1f} pairs/s {now['output_tokens_per_s']:.0f} tokens/s "
            f"quarantined {now['quarantined']}"
        )
        self._bar.update(self._task, completed=self.counts.pairs, rates=rates)

    def rates(self) -> dict[str, Any]:
        """Pairs, rates since the first unit was begun, and estimated seconds left."""
        pairs, since = self.counts.pairs, self._judging_since
        until = self._last_result if pairs >= self._total else time.monotonic()
        seconds = 0.0 if since is None else until - since
        rate = pairs / max(seconds, 1e-9)
        return {
            "pairs": pairs,
            "pairs_total": self._total,
            "judging_s": round(seconds, 2),
            "pairs_per_s": round(rate, 2),
            "output_tokens_per_s": round(self.counts.output_tokens / max(seconds, 1e-9), 1),
            "quarantined": self.counts.statuses[Status.QUARANTINED],
            "eta_s": round((self._total - pairs) / rate) if pairs else None,
        }

    def _enter(self, name: str) -> None:
        """Shows a phase in place of the one before; there is no way back from judging."""
        with self._lock:
            if name == self._now or self._now == _JUDGING:
                return
            self._now = name
            self._shown.close()
            if name != _JUDGING:
                self._shown.enter_context(phase(self._reporter, name))
            elif self._reporter.live:
                self._shown.enter_context(self._bar)
            else:
                self._shown.enter_context(every(self._every, self._report))

    def _report(self) -> None:
        now = self.rates()
        if self._reporter.style == "json":
            self._reporter.event("progress", now)
            return
        left = f", {now['eta_s']} s left" if now["eta_s"] is not None else ""
        judged = f"judging: {now['pairs']:,} of {now['pairs_total']:,} pairs"
        self._reporter.note(f"{judged}, {now['pairs_per_s']:.1f} pairs/s{left}")
