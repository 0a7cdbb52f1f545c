"""Memory of this process and everything it started, sampled while a block runs."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Self

import psutil


class ProcessTreeMemory:
    """Samples the tree's proportional set size: pages that processes share count once.

    Attributes:
        peak_bytes: the largest sum seen.
        peak_processes: how many processes there were at that moment.
    """

    def __init__(self, every_seconds: float = 1.0) -> None:
        """Samples every so many seconds between ``__enter__`` and ``__exit__``."""
        self.peak_bytes = self.peak_processes = 0
        self._every = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        root = psutil.Process()
        while True:
            sizes = [_size(process) for process in [root, *root.children(recursive=True)]]
            if sum(sizes) > self.peak_bytes:
                self.peak_bytes, self.peak_processes = sum(sizes), len(sizes)
            if self._stop.wait(self._every):
                return


def _size(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_full_info().pss)
    return 0
