"""An engine's processes end with the worker that started them, however it died."""

from __future__ import annotations

import gc
import subprocess
import sys

import psutil
import pytest

from pipeline.engines.orphan_guard import OrphanGuard, end_processes
from tests.processes import ROOT, dead, wait_until

# A worker whose engine is two processes, a shell and what it has started.
WORKER = """
import subprocess, sys
from pipeline.engines.orphan_guard import OrphanGuard

command = ["sh", "-c", "sleep 600 & echo $!; wait"]
engine = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
below = engine.stdout.readline().strip()
guard = OrphanGuard()
print(engine.pid, below, flush=True)
sys.stdin.read()
"""


def test_a_worker_that_is_killed_takes_its_engine_along() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        engine = [psutil.Process(int(pid)) for pid in worker.stdout.readline().split()]
        assert [dead(process) for process in engine] == [False, False]
        worker.kill()
    wait_until(lambda: all(dead(process) for process in engine))


def test_another_process_that_got_the_same_id_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        created = psutil.Process(process.pid).create_time()
        end_processes([f"{process.pid}:{created - 1}"])
        assert process.poll() is None
        end_processes([f"{process.pid}:{created}"])
    assert process.returncode == -9


@pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)
def test_a_guard_that_is_closed_is_gone_and_touches_nothing() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        before = psutil.Process().children()
        guard = OrphanGuard()
        (own,) = set(psutil.Process().children()) - set(before)
        guard.close()
        del guard
        gc.collect()
        assert (dead(own), process.poll()) == (True, None)
        process.kill()
