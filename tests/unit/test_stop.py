"""A run that is asked to stop begins nothing more, and what it has judged is committed."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.labeling import unit_runner
from pipeline.labeling.stop_mark import StopMark
from pipeline.labeling.unit_result import UnitResult
from pipeline.parts.commit import commit_part
from pipeline.runtime.command import run_command
from pipeline.runtime.errors import ConfigError, StoppedError
from pipeline.runtime.stop import Stop, stop_on_sigterm
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, Recording, Row, pairs_of, runner, scripted, text_pair, unit
from tests.shards import labels_of


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


class LaterHost(Host):
    """A machine whose clock can be put forward."""

    later_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_s


class StopsItself(Recording):
    """Puts the stop mark when it is asked for the fifth time, and then lets a second go by."""

    output: Store

    async def reply(self, *arguments: object) -> object:  # type: ignore[override]
        if len(self.asked) == 4:
            StopMark(self.output, "run").put()
            assert isinstance(self.output.host, LaterHost)
            self.output.host.later_s += 1.1  # it is looked at once a second at most
        return await super().reply(*arguments)  # type: ignore[arg-type]


def stopped_in_between(output: Store, count: int, prompts: int | None = None) -> UnitResult:
    """Judges a unit pair by pair, and stops it at the third pair."""
    output.host = LaterHost()
    judge, engine = scripted(max_num_seqs=1)
    engine.__class__ = StopsItself
    engine.output = output  # type: ignore[attr-defined]
    return asyncio.run(
        runner(judge, output).run(unit(0, count), pairs_of(by_turns(count, prompts)))
    )


def by_turns(count: int, prompts: int | None) -> list[Row]:
    """Rows that have so many prompts by turns."""
    asked = text_pair(0)["prompt"]
    rows = [text_pair(number) for number in range(count)]
    return (
        rows
        if prompts is None
        else [row | {"prompt": f"{asked} {number % prompts}"} for number, row in enumerate(rows)]
    )


def test_pairs_that_are_begun_are_finished_and_committed(output: Store) -> None:
    result = stopped_in_between(output, 10)
    labels = labels_of(output.uri)
    assert [label["row"] for label in labels] == [0, 1, 2]
    assert {label["unit"] for label in labels} == {"000000000-000000003"}
    assert result.counts.pairs == 3
    assert result.counts.judgments == sum(len(label["votes"]) for label in labels) == 6


def test_the_next_run_judges_the_rest_of_the_unit_only(output: Store) -> None:
    stopped_in_between(output, 10)
    judge, engine = scripted()
    rest = pairs_of([text_pair(number) for number in range(3, 10)])
    result = asyncio.run(runner(judge, output, "other").run(unit(3, 10), rest))
    assert (result.counts.pairs, len(engine.asked)) == (7, 14)
    assert [label["row"] for label in labels_of(output.uri)] == list(range(10))


def test_pairs_that_were_begun_out_of_turn_are_kept_and_no_other_is_lost(output: Store) -> None:
    stopped_in_between(output, 10, prompts=3)
    assert [label["row"] for label in labels_of(output.uri)] == [0, 3, 6]
    judge, engine = scripted()
    rows, run = by_turns(10, 3), runner(judge, output, "other")
    for start, stop in ((1, 3), (4, 6), (7, 10)):  # what a plan leaves to do
        asyncio.run(run.run(unit(start, stop), pairs_of(rows[start:stop])))
    assert len(engine.asked) == 14
    assert [label["row"] for label in labels_of(output.uri)] == list(range(10))


def test_the_runs_of_a_stopped_unit_are_committed_side_by_side(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3)

    def committed(*how: Any) -> bool:
        together.wait(60)
        return commit_part(*how)

    monkeypatch.setattr(unit_runner, "commit_part", committed)
    result = stopped_in_between(output, 10, prompts=3)
    assert (result.counts.pairs, together.broken) == (3, False)


def test_units_that_arrive_after_the_stop_are_not_touched(output: Store) -> None:
    judge, engine = scripted()
    StopMark(output, "run").put()
    pairs = pairs_of([text_pair(number) for number in range(4)])
    result = asyncio.run(runner(judge, output).run(unit(0, 4), pairs))
    assert (result.counts.pairs, engine.asked) == (0, [])
    assert [entry.key for entry in output.list()] == ["runs/run/stop"]  # not even an attempt
    other = asyncio.run(runner(judge, output, "other").run(unit(0, 4), pairs))
    assert other.counts.pairs == 4  # the mark is of one run alone
    assert JUDGE_ID[:16] in next(entry.key for entry in output.list("parts"))


def test_a_stop_is_asked_by_a_signal_and_only_where_it_was_sent() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_sigterm() as stop:
        stop.check("nothing")
        assert (stop.asked, stop.over(0)) == (False, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.asked, stop.over(0), stop.over(3_600)) == (True, True, False)
        with pytest.raises(StoppedError, match="SIGTERM: two steps are done; the same command"):
            stop.check("two steps are done")
    assert signal.getsignal(signal.SIGTERM) is before
    assert copy.deepcopy(stop) is stop  # Ray Data copies its context
    assert not pickle.loads(pickle.dumps(stop)).asked


def test_in_other_threads_nothing_is_installed() -> None:
    seen: list[Stop] = []

    def work() -> None:
        with stop_on_sigterm() as stop:
            seen.append(stop)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [stop.asked for stop in seen] == [False]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = (
        "import os, signal\n"
        "from pipeline.runtime.stop import stop_on_sigterm\n"
        "with stop_on_sigterm():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('too long', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "still here\n")
    assert done.stderr == "SIGTERM: finishing what is in flight; once more ends it at once\n"


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (StoppedError("stopped by SIGTERM: half is done"), 143, "stopped by SIGTERM: half is done"),
        (ConfigError("no such key"), 2, "error: no such key"),
        (KeyboardInterrupt(), 130, "interrupted; run it again"),
    ],
)
def test_how_commands_end(
    raised: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> int:
        raise raised

    assert run_command(body, "run it again") == code
    assert capsys.readouterr().err == f"{said}\n"
    assert run_command(lambda: 3, "") == 3
