"""CPU time, memory and judge actors of processes, measured while a block runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Self

import psutil

from pipeline.runtime.repeating import Repeating

_WORKER = "JudgeActor"  # in the title that Ray gives a judge's process
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


class ProcessTreeCpu(Repeating):
    """Samples the CPU time of this process and everything it started.

    Attributes:
        own_s: CPU seconds of this process alone.
        tree_s: of all; of a process that ended, those of its last sample.
        workers: judge actors alive, by seconds since the block began.
        looking_s: CPU seconds of the samples themselves.
    """

    def __init__(self, every_seconds: float = 0.5) -> None:
        """Samples every so many seconds."""
        super().__init__(every_seconds)
        self.own_s = self.tree_s = self.looking_s = 0.0
        self.workers: list[tuple[float, int]] = []
        self._seen: dict[int, float] = {}

    def __enter__(self) -> Self:
        self._began, self._before = time.monotonic(), _tree_cpu()
        self._own = _cpu(psutil.Process())
        return super().__enter__()

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        self.own_s = _cpu(psutil.Process()) - self._own
        self.tree_s = sum(cpu - self._before.get(pid, 0.0) for pid, cpu in self._seen.items())

    def look(self) -> None:
        """Takes a sample."""
        self._seen |= _tree_cpu()
        self.workers.append((round(time.monotonic() - self._began, 1), len(judge_processes())))
        self.looking_s = time.thread_time()


class ProcessTreeMemory(Repeating):
    """Samples the proportional set size of this process and everything it started.

    In that size, pages that processes share count once.

    Attributes:
        peak_bytes: the largest sum of a sample.
        peak_processes: how many processes there were at that moment.
        looking_s: CPU seconds of the samples themselves: the kernel looks at each page.
    """

    def __init__(self, every_seconds: float = 1.0) -> None:
        """Samples every so many seconds."""
        super().__init__(every_seconds)
        self.peak_bytes = self.peak_processes = 0
        self.looking_s = 0.0

    def look(self) -> None:
        """Takes a sample."""
        sizes = [_proportional_size(process) for process in _tree()]
        if sum(sizes) > self.peak_bytes:
            self.peak_bytes, self.peak_processes = sum(sizes), len(sizes)
        self.looking_s = time.thread_time()


class PeakMemory:
    """How much this process's resident memory grows within a block, at its highest.

    Attributes:
        grown_bytes: the growth; None where there is no ``/proc`` to read it from.
    """

    def __init__(self) -> None:
        self.grown_bytes: int | None = None
        self._before: int | None = None

    def __enter__(self) -> Self:
        if _RESET.exists():
            _RESET.write_text(_RESET_PEAK, encoding="ascii")
            self._before = _status_bytes("VmRSS")
        return self

    def __exit__(self, *raised: object) -> None:
        if self._before is not None:
            self.grown_bytes = _status_bytes("VmHWM") - self._before


def judge_processes() -> list[psutil.Process]:
    """The judge actors' processes below this one."""
    return [child for child in _tree() if _WORKER in _title(child)]


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


def _proportional_size(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_full_info().pss)
    return 0


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline()[:1])
    return ""


def _status_bytes(name: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
