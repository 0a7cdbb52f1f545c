"""What code takes from the machine that it runs on: clocks, threads, and which processes live.

A store has one, and everything that works on the store takes them from there: the simulator of
tests passes its own, so that one seed decides when anything happens.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol

from pipeline.runtime.clock import utc_now
from pipeline.runtime.disposable import Disposables, disposables_of
from pipeline.store.process_identity import ProcessIdentity, has_ended, this_process

# Counts while the machine is suspended, as time does elsewhere.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_READER_BYTES = 2**33  # that one may allocate: ten times the largest value that is of use


class Repeated(Protocol):
    """Something that is done again and again in the background."""

    def stop(self) -> None:
        """Ends it, and waits until it has ended."""


class Host:
    """The real machine.

    Attributes:
        imports: modules that a process needs to reach the store.
    """

    imports: Sequence[str] = ()

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.clock_gettime(_CLOCK)

    def now(self) -> datetime.datetime:
        """The time of day in UTC, which may be wrong on any machine."""
        return utc_now()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)

    def this_process(self) -> ProcessIdentity:
        """The process that calls this."""
        return this_process()

    def has_ended(self, process: ProcessIdentity) -> bool:
        """Whether it is certain that a process has ended."""
        return has_ended(process)

    def pool(self, threads: int) -> Executor:
        """Threads that work for the caller until it shuts them down."""
        return ThreadPoolExecutor(threads)

    def disposables(self, module: str) -> Disposables | None:
        """Where functions of a module run on bytes that may end their process.

        None where the store can be reached from this process alone.
        """
        processes = disposables_of(module, _READER_BYTES)
        processes.add(self.imports)
        return processes

    def repeat(self, step: Callable[[], bool], pause_s: float, name: str) -> Repeated:
        """Calls ``step`` every ``pause_s`` seconds in a thread, until it returns False.

        Args:
            step: what to do; whether to go on.
            pause_s: before every call.
            name: of the thread.
        """
        return _Repeating(step, pause_s, name)


class OneProcess(Host):
    """A machine where no other process reaches what is stored, such as a store in memory."""

    def disposables(self, module: str) -> Disposables | None:
        """None."""
        return None


class _Repeating:
    """A daemon thread that repeats a step."""

    def __init__(self, step: Callable[[], bool], pause_s: float, name: str) -> None:
        self._step, self._pause_s = step, pause_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s):
            if not self._step():
                return
