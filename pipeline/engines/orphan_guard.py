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


def guard_children() -> None:
    """Starts a guard over every process that this one has started so far.

    Call it after the engine has started: processes forked later would hold the pipe open.
    """
    children = psutil.Process().children(recursive=True)
    if not children:
        return
    marks = [f"{child.pid}:{child.create_time()}" for child in children]
    # Nobody waits for the guard: it ends after this process, once its standard input is closed.
    subprocess.Popen(
        [sys.executable, __file__, *marks], stdin=subprocess.PIPE, start_new_session=True
    )


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
