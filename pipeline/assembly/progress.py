"""What an operator sees: a live bar on a terminal, one JSON line every N seconds otherwise."""

from __future__ import annotations

import json
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pipeline.core.logs import timestamp
from pipeline.workers.receipts import Receipt, Tally
from schemas.labels import Status


class Reporter:
    """Writes events: tables for people on a terminal, JSON lines for machines."""

    def __init__(self, console: Console | None = None, run_id: str | None = None) -> None:
        """Writes to ``console``, standard output by default, and of which run in JSON lines."""
        self.console = console or Console(file=sys.stdout, soft_wrap=True)
        self._of = {} if run_id is None else {"run_id": run_id}

    def of_run(self, run_id: str) -> Reporter:
        """The same, of a run."""
        return Reporter(self.console, run_id)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """Reports ``fields`` under the title ``name``."""
        if not self.console.is_terminal:
            self._line({"event": name, **fields})
            return
        table = Table(title=name, show_header=False, title_justify="left")
        for key, value in fields.items():
            shown = f"{value:,}" if isinstance(value, int | float) else str(value)
            table.add_row(key.replace("_", " "), escape(shown))
        self.console.print(table)

    def note(self, text: str) -> None:
        """Reports one sentence."""
        if self.console.is_terminal:
            self.console.print(text, markup=False)
        else:
            self._line({"event": "note", "text": text})

    def progress(self, run_id: str, total: int, every_seconds: float) -> RunProgress:
        """The progress of a run over ``total`` pairs."""
        return RunProgress(self, run_id, total, every_seconds)

    def _line(self, fields: dict[str, Any]) -> None:
        line = {"time": timestamp(), **self._of, **fields}
        self.console.out(json.dumps(line), highlight=False)


class RunProgress:
    """The live progress of one run; a context manager fed with receipts.

    Attributes:
        tally: what the receipts so far add up to.
    """

    def __init__(self, reporter: Reporter, run_id: str, total: int, every_seconds: float) -> None:
        self._reporter, self._total, self._every = reporter, total, every_seconds
        self._judging_since: float | None = None
        self._last_receipt = 0.0
        self.tally = Tally(run_id)
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

    def update(self, receipt: Receipt) -> None:
        """Counts a committed unit in."""
        self.tally.add(receipt.tally)
        self._last_receipt = time.monotonic()
        began = self._last_receipt - receipt.seconds
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
        until = self._last_receipt if pairs >= self._total else time.monotonic()
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
