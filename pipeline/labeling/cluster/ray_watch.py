"""Notices that the processes of a private Ray have died, before Ray ends the driver for it.

Ray's driver ends itself where it stands, seconds after its raylet or a minute after the GCS died:
no record would be closed, and the exit code would be Ray's.
"""

from __future__ import annotations

import atexit
import os
import select
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil
import ray

from pipeline.runtime.errors import RayLostError

_PROCESSES = ("raylet", "gcs_server")
_KILLED_S = 10  # until killed processes are gone


@contextmanager
def watched_ray(folder: Path) -> Iterator[None]:
    """Ends a block once a process of the private Ray in ``folder`` has died.

    Outside the main thread, which alone can be interrupted, nothing is watched.

    Raises:
        RayLostError: one has died.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watched = {os.pidfd_open(process.pid): process.name() for process in _processes_of(folder)}
    done, end = os.pipe()
    lost: list[str] = []

    def watch() -> None:
        ready, _, _ = select.select([*watched, done], [], [])
        if done not in ready:
            lost.append(watched[ready[0]])
            signal.pthread_kill(main, signal.SIGUSR2)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise RayLostError(
            f"Ray failed under the run (its process {lost[0]} died); what is committed stays: run "
            "again, and look at the memory of this machine"
        )

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR2, interrupt)
    thread = threading.Thread(target=watch, name="watch Ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(end, b".")
        thread.join()
        signal.signal(signal.SIGUSR2, before)
        for descriptor in (*watched, done, end):
            os.close(descriptor)
        if lost:
            atexit.unregister(ray.shutdown)  # it waits for what is gone
            atexit.register(_leave, folder)


def end_processes_of(folder: Path) -> None:
    """Kills what is left of a private Ray: it would hold shared memory and cores."""
    left = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(str(folder) in argument for argument in process.cmdline()):
                process.kill()
                left.append(process)
    psutil.wait_procs(left, _KILLED_S)


def remove(folder: Path) -> None:
    """Removes the folder of a private Ray, and the one around it."""
    shutil.rmtree(folder.parent, ignore_errors=True)


def _leave(folder: Path) -> None:
    """Ends what is left of Ray, and the process, which Ray's own code would crash.

    Not before the process is done: once its raylet is gone, Ray may end it at any moment.
    """
    end_processes_of(folder)
    remove(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(RayLostError.fault.exit_code)


def _processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            of_folder = any(str(folder) in argument for argument in process.cmdline())
            if process.name() in _PROCESSES and of_folder:
                found.append(process)
    return found
