"""Ends an engine's processes when the worker that owns them is killed.

vLLM's engine core outlives a parent that took SIGKILL and keeps the GPU's memory, so that the
replacement worker could never start. A guard process holds the reading end of a pipe; the kernel
closes the other end with the worker, however it died.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

import psutil


class OrphanGuard:
    """A guard over every process that this one has started so far.

    Make it after the engine has started: processes forked later would hold the pipe open.
    """

    def __init__(self) -> None:
        """Starts the guard, if there is anything to guard."""
        children = psutil.Process().children(recursive=True)
        marks = [f"{child.pid}:{child.create_time()}" for child in children]
        command = [sys.executable, __file__, *marks]
        self._guard = (
            subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            if marks
            else None
        )

    def close(self) -> None:
        """Ends the guard alone: the engine has been closed, and this process lives on."""
        if self._guard is not None:
            self._guard.kill()  # it would take its closed pipe for the end of this process
            self._guard.communicate()


def end_processes(marks: list[str]) -> None:
    """Kills each ``pid:create_time`` that is still the same process."""
    for mark in marks:
        pid, _, created = mark.partition(":")
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(pid))
            if process.create_time() == float(created):
                process.kill()


if __name__ == "__main__":
    sys.stdin.buffer.read()  # returns when the guarded worker is gone
    end_processes(sys.argv[1:])
