"""Runs functions on untrusted bytes in processes that may die: a death is an error of one call.

Libraries written in C end their process on some damaged input, and may run for hours on other. A
:class:`Disposables` keeps one parent process that has imported what is needed; from it, processes
are forked in milliseconds, so that one that dies is cheap to replace. Arguments and results are
pickled; their large buffers (Arrow, numpy, ``PickleBuffer``) go through memory that is kept.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from pipeline.runtime.disposable_process import (
    ASKED,
    DONE,
    FAILED,
    FORK,
    ITEM,
    STATUS,
    Channel,
)
from pipeline.runtime.errors import Fault, PairmillError

Result = TypeVar("Result")
Granted = Callable[[Any], AbstractContextManager[Any]]
_START_S = 120  # imports on a busy machine


class ProcessStartError(PairmillError):
    """The process that others are forked from did not start."""

    fault = Fault.TRANSIENT


class ProcessDiedError(Exception):
    """A process died under a call: of its input, or killed from outside."""


class TimeLimitError(Exception):
    """A call took longer than it may; its process was killed."""


class Disposables:
    """Makes disposable processes; may be shared by threads."""

    def __init__(self, modules: Sequence[str], memory: int | None = None) -> None:
        """Remembers what processes import before they are forked; nothing is started yet.

        Args:
            modules: names of modules, those of the functions that will be called among them.
            memory: bytes that each may allocate beside what the modules take; what asks for more
                fails, or ends its process.
        """
        self._modules, self._memory = list(modules), memory
        self._added: dict[str, None] = {}
        self._lock = threading.Lock()
        self._control: Channel | None = None
        self._parent: subprocess.Popen[bytes] | None = None
        # The one that was used last is used next: each that is used takes memory of its own and
        # keeps it, and of those that one step used at once the next step may need a few.
        self._free: deque[Disposable] = deque()

    def add(self, modules: Sequence[str]) -> None:
        """Has these imported, too, before the next process is forked: once, and not in each."""
        self._added |= dict.fromkeys(modules)

    def call(
        self,
        function: Callable[..., Result],
        *arguments: Any,
        seconds: float | None = None,
        granted: Granted | None = None,
    ) -> Result:
        """What a module's function returns, run in a process that nothing else uses meanwhile.

        Where the process dies it is called once more: it may have been killed from outside.

        Args:
            function: a function at the top of one of the modules.
            arguments: pickled.
            seconds: how long it may take; what it does ``uncounted`` is left out, as is the time
                in which ``granted`` waits.
            granted: called with what the function passes to ``ask``, which returns what this
                one's context has; the context is left when the function ends.

        Raises:
            ProcessDiedError: the process died each time.
            TimeLimitError: it took too long.
            Exception: whatever the function raises.
        """
        with suppress(ProcessDiedError):
            return self._call(function, arguments, seconds, granted)
        return self._call(function, arguments, seconds, granted)

    def _call(
        self,
        function: Callable[..., Result],
        arguments: Sequence[Any],
        seconds: float | None,
        granted: Granted | None,
    ) -> Result:
        with self._borrowed() as process:
            results = process.run(function, arguments, seconds, granted, stream=False)
            result: Result = next(results)
            with suppress(StopIteration):
                next(results)
            return result

    def stream(
        self,
        function: Callable[..., Iterator[Result]],
        *arguments: Any,
        seconds: float | None = None,
    ) -> Iterator[Result]:
        """What a module's generator function yields; one item is made ahead of those taken.

        Args:
            function: as in :meth:`call`.
            arguments: pickled.
            seconds: how long each item may take, and the end after the last; as in :meth:`call`.

        Raises:
            ProcessDiedError: the process died; what it had yielded before is yielded first.
            TimeLimitError: an item took too long; likewise.
            Exception: whatever the function raises.
        """
        with self._borrowed() as process:
            yield from process.run(function, arguments, seconds, None, stream=True)

    def close(self) -> None:
        """Ends all processes."""
        while self._free:
            self._free.pop().end()
        with self._lock:
            self._forget()

    @contextmanager
    def _borrowed(self) -> Iterator[Disposable]:
        try:
            process = self._free.pop()  # without a lock: a generator's end may put one back
        except IndexError:
            process = Disposable(self)
        process.refresh()
        try:
            yield process
        finally:
            process.settle()
            self._free.append(process)

    def fork(self) -> tuple[int, Channel]:
        """A new process, and the channel that it serves."""
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as unless_forked:
            unless_forked.enter_context(ours)
            pid = self._asked(FORK, (dict(os.environ), list(self._added)), [theirs.fileno()])
            unless_forked.pop_all()
        return pid, Channel(ours)

    def status_of(self, pid: int) -> int:
        """How a process that has ended, or is about to, ended; as ``subprocess`` has it."""
        return self._asked(STATUS, pid)

    def _asked(self, kind: int, value: Any, fds: Sequence[int] = ()) -> int:
        """What the parent process answers; another is started where it has been killed."""
        with self._lock:
            if self._parent is not None and self._parent.poll() is not None:
                self._forget()
            control = self._started()
            control.send(kind, value, fds)
            return int(control.receive()[1])

    def _forget(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._parent is not None:
            self._parent.wait()
        self._control = self._parent = None

    def _started(self) -> Channel:
        if self._control is None:
            ours, theirs = socket.socketpair()
            # The interpreter's own options and environment, and the path that this process has.
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; "
                "from pipeline.runtime.disposable_process import main; "
                f"main({theirs.fileno()}, {self._modules!r}, {self._memory!r})"
            )
            with theirs:
                self._parent = subprocess.Popen(
                    [sys.executable, "-c", code],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # what C libraries say when they abort
                )
            self._control = Channel(ours)
            try:
                kind, error = self._control.receive(until=time.monotonic() + _START_S)
            except (TimeoutError, EOFError) as early:
                self._parent.kill()
                self._forget()
                raise ProcessStartError(
                    f"a process that reads shards and media did not start within {_START_S} s, or "
                    f"was ended (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores); look at "
                    "what else keeps this machine busy, and at its memory, then run it again"
                ) from early
            self._control.limit(None)
            if kind == FAILED:
                self._forget()
                raise error
        return self._control


class Disposable:
    """One process at a time; another takes its place where it has died."""

    def __init__(self, family: Disposables) -> None:
        """Takes its processes from ``family``; the first at the first call."""
        self._family = family
        self._pid = 0
        self._channel: Channel | None = None
        self._idle = True
        self._credentials: dict[str, str] = {}

    def refresh(self) -> None:
        """Ends a process that was forked with other credentials of a store than there are now."""
        if self._credentials != _credentials():
            self.end()

    def settle(self) -> None:
        """Ends the process if it is in the middle of something."""
        if not self._idle:
            self.end()

    def run(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        seconds: float | None,
        granted: Granted | None,
        *,
        stream: bool,
    ) -> Iterator[Any]:
        """What :meth:`Disposables.call` and :meth:`Disposables.stream` say."""
        if self._channel is None:
            self._credentials = _credentials()
            self._pid, self._channel = self._family.fork()
        self._idle = False
        with ExitStack() as held:
            try:
                self._channel.send(ITEM if stream else DONE, (function, arguments, seconds))
                while True:
                    kind, value = self._channel.receive()
                    if kind == ASKED:
                        given = granted and held.enter_context(granted(value))
                        self._channel.send(ASKED, given)
                    elif kind == ITEM:
                        self._channel.send(ITEM, None)  # it may make the next one meanwhile
                        yield value
                    else:
                        break
            except (EOFError, ConnectionError) as error:
                raise self._buried(seconds) from error
        self._idle = True
        if kind == FAILED:
            raise value
        if not stream:
            yield value

    def end(self) -> None:
        """Ends the process, whatever it does."""
        if self._channel is not None:
            self._channel.close()
            self._channel, self._idle = None, True
            self._family.status_of(-self._pid)

    def _buried(self, seconds: float | None) -> ProcessDiedError | TimeLimitError:
        """Why the process has ended that might work for so many seconds."""
        assert self._channel is not None
        self._channel.close()
        self._channel, self._idle = None, True
        status = self._family.status_of(self._pid)
        if seconds is not None and status == -signal.SIGALRM:
            return TimeLimitError(f"not done within {seconds:g} s")
        if status >= 0:
            return ProcessDiedError(f"its process ended with status {status}")
        with suppress(ValueError):
            return ProcessDiedError(f"its process died of {signal.Signals(-status).name}")
        return ProcessDiedError(f"its process died of signal {-status}")


@functools.cache
def disposables_of(module: str, memory: int | None = None) -> Disposables:
    """Processes that import a module: one family of them in each process that asks."""
    return Disposables([module], memory)


def _credentials() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
