"""Which pairs were taken down by ``pairmill forget``, while a page about them may be open."""

from __future__ import annotations

import threading

from pipeline.parts.forgotten import FOLDER, Forgotten
from pipeline.store.object_store import Store

TAKEN_DOWN = "The pair was taken down (pairmill forget)."


class TakenDown:
    """The records of an output, read again once there are more of them; any thread may ask."""

    def __init__(self, output: Store) -> None:
        """Binds to an output."""
        self._output, self._lock = output, threading.Lock()
        self._keys, self._known = list[str](), Forgotten()

    def now(self) -> Forgotten:
        """What is known now.

        Raises:
            InputError: a record is damaged.
            StorageError: the output fails.
        """
        keys = [entry.key for entry in self._output.list(FOLDER)]
        with self._lock:
            if keys != self._keys:
                self._known, self._keys = Forgotten.read(self._output), keys
            return self._known
