"""Looks at something again and again while a block runs."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self


class Repeating(ABC):
    """A context manager that looks in a thread of its own: at once, again and again, at the end."""

    def __init__(self, every_seconds: float) -> None:
        """Looks every so many seconds between ``__enter__`` and ``__exit__``."""
        self._every = every_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @abstractmethod
    def look(self) -> None:
        """Looks once."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while True:
            self.look()
            if ended:
                return
            ended = self._ended.wait(self._every)


@contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Calls a function in a thread of its own, every so many seconds while a block runs."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            call()

    thread = threading.Thread(target=run, name=getattr(call, "__name__", "every"), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
