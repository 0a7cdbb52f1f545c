"""The mark by which a run's driver tells its workers and readers to begin nothing more.

It is an empty object beside the run's record, since that is what all of them can reach, whatever
becomes of the nodes between. They look for it at most once a second.
"""

from __future__ import annotations

import asyncio
import time

from pipeline.store.object_store import Store

_LOOK_S = 1.0


class StopMark:
    """The stop mark of one run, as one process sees it."""

    def __init__(self, output: Store, run_id: str) -> None:
        """Keeps the mark in the output store."""
        self._store, self._key = output, f"runs/{run_id}/stop"
        self._seen, self._looked = False, -_LOOK_S

    def put(self) -> None:
        """Tells everybody of the run to end.

        Raises:
            StorageError: the store fails.
        """
        self._store.put(self._key, b"")

    def seen(self) -> bool:
        """Whether the mark was there within the last second.

        Raises:
            StorageError: the store fails.
        """
        if self._due():
            self._seen = self._store.size(self._key) is not None
        return self._seen

    async def noticed(self) -> bool:
        """As :meth:`seen`, without holding up the event loop."""
        if self._due():
            self._seen = await asyncio.to_thread(self._store.size, self._key) is not None
        return self._seen

    def _due(self) -> bool:
        """Whether to look now; counts as a look."""
        now = time.monotonic()
        due = not self._seen and now - self._looked >= _LOOK_S
        if due:
            self._looked = now
        return due
