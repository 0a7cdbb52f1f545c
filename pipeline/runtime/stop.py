"""SIGTERM, as ``ray job stop``, Kubernetes and systemd send it: end soon, and lose nothing.

The first one only asks: whoever works looks at :class:`Stop` between two steps. The second one
ends the process at once, as SIGKILL would; what is committed stays then too.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from pipeline.runtime.errors import PairmillError, StoppedError

_SIGTERM = "stopped by SIGTERM"


class Stop:
    """Whether this command has been asked to end, and when; safe to look at from any thread.

    A copy that reaches another process is a new one, which nobody asks.
    """

    def __init__(self) -> None:
        """No stop has been asked for yet."""
        self._since: float | None = None
        self._why, self._error = _SIGTERM, StoppedError
        self._fault: Callable[[], PairmillError | None] = lambda: None

    def end_on(self, fault: Callable[[], PairmillError | None]) -> None:
        """Has the work end, too, as soon as ``fault`` returns an error, which is then raised."""
        self._fault = fault

    @property
    def asked(self) -> bool:
        """Whether to begin nothing more."""
        return self._since is not None or self._fault() is not None

    def ask(self, why: str = _SIGTERM, error: type[StoppedError] = StoppedError) -> None:
        """Asks to end; of several askers the first one counts.

        Args:
            why: begins the message of the error.
            error: what :meth:`check` raises.
        """
        if self._since is None:
            self._why, self._error = why, error
            self._since = time.monotonic()

    def drop(self, why: str) -> None:
        """Asks to end, and to drop what still goes on."""
        self.ask(why)
        self._since = -math.inf

    def over(self, budget_s: float) -> bool:
        """Whether it was asked ``budget_s`` ago, so that what still goes on is to be dropped.

        After a fault that is at once.
        """
        if self._fault() is not None:
            return True
        return self._since is not None and time.monotonic() - self._since >= budget_s

    def check(self, done: str) -> None:
        """To be called between two steps.

        Args:
            done: what is done by then, for people; begins the message.

        Raises:
            StoppedError: it has been asked to end.
            PairmillError: the fault that ends the work, if there is one.
        """
        self.check_fault()
        if self._since is not None:
            raise self._error(f"{self._why}: {done}; the same command goes on from there")

    def check_fault(self) -> None:
        """For work that is done, and that need not be thrown away because a stop was asked for.

        Raises:
            PairmillError: the fault that ends the work, if there is one.
        """
        if (fault := self._fault()) is not None:
            raise fault

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Stop], tuple[()]]:
        return Stop, ()


@contextmanager
def stop_on_sigterm() -> Iterator[Stop]:
    """For the length of a block, SIGTERM asks to end by the flag that this yields.

    Outside the main thread, where Python allows no signal handlers, nothing asks.
    """
    stop, seen = Stop(), False
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            # Ray's threads may be anywhere: the usual teardown could hang, or abort.
            os._exit(StoppedError.exit_code)
        seen = True
        stop.ask()
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _ASKED)

    before = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


_ASKED = b"SIGTERM: finishing what is in flight; once more ends it at once\n"
