"""Media that pairs have in common are decoded once: what came out lately is kept, within bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Decoded = TypeVar("Decoded")


class SharedDecoding(Generic[Decoded]):
    """Keeps decoded media, those used last; shared by all threads that decode.

    Who asks for one that is being decoded waits for it, so that many rows of one large picture do
    not decode it side by side.
    """

    def __init__(self, most: int, size: Callable[[Decoded], int]) -> None:
        """Keeps ``most`` bytes of what has ``size`` bytes each; a larger one is not kept."""
        self._most, self._size, self._held = most, size, 0
        self._lock = threading.Lock()
        self._coming: dict[Hashable, Future[Decoded]] = {}
        self._kept: OrderedDict[Hashable, Decoded] = OrderedDict()

    def get(self, key: Hashable, decode: Callable[[], Decoded]) -> Decoded:
        """What ``decode`` gives for ``key``, or has given lately; raises what it raises."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            coming = self._coming.get(key)
            if coming is None:
                mine = self._coming[key] = Future[Decoded]()
        if coming is not None:
            return coming.result()
        try:
            decoded = decode()
        except BaseException as error:
            with self._lock:
                del self._coming[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._coming[key]
            self._keep(key, decoded)
        mine.set_result(decoded)
        return decoded

    def _keep(self, key: Hashable, decoded: Decoded) -> None:
        if self._size(decoded) > self._most:
            return
        self._kept[key] = decoded
        self._held += self._size(decoded)
        while self._held > self._most:
            self._held -= self._size(self._kept.popitem(last=False)[1])
