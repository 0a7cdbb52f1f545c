"""Holds short requests back until a group of them can be made at once.

Each step of an engine that has one of them beside the replies in flight is slower: it computes the
log-probabilities of all of them, and no CUDA graph of replies alone covers it.
"""

from __future__ import annotations

import asyncio

HELD_S = 1.0  # at most; a reply takes ten times as long


class RequestGroups:
    """Lets requests through in groups; on one event loop."""

    def __init__(self, size: int, held_s: float = HELD_S) -> None:
        """Takes how many make a group, and how long the first of them waits for the others."""
        self._size, self._held_s = size, held_s
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def join(self) -> None:
        """Returns once the caller's group is complete, or has waited long enough."""
        if self._size <= 1:
            return
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        if len(self._waiting) >= self._size:
            self._release()
        elif self._timer is None:
            self._timer = loop.call_later(self._held_s, self._release)
        await mine

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, waiting, self._waiting = None, self._waiting, []
        for each in waiting:
            if not each.done():  # cancelled meanwhile
                each.set_result(None)
