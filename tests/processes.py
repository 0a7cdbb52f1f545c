"""Jobs as real processes: in a session of their own, ended by a signal, and looked after."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
# They look for their raylet once a minute and hold nothing meanwhile; all else must end by itself.
_AGENTS = (["ray::DashboardAgent"], ["ray::RuntimeEnvAgent"])
_PATIENCE_S = 400
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.1  # conditions look at folders, or at all processes


@dataclass
class Job:
    """A running ``python -m jobs.label`` with its private Ray."""

    process: subprocess.Popen[str]

    def kill(self) -> int:
        """Sends SIGKILL to the driver alone; returns its return code once every process of the
        job is gone.

        Raises:
            AssertionError: the driver was not running, or its processes outlive it.
        """
        assert self.process.poll() is None, self.process.communicate()
        folders = self.ray_folders()
        agents: list[psutil.Process] = []
        others: list[psutil.Process] = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            (agents if process.cmdline()[:1] in _AGENTS else others).append(process)
        self.process.kill()
        self.process.communicate()
        wait_until(lambda: all(dead(process) for process in others))
        for agent in agents:
            with contextlib.suppress(psutil.NoSuchProcess):
                agent.kill()
        for folder in folders:
            wait_until(functools.partial(_no_process_with, folder))
            shutil.rmtree(folder, ignore_errors=True)
        return self.process.returncode

    def ray_folders(self) -> set[str]:
        """The temporary folders of the job's private Ray, if it has started."""
        folders = set()
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                for argument in process.cmdline():
                    name = argument.partition("/tmp/pairmill-")[2].partition("/")[0]
                    if name:
                        folders.add(f"/tmp/pairmill-{name}")
        return folders


@contextlib.contextmanager
def started(
    module: str, arguments: list[str], environment: Mapping[str, str] | None = None
) -> Iterator[Job]:
    """Runs ``python -m module`` beside the test; whatever is left of it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        job = Job(process)
        try:
            yield job
        finally:
            if process.poll() is None:
                job.kill()


def wait_until(condition: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
    """Waits for a condition.

    Raises:
        AssertionError: it has not come about after minutes.
    """
    end, wait_s = time.monotonic() + patience_s, _FIRST_WAIT_S
    while not condition():
        assert time.monotonic() < end, f"not within {patience_s:.0f} s: {_source(condition)}"
        time.sleep(wait_s)
        wait_s = min(1.2 * wait_s, _LONGEST_WAIT_S)


def _source(condition: Callable[[], object]) -> str:
    """How a condition is written in its test."""
    try:
        return inspect.getsource(condition).strip()
    except TypeError:  # a partial, for example
        return repr(condition)


def dead(process: psutil.Process) -> bool:
    """Whether a process has ended, a zombie included."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_with(text: str) -> list[int]:
    """The ids of all processes whose command line contains ``text``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(text in argument for argument in process.cmdline()):
                found.append(process.pid)
    return found


def _no_process_with(text: str) -> bool:
    return not processes_with(text)
