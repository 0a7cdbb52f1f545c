"""How SIGINT (Ctrl-C) and SIGTERM end a command, from its first import to its last line.

While a command loads, nothing has begun: it says so and ends at once. While it works, the first
signal is an exception in the main thread, so that leases are released and records closed; one more
ends the process at once, as SIGKILL would. From the moment the work is over, what came of it
stands, whatever comes while that is said and Python is left.

This concerns processes that are one command: a program that calls one keeps its own handlers. What
is imported here is there before any signal can be handled, and so it is little.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType

_ENDS = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("stopped by SIGTERM", 143)}
_AGAIN_S = 0.05


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, to a command that ends where it stands.

    As Ctrl-C it is no ``Exception``: no module may take it for an error of its own.
    """


def how_it_ended(error: KeyboardInterrupt) -> tuple[str, int]:
    """What to say of a signal, and the exit code."""
    return _ENDS[signal.SIGTERM if isinstance(error, TerminatedError) else signal.SIGINT]


def this_process_is_a_command() -> None:
    """From here on signals are handled as above; to be called before anything else is imported."""
    for number in _ENDS:
        # Whoever starts it in the background may have SIGINT ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _while_it_loads)
    # As the first it runs last: Python is about to give signals back to the system, whose way to
    # handle them is to end the process by them.
    atexit.register(_ignore)


def _ignore() -> None:
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)


def _while_it_loads(number: int, frame: FrameType | None) -> None:
    _end(number, "nothing was begun")


def _end(number: int, left: str) -> None:
    what, code = _ENDS[signal.Signals(number)]
    os.write(2, f"{what}; {left}\n".encode())
    os._exit(code)


class Signals:
    """What signals do while a command works and ends."""

    def __init__(self) -> None:
        """Nothing is handled yet."""
        self._raised: int | None = None
        self._over = False
        self._ended: int | None = None

    def raise_them(self) -> None:
        """From here on the first signal is an exception in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _ENDS:
            if signal.getsignal(number) is _while_it_loads:
                signal.signal(number, self._handle)
                sys.unraisablehook = self._not_raised

    @property
    def raised(self) -> KeyboardInterrupt | None:
        """The signal that was an exception: what failed since, failed of that."""
        if self._raised is None:
            return None
        return TerminatedError() if self._raised == signal.SIGTERM else KeyboardInterrupt()

    def hold_them(self) -> None:
        """The work is over: no signal is an exception any more."""
        self._over = True

    def end_with(self, code: int) -> None:
        """All is said: a signal while Python is left ends the process with this exit code."""
        self._ended = code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._ended is not None:
            os._exit(self._ended)
        if self._over:
            return
        if self._raised is not None:
            _end(number, "ended at once: what it was at is left as it was; run it again")
        self._raised = number
        raise TerminatedError if number == signal.SIGTERM else KeyboardInterrupt

    def _not_raised(self, what: sys.UnraisableHookArgs) -> None:
        """Raises a signal once more that came where nothing can be raised: in a callback of C."""
        if self._raised is None or not issubclass(what.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(what)
            return
        number, self._raised = self._raised, None
        main = threading.main_thread().ident
        threading.Timer(_AGAIN_S, signal.pthread_kill, [main, number]).start()
