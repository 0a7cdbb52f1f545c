"""A shard in memory, for tests of what reads it."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import StorageError
from pipeline.store.host import OneProcess
from pipeline.store.object_store import Store
from tests.shards import pair


class Memory(Store):
    """A store of one object in memory; it fails from read number ``fail_from`` on."""

    def __init__(self, data: bytes, fail_from: float = float("inf")) -> None:
        super().__init__("/memory")
        self.host = OneProcess()
        self.data, self.reads, self.fail_from = data, 0, fail_from

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        self.reads += 1
        if self.reads > self.fail_from:
            raise StorageError("the connection is lost")
        return self.data[start:stop]


def small_pair(number: int, **more: Any) -> dict[str, Any]:
    return pair(number, images=None) | more
