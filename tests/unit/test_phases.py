"""A phase that takes long is reported while it goes on: live on a terminal, as events elsewhere."""

from __future__ import annotations

import io
import json
import re
import threading

import pytest
from rich.console import Console

from pipeline.runtime.phases import phase
from pipeline.runtime.reporter import Reporter


class Watched(io.StringIO):
    """A stream that says when it has held a text for the second time."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text, self.twice = text, threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count(self._text) >= 2:
            self.twice.set()
        return written


def reporter(out: io.StringIO, terminal: bool = False) -> Reporter:
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    return Reporter(console)


def events(out: io.StringIO) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(line["seconds"] >= 0 for line in lines)
    return [(line["event"], line["phase"], line["state"]) for line in lines]


def test_a_short_phase_is_an_event_at_its_begin_and_at_its_end() -> None:
    out = io.StringIO()
    with phase(reporter(out), "starting Ray"):
        pass
    of_it = ("phase", "starting Ray")
    assert events(out) == [(*of_it, "begun"), (*of_it, "done")]


@pytest.mark.parametrize(("announce", "first"), [(True, ["begun"]), (False, [])])
def test_a_long_phase_is_an_event_again_and_again(announce: bool, first: list[str]) -> None:
    out = Watched('"running"')
    with phase(reporter(out), "hashing", every_s=0.001, announce=announce):
        assert out.twice.wait(60)
    states = [state for _, _, state in events(out)]
    assert states == [*first, *["running"] * (len(states) - len(first) - 1), "done"]


def test_a_short_phase_that_is_not_announced_is_not_reported() -> None:
    out = io.StringIO()
    with phase(reporter(out), "hashing", announce=False):
        pass
    with phase(reporter(out, terminal=True), "hashing", announce=False):
        pass
    assert "hashing:" not in out.getvalue()
    assert '"phase"' not in out.getvalue()


def test_a_phase_that_fails_says_so_and_raises_what_failed() -> None:
    out, screen = io.StringIO(), io.StringIO()
    with pytest.raises(KeyError), phase(reporter(out), "starting Ray"):
        raise KeyError
    with pytest.raises(KeyError), phase(reporter(screen, terminal=True), "starting Ray"):
        raise KeyError
    assert [state for _, _, state in events(out)] == ["begun", "failed"]
    assert "starting Ray: failed after 0 s" in screen.getvalue()


def test_a_terminal_shows_the_seconds_so_far_and_then_the_total() -> None:
    out = Watched("starting the engine (")
    with phase(reporter(out, terminal=True), "starting the engine"):
        assert out.twice.wait(60)
    assert re.search(r"starting the engine \(\d+ s\)", out.getvalue())
    assert re.search(r"starting the engine: \d+ s\n", out.getvalue())


def test_without_a_reporter_nothing_is_reported() -> None:
    with phase(None, "starting Ray"):
        reached = True
    assert reached
