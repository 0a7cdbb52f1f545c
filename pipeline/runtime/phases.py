"""Phases of a job that may take long and give no other sign: reported while they go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

from pipeline.runtime.repeating import every
from pipeline.runtime.reporter import Reporter

_EVERY_S = 10.0
State = Literal["begun", "running", "done", "failed"]
_IN_WORDS: dict[State, str] = {
    "begun": "…",
    "running": "{:.0f} s so far",
    "done": "done in {:.0f} s",
    "failed": "failed after {:.0f} s",
}


@contextmanager
def phase(
    reporter: Reporter | None, name: str, *, every_s: float = _EVERY_S, announce: bool = True
) -> Iterator[None]:
    """Reports a block that may take long, with the seconds that it has taken so far.

    On a terminal this is one live line, and the total at the end. Elsewhere it is a line of text,
    or an event ``phase``, when the block begins, every ``every_s`` seconds, and when it ends.

    Args:
        reporter: receives the reports; None reports nothing.
        name: what goes on, such as ``starting Ray``.
        every_s: seconds between two events.
        announce: False reports only a block that takes longer than ``every_s``.
    """
    if reporter is None:
        yield
    elif reporter.live:
        with _live_line(reporter, name, least_s=0 if announce else every_s):
            yield
    else:
        with _events(reporter, name, every_s, announce):
            yield


@contextmanager
def _events(reporter: Reporter, name: str, every_s: float, announce: bool) -> Iterator[None]:
    began, reported = time.monotonic(), False

    def report(state: State) -> None:
        nonlocal reported
        reported = True
        seconds = round(time.monotonic() - began, 1)
        if reporter.style == "json":
            reporter.event("phase", {"phase": name, "state": state, "seconds": seconds})
        else:
            reporter.note(f"{name}: {_IN_WORDS[state].format(seconds)}")

    if announce:
        report("begun")
    failed = True
    try:
        with every(every_s, lambda: report("running")):
            yield
        failed = False
    finally:
        if reported:
            report("failed" if failed else "done")


@contextmanager
def _live_line(reporter: Reporter, name: str, least_s: float) -> Iterator[None]:
    """One line that is gone at the end; then the total, if that is ``least_s`` at least."""
    line = Progress(
        SpinnerColumn(),
        _NameAndSeconds(),
        console=reporter.console,
        transient=True,
        # What starts meanwhile may hand its standard output to a process of its own.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    line.add_task(name)
    began, ended = time.monotonic(), "failed after "
    try:
        with line:
            yield
        ended = ""
    finally:
        if (seconds := time.monotonic() - began) >= least_s:
            reporter.note(f"{name}: {ended}{seconds:.0f} s")


class _NameAndSeconds(ProgressColumn):
    def render(self, task: Task) -> Text:
        """The phase's name and its seconds so far."""
        return Text(f"{task.description} ({task.elapsed or 0:.0f} s)")
