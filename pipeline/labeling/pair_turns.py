"""Which pair is begun next: the one that waits longest, and right behind it those of its prompt.

An engine computes the beginning that prompts have in common once: its picture, its question. It
keeps it while a request with it runs, and for a while after that. So pairs of one prompt are begun
together, from whichever units in flight they are; what is asked about each does not depend on that,
and the rows of a unit are committed in their own order.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeline.labeling.read_pairs import Pairs
from pipeline.pairs.prompts import prompt_key

# Of pairs that go before the one that waits longest: a prompt that half of all rows have must not
# keep the others, and so their units, waiting for as long as the run takes.
_MOST_AHEAD = 32


def prompt_keys(pairs: Pairs) -> list[bytes]:
    """For each pair a key that those of its question and media share."""
    return [prompt_key(messages) for messages in pairs.questions()]


class PairTurns:
    """Slots for the pairs in flight of one worker; on one event loop."""

    def __init__(self, slots: int) -> None:
        """Takes how many pairs may be in flight."""
        self._free = slots
        self._waiting: OrderedDict[asyncio.Future[None], bytes] = OrderedDict()
        self._by_key: dict[bytes, OrderedDict[asyncio.Future[None], None]] = {}
        self._begun: OrderedDict[bytes, None] = OrderedDict()  # keys of the last pairs
        self._kept = slots
        self._next: deque[asyncio.Future[None]] = deque()  # those whose prompt was just begun
        self._ahead = 0

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncIterator[None]:
        """Holds a slot, which is given in the order that this module is about.

        Args:
            key: of the pair, as :func:`prompt_keys` makes them.
        """
        await self._wait(key)
        try:
            yield
        finally:
            self._free += 1
            self._give()

    async def _wait(self, key: bytes) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[mine] = key
        self._by_key.setdefault(key, OrderedDict())[mine] = None
        if key in self._begun:
            self._next.append(mine)
        self._give()
        try:
            await mine
        except asyncio.CancelledError:
            if mine in self._waiting:
                self._leave(mine)
            elif not mine.cancelled():  # given, and cancelled before it was taken
                self._free += 1
                self._give()
            raise

    def _give(self) -> None:
        while self._free and self._waiting:
            chosen = self._choose()
            key = self._leave(chosen)
            if chosen.done():  # cancelled
                continue
            if key not in self._begun:
                self._next.extend(self._by_key.get(key, ()))
            self._begun[key] = None
            self._begun.move_to_end(key)
            if len(self._begun) > self._kept:
                self._begun.popitem(last=False)
            self._free -= 1
            chosen.set_result(None)

    def _choose(self) -> asyncio.Future[None]:
        while self._next and self._next[0] not in self._waiting:  # begun, or cancelled
            self._next.popleft()
        if self._next and self._ahead < _MOST_AHEAD:
            self._ahead += 1
            return self._next.popleft()
        self._ahead = 0
        return next(iter(self._waiting))

    def _leave(self, mine: asyncio.Future[None]) -> bytes:
        key = self._waiting.pop(mine)
        self._by_key[key].pop(mine)
        if not self._by_key[key]:
            del self._by_key[key]
        return key
