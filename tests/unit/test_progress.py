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


def test_figures() -> None:
    events, _ = reporter()
    progress = RunProgress(events, "run", total=40, every_seconds=60)
    before = progress.figures()
    assert (before["pairs"], before["pairs_per_s"], before["eta_s"]) == (0, 0, None)
    progress.update(result(8, quarantined=1, seconds=1_000))
    progress.update(result(2, quarantined=1, seconds=500))
    now = progress.figures()
    assert (now["pairs"], now["pairs_total"], now["quarantined"]) == (10, 40, 2)
    assert now["pairs_per_s"] == pytest.approx(0.01, abs=0.001)  # since the first unit was begun
    assert now["output_tokens_per_s"] == pytest.approx(0.1, abs=0.01)
    assert now["eta_s"] == pytest.approx(3_000, abs=100)
    assert progress.tally.pairs == 10


def test_a_line_comes_every_so_many_seconds_and_ends_with_the_run() -> None:
    events, out = reporter()
    two = threading.Event()

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            written = out.write(text)
            if out.getvalue().count("\n") >= 2:
                two.set()
            return written

    events.console.file = Watched()
    with RunProgress(events, "run", total=40, every_seconds=0.001) as progress:
        progress.update(result(8))
        assert two.wait(60)
    lines = out.getvalue().splitlines()
    assert {json.loads(line)["event"] for line in lines} == {"progress"}
    assert json.loads(lines[-1])["pairs"] == 8


def test_nothing_but_json_is_written_whatever_the_timing() -> None:
    events, out = reporter()
    for _ in range(50):
        with pytest.raises(KeyError), RunProgress(events, "run", total=1, every_seconds=1e-9):
            raise KeyError
    assert {json.loads(line)["event"] for line in out.getvalue().splitlines()} <= {"progress"}


def test_the_bar_on_a_terminal() -> None:
    events, out = reporter(terminal=True)
    with RunProgress(events, "run", total=40, every_seconds=60) as progress:
        progress.update(result(8, quarantined=3))
    assert "8/40" in out.getvalue()
    assert "quarantined 3" in out.getvalue()
