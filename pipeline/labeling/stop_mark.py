"""The mark by which a run's driver stops its workers and readers: they start nothing more.

It is an empty object beside the run's record, since the output store is what all of them reach,
whichever nodes fail. They look for it at most once a second.
"""

from __future__ import annotations

import asyncio

from pipeline.store.object_store import Store

_LOOK_S = 1.0


class StopMark:
    """The stop mark of one run, as one process sees it."""

    def __init__(self, output: Store, run_id: str) -> None:
        """The mark is an object of the output store."""
        self._store, self._key = output, f"runs/{run_id}/stop"
        self._seen, self._looked = False, -_LOOK_S

    def put(self) -> None:
        """Stores the mark.

        Raises:
            StorageError: the store fails.
        """
        self._store.put(self._key, b"")

    def seen(self) -> bool:
        """Whether the mark is stored, as of at most a second ago.

        Raises:
            StorageError: the store fails.
        """
        if self._due():
            self._seen = self._store.size(self._key) is not None
        return self._seen

    async def noticed(self) -> bool:
        """As :meth:`seen`, without blocking the event loop."""
        if self._due():
            self._seen = await asyncio.to_thread(self._store.size, self._key) is not None
        return self._seen

    def _due(self) -> bool:
        """Whether to look now; counts as a look."""
        now = self._store.host.monotonic()
        due = not self._seen and now - self._looked >= _LOOK_S
        if due:
            self._looked = now
        return due
