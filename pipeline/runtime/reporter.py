"""What an operator sees: a live bar on a terminal, one JSON line every N seconds otherwise."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.runtime.logs import timestamp


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

    def _line(self, fields: dict[str, Any]) -> None:
        line = {"time": timestamp(), **self._of, **fields}
        self.console.out(json.dumps(line), highlight=False)
