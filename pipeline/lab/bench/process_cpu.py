"""CPU time and kinds of processes of this process and everything it started."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from types import TracebackType
from typing import Self

import psutil

from pipeline.runtime.repeating import Repeating

_WORKER = "JudgeActor"  # in the title that Ray gives a judge's process


class ProcessTreeCpu(Repeating):
    """Samples the tree while a block runs.

    Attributes:
        own_s: CPU seconds of this process alone.
        tree_s: of all, those of processes that ended since as of when they were last seen.
        workers: judge actors alive, by seconds since the block began.
    """

    def __init__(self, every_seconds: float = 0.5) -> None:
        """Samples every so many seconds."""
        super().__init__(every_seconds)
        self.own_s = self.tree_s = 0.0
        self.workers: list[tuple[float, int]] = []
        self._seen: dict[int, float] = {}

    def __enter__(self) -> Self:
        self._began, self._before = time.monotonic(), _tree_cpu()
        self._own = _cpu(psutil.Process())
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.own_s = _cpu(psutil.Process()) - self._own
        self.tree_s = sum(cpu - self._before.get(pid, 0.0) for pid, cpu in self._seen.items())

    def most_workers(self) -> int:
        """The most judge actors there were at once."""
        return max((count for _, count in self.workers), default=0)

    def look(self) -> None:
        """Takes a sample."""
        self._seen |= _tree_cpu()
        titles = Counter(_WORKER in _title(child) for child in _tree())
        self.workers.append((round(time.monotonic() - self._began, 1), titles[True]))


def _tree() -> list[psutil.Process]:
    root = psutil.Process()
    return [root, *root.children(recursive=True)]


def _tree_cpu() -> dict[int, float]:
    return {process.pid: _cpu(process) for process in _tree()}


def _cpu(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline()[:1])
    return ""
