"""What an operator sees: a live bar on a terminal, one JSON line every N seconds otherwise."""

from __future__ import annotations

import threading
import time
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
from pipeline.runtime.reporter import Reporter
from schemas.labels import Status


class RunProgress:
    """The live progress of one run; a context manager fed with unit results.

    Attributes:
        tally: what the unit results so far add up to.
    """

    def __init__(self, reporter: Reporter, run_id: str, total: int, every_seconds: float) -> None:
        self._reporter, self._total, self._every = reporter, total, every_seconds
        self._judging_since: float | None = None
        self._last_result = 0.0
        self.tally = RowCounts(run_id)
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._bar = Progress(
            BarColumn(bar_width=10),  # all of it fits 80 columns
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            console=reporter.console,
        )
        self._task = self._bar.add_task("judging", total=total, rates="starting the engine")

    def __enter__(self) -> Self:
        if self._reporter.console.is_terminal:
            self._bar.start()
        else:
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._ticker.ident is not None:
            self._ticker.join()
        else:
            self._bar.stop()

    def update(self, result: UnitResult) -> None:
        """Counts a committed unit in."""
        self.tally.add(result.tally)
        self._last_result = time.monotonic()
        began = self._last_result - result.seconds
        self._judging_since = min(began, self._judging_since or began)
        now = self.figures()
        rates = (
            f"{now['pairs_per_s']:.1f} pairs/s {now['output_tokens_per_s']:.0f} tokens/s "
            f"quarantined {now['quarantined']}"
        )
        self._bar.update(self._task, completed=self.tally.pairs, rates=rates)

    def figures(self) -> dict[str, Any]:
        """Pairs, rates since the first unit was begun, and estimated seconds left."""
        pairs, since = self.tally.pairs, self._judging_since
        until = self._last_result if pairs >= self._total else time.monotonic()
        seconds = 0.0 if since is None else until - since
        rate = pairs / max(seconds, 1e-9)
        return {
            "pairs": pairs,
            "pairs_total": self._total,
            "judging_s": round(seconds, 2),
            "pairs_per_s": round(rate, 2),
            "output_tokens_per_s": round(self.tally.output_tokens / max(seconds, 1e-9), 1),
            "quarantined": self.tally.statuses[Status.QUARANTINED],
            "eta_s": round((self._total - pairs) / rate) if pairs else None,
        }

    def _tick(self) -> None:
        while not self._stop.wait(self._every):
            self._reporter.event("progress", self.figures())
