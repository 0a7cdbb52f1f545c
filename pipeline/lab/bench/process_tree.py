"""Memory of this process and everything it started, sampled while a block runs."""

from __future__ import annotations

import contextlib

import psutil

from pipeline.runtime.repeating import Repeating


class ProcessTreeMemory(Repeating):
    """Samples the tree's proportional set size: pages that processes share count once.

    Attributes:
        peak_bytes: the largest sum seen.
        peak_processes: how many processes there were at that moment.
    """

    def __init__(self, every_seconds: float = 1.0) -> None:
        """Samples every so many seconds."""
        super().__init__(every_seconds)
        self.peak_bytes = self.peak_processes = 0
        self._root = psutil.Process()

    def look(self) -> None:
        """Takes a sample."""
        sizes = [_size(process) for process in [self._root, *self._root.children(recursive=True)]]
        if sum(sizes) > self.peak_bytes:
            self.peak_bytes, self.peak_processes = sum(sizes), len(sizes)


def _size(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_full_info().pss)
    return 0
