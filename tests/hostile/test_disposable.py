"""Processes that may die: a death costs its call alone, whoever dies and however."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.runtime import disposable
from pipeline.runtime.disposable import (
    Disposables,
    ProcessDiedError,
    ProcessStartError,
    TimeLimitError,
)
from pipeline.runtime.errors import InputError, RowRejected
from schemas.labels import Reason
from tests.hostile import hazards
from tests.processes import ROOT


@pytest.fixture(scope="module")
def processes() -> Iterator[Disposables]:
    made = Disposables(["tests.hostile.hazards"])
    yield made
    made.close()


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**16 + 1, 3_000_001])
def test_values_come_back_as_they_are(processes: Disposables, size: int) -> None:
    sent = np.arange(size, dtype=np.uint8)
    back = processes.call(hazards.echo, {"array": sent, "bytes": sent.tobytes(), "text": "ä" * 9})
    assert (back["bytes"], back["text"]) == (sent.tobytes(), "ä" * 9)
    np.testing.assert_array_equal(back["array"], sent)


def test_more_values_than_one_call_of_the_system_takes(processes: Disposables) -> None:
    sent = [np.full(4, number) for number in range(3_000)]
    assert [each.tolist() for each in processes.call(hazards.echo, sent)] == [
        each.tolist() for each in sent
    ]


def test_a_process_serves_many_calls(processes: Disposables) -> None:
    first = processes.call(hazards.pid)
    assert first != os.getpid()
    assert processes.call(hazards.pid) == first


def test_of_many_processes_those_used_last_serve(processes: Disposables) -> None:
    at_once = [processes.stream(iter, [1, 2]) for _ in range(3)]
    assert [next(each) for each in at_once] == [1, 1, 1]
    assert [list(each) for each in at_once] == [[2], [2], [2]]
    assert len({processes.call(hazards.pid) for _ in range(6)}) == 1


def test_what_is_imported_is_shared_by_all_processes(processes: Disposables) -> None:
    assert processes.call(gc.get_freeze_count) > 10_000  # a collection does not write to these


def test_what_is_added_is_imported_before_processes_are_forked() -> None:
    processes = Disposables(["tests.hostile.hazards"])
    first = processes.stream(hazards.are_imported, ["mailbox", "mailbox"])
    assert not next(first)
    processes.add(["mailbox", "tests.hostile.is_no_module"])
    assert processes.call(hazards.is_imported, "mailbox")  # by another: the first is at work
    assert list(first) == [False]
    processes.close()


@pytest.mark.parametrize(
    ("hazard", "said"),
    [(hazards.abort, "SIGABRT"), (hazards.leave, "status 7")],
)
def test_a_death_is_an_error_of_its_call(
    processes: Disposables, hazard: Callable[[], None], said: str
) -> None:
    with pytest.raises(ProcessDiedError, match=said):
        processes.call(hazard)
    assert processes.call(hazards.echo, 5) == 5


def taken_of(stream: Iterator[Any], error: type[Exception], said: str) -> list[Any]:
    """What a stream yields before the error that it must end with."""
    taken: list[Any] = []
    with pytest.raises(error, match=said):
        deque(map(taken.append, stream))
    return taken


def test_what_was_yielded_before_a_death_comes_first(processes: Disposables) -> None:
    stream = processes.stream(hazards.segfault_after, 3)
    assert taken_of(stream, ProcessDiedError, "SIGSEGV") == [0, 1, 2]


def test_one_that_hangs_is_killed(processes: Disposables) -> None:
    before = processes.call(hazards.pid)
    with pytest.raises(TimeLimitError, match=r"0\.2 s"):
        processes.call(hazards.hang, seconds=0.2)
    assert not psutil.pid_exists(before)
    assert processes.call(hazards.echo, "next", seconds=20) == "next"


def test_one_that_is_busy_in_c_is_killed(processes: Disposables) -> None:
    with pytest.raises(TimeLimitError, match=r"0\.2 s"):
        processes.call(hazards.busy, seconds=0.2)


def test_what_is_not_counted_takes_as_long_as_it_takes(processes: Disposables) -> None:
    assert processes.call(hazards.waiting, 0.5, seconds=0.2) == "done"
    assert hazards.waiting(0) == "done"  # in our own process nothing is counted


def test_each_item_of_a_stream_has_its_time(processes: Disposables) -> None:
    stream = processes.stream(hazards.slow_after, 3, seconds=0.2)
    assert next(stream) == 0
    time.sleep(0.5)  # whoever takes them may take longer
    assert taken_of(stream, TimeLimitError, r"0\.2 s") == [1, 2]


def test_errors_are_those_of_the_function(processes: Disposables) -> None:
    with pytest.raises(RowRejected) as rejected:
        processes.call(hazards.reject)
    assert (rejected.value.reason, rejected.value.detail) == (
        Reason.MEDIA_CORRUPT,
        "half a picture",
    )
    with pytest.raises(RuntimeError, match="LocalError: cannot be pickled"):
        processes.call(hazards.odd_error)


def test_tables_stream(processes: Disposables) -> None:
    found = taken_of(processes.stream(hazards.tables, 3, 50_000), InputError, "the end")
    assert [table["n"][0].as_py() for table in found] == [0, 1, 2]
    assert all(table.num_rows == 50_000 for table in found)
    assert found[2]["text"].to_pylist() == ["2"] * 50_000


def test_a_stream_that_is_left_ends_its_process(processes: Disposables) -> None:
    stream = processes.stream(hazards.tables, 1_000, 50_000)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert processes.call(hazards.echo, 1) == 1


def test_what_is_asked_for_is_held_until_the_end(processes: Disposables) -> None:
    events: list[str] = []

    @contextmanager
    def granted(size: int) -> Iterator[None]:
        events.append(f"+{size}")
        yield
        events.append(f"-{size}")

    assert processes.call(hazards.asking, [3, 5], granted=granted) == "granted"
    assert events == ["+3", "+5", "-5", "-3"]
    assert hazards.asking([9]) == "granted"  # in our own process nobody is asked


def test_threads_have_a_process_each(processes: Disposables) -> None:
    gate = threading.Barrier(4)

    def use(number: int) -> tuple[int, int]:
        @contextmanager
        def together(_: int) -> Iterator[None]:
            gate.wait(60)
            yield

        processes.call(hazards.asking, [1], granted=together)
        return number, processes.call(hazards.echo, number)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, range(4))) == [(n, n) for n in range(4)]


def test_the_parent_of_all_may_be_killed_too() -> None:
    processes = Disposables(["tests.hostile.hazards"])
    child = processes.call(hazards.pid)
    parent = psutil.Process(child).parent()
    assert parent is not None
    parent.kill()
    parent.wait()
    assert processes.call(hazards.pid) == child  # it serves on
    with pytest.raises(ProcessDiedError):
        processes.call(hazards.abort)
    assert processes.call(hazards.pid) != child
    processes.close()


def test_none_outlives_its_owner() -> None:
    code = (
        "import time\n"
        "from pipeline.runtime.disposable import Disposables\n"
        "from tests.hostile import hazards\n"
        "made = Disposables(['tests.hostile.hazards'])\n"
        "print(made.call(hazards.pid), flush=True)\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    child = psutil.Process(int(owner.stdout.readline()))
    family = [child, child.parent()]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    until = time.monotonic() + 60
    while any(process is not None and process.is_running() for process in family):
        assert time.monotonic() < until, family
        time.sleep(0.02)


def test_a_module_that_is_not_there_is_said() -> None:
    processes = Disposables(["tests.hostile.no_such_module"])
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        processes.call(hazards.pid)


def test_a_start_that_takes_too_long_is_said_and_the_next_one_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family = Disposables(["tests.hostile.hazards"])
    with monkeypatch.context() as impatient:
        impatient.setattr(disposable, "_START_S", 0.001)
        with pytest.raises(ProcessStartError, match=r"did not start within 0\.001 s, or was ended"):
            family.call(hazards.pid)
    assert family.call(hazards.echo, "served") == "served"
    family.close()
