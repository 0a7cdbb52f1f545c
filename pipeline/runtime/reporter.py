"""What a command reports: text for people, JSON lines for machines."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.runtime.clock import timestamp
from pipeline.runtime.printable import one_line, printable, without_secrets

Style = Literal["text", "json"]
_DIGEST = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")  # of which people need the beginning


class Reporter:
    """Writes events: text for people, tables where that is a terminal, or JSON lines."""

    def __init__(
        self,
        console: Console | None = None,
        run_id: str | None = None,
        style: Style | None = None,
        tier: int | None = None,
    ) -> None:
        """Reports to a console.

        Args:
            console: standard output by default.
            run_id: the run that JSON lines name.
            style: text on a terminal and JSON lines elsewhere by default.
            tier: the judge of a cascade that lines name, where others report meanwhile.
        """
        self.console = console or Console(file=sys.stdout, soft_wrap=True)
        self.style: Style = style or ("text" if self.console.is_terminal else "json")
        self._run_id, self._tier = run_id, tier
        self._of = {} if run_id is None else {"run_id": run_id}
        self._named = "" if tier is None else f"judge {tier}: "

    @property
    def live(self) -> bool:
        """Whether what is written can be redrawn, as a progress bar is."""
        return self.style == "text" and self.console.is_terminal and self._tier is None

    def of_run(self, run_id: str) -> Reporter:
        """The same, of a run."""
        return Reporter(self.console, run_id, self.style, self._tier)

    def of_tier(self, number: int) -> Reporter:
        """The same, of one judge of a cascade among others that report at the same time."""
        return Reporter(self.console, self._run_id, self.style, number)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """Reports ``fields`` under the title ``name``; text leaves out what is empty or 0."""
        if self.style == "json":
            self._line({"event": name, **fields})
            return
        shown = {key.replace("_", " "): _shown(value) for key, value in fields.items() if value}
        if self.console.is_terminal:
            table = Table(title=f"{self._named}{name}", show_header=False, title_justify="left")
            for key, text in shown.items():
                table.add_row(key, escape(text))
            self.console.print(table)
        else:
            listed = ", ".join(f"{key} {text}" for key, text in shown.items())
            self.console.out(f"{self._named}{name}: {listed}", highlight=False)

    def note(self, text: str) -> None:
        """Reports one sentence."""
        if self.style == "text":
            self.console.print(self._named + printable(text), markup=False, highlight=False)
        else:
            self._line({"event": "note", "text": text})

    def _line(self, fields: dict[str, Any]) -> None:
        tier = {} if self._tier is None else {"tier": self._tier}
        line = {"time": timestamp(), **self._of, **tier, **fields}
        self.console.out(without_secrets(json.dumps(line)), highlight=False)


def _shown(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:,}"
    return _DIGEST.sub(r"\1", one_line(str(value)))
