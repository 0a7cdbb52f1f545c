"""What an operator sees: JSON lines that machines can read, a table and a bar for people."""

from __future__ import annotations

import datetime
import io
import json
import threading
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from pipeline.labeling.progress import RunProgress
from pipeline.labeling.unit_result import RowCounts, UnitResult
from pipeline.runtime.reporter import Reporter
from tests.judging import unit


def reporter(terminal: bool = False) -> tuple[Reporter, io.StringIO]:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, width=120, soft_wrap=True, color_system=None
    )
    return Reporter(console), out


def result(pairs: int, quarantined: int = 0, seconds: float = 1.0) -> UnitResult:
    statuses = Counter(labeled=pairs - quarantined, quarantined=quarantined)
    return UnitResult(
        unit(0, pairs), RowCounts("run", 0, statuses, output_tokens=10 * pairs), seconds
    )


HOSTILE: dict[str, Any] = {"shard": "a[/b].parquet\n", "text": "é" * 500, "n": 1_234, "x": None}


def test_events_are_one_json_line_each() -> None:
    events, out = reporter()
    events.event("plan", HOSTILE)
    events.note("[bold]as it is[/] " * 20)
    events.of_run("r1").event("done", {"n": 1})
    first, second, third = [json.loads(line) for line in out.getvalue().splitlines()]
    times = [datetime.datetime.fromisoformat(line.pop("time")) for line in (first, second, third)]
    assert times == sorted(times)
    assert first == {"event": "plan", **HOSTILE}
    assert second == {"event": "note", "text": "[bold]as it is[/] " * 20}
    assert third == {"event": "done", "n": 1, "run_id": "r1"}


def test_events_are_tables_on_a_terminal() -> None:
    events, out = reporter(terminal=True)
    events.event("plan", HOSTILE | {"pairs_to_do": 5})
    events.note("[bold]as it is[/]")
    text = out.getvalue()
    assert "a[/b].parquet" in text
    assert "1,234" in text
    assert "pairs to do" in text
    assert "[bold]as it is[/]" in text


def names(out: io.StringIO) -> list[str]:
    """What the lines are: the name of the event, or of the phase and its state."""
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    return [
        f"{line['phase']}: {line['state']}" if line["event"] == "phase" else line["event"]
        for line in lines
    ]


def _raise_after(progress: RunProgress, marks: Counter[str]) -> None:
    progress.engine_starts(marks)
    raise KeyError


WAITED = ["waiting for a worker: begun", "waiting for a worker: done"]


def test_rates() -> None:
    events, _ = reporter()
    with RunProgress(events, "run", total=40, every_seconds=60) as progress:
        before = progress.rates()
        assert (before["pairs"], before["pairs_per_s"], before["eta_s"]) == (0, 0, None)
        progress.update(result(8, quarantined=1, seconds=1_000))
        progress.update(result(2, quarantined=1, seconds=500))
        now = progress.rates()
    assert (now["pairs"], now["pairs_total"], now["quarantined"]) == (10, 40, 2)
    assert now["pairs_per_s"] == pytest.approx(0.01, abs=0.001)  # since the first unit was begun
    assert now["output_tokens_per_s"] == pytest.approx(0.1, abs=0.01)
    assert now["eta_s"] == pytest.approx(3_000, abs=100)
    assert progress.counts.pairs == 10


def test_phases_follow_the_starts_of_engines_and_end_with_the_first_that_is_ready() -> None:
    events, out = reporter()
    with RunProgress(events, "run", total=40, every_seconds=60) as progress:
        for begun, ready in ((0, 0), (1, 0), (2, 0), (2, 1), (3, 1)):
            progress.engine_starts(Counter(begun=begun, ready=ready))
    started = ["starting the engine: begun", "starting the engine: done"]
    assert names(out) == [*WAITED, *started]


def test_a_run_that_fails_before_its_engine_is_ready_ends_the_phase_as_failed() -> None:
    events, out = reporter()
    progress = RunProgress(events, "run", total=1, every_seconds=60)
    with pytest.raises(KeyError), progress:
        _raise_after(progress, Counter(begun=1))
    assert names(out)[-1] == "starting the engine: failed"


def test_a_line_comes_every_so_many_seconds_and_ends_with_the_run() -> None:
    events, out = reporter()
    eight = threading.Event()

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            written = out.write(text)
            if out.getvalue().count('"pairs": 8') >= 2:
                eight.set()
            return written

    events.console.file = Watched()
    with RunProgress(events, "run", total=40, every_seconds=0.001) as progress:
        progress.update(result(8))
        assert eight.wait(60)
    lines = names(out)
    assert lines == [*WAITED, *["progress"] * (len(lines) - 2)]
    assert json.loads(out.getvalue().splitlines()[-1])["pairs"] == 8


def test_nothing_but_json_is_written_whatever_the_timing() -> None:
    events, out = reporter()
    for _ in range(50):
        progress = RunProgress(events, "run", total=1, every_seconds=1e-9)
        with pytest.raises(KeyError), progress:
            _raise_after(progress, Counter(ready=1))
    assert set(names(out)) <= {*WAITED, "progress"}


def test_the_bar_on_a_terminal() -> None:
    events, out = reporter(terminal=True)
    with RunProgress(events, "run", total=40, every_seconds=60) as progress:
        progress.engine_starts(Counter(begun=1))
        progress.update(result(8, quarantined=3))
    text = out.getvalue()
    shown = ("waiting for a worker: 0 s", "starting the engine: 0 s", "8/40", "quarantined 3")
    assert [part in text for part in shown] == [True] * 4
