"""Bugs of the protocol, each planted by a small subclass: what the simulator must find."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from pipeline.runtime.errors import StorageError
from pipeline.snapshots.manifests import LATEST_KEY
from pipeline.store.object_store import Version
from pipeline.store.process_identity import ProcessIdentity
from pipeline.store.uploads import Upload
from tests.simulator.scheduler import Process
from tests.simulator.simulated_store import (
    SimulatedClient,
    SimulatedHost,
    SimulatedStore,
    World,
)

_LOST = 0.1  # of objects


class CreateWithoutCondition(SimulatedStore):
    """Creates objects without If-None-Match, so that a part is written over."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


class SwapIgnoresTag(SimulatedStore):
    """Swaps whatever is there."""

    class client(SimulatedClient):
        def _put(self, key: str, data: bytes, none: bool = False, tag: str | None = None) -> str:
            return super()._put(key, data, none, None)


class SwapTakesFailureForSuccess(SimulatedStore):
    """Believes that it has swapped where the store failed."""

    def swap(self, key: str, data: bytes, expected: Version | None) -> Version | None:
        try:
            return super().swap(key, data, expected)
        except StorageError:
            return Version(data, f'"{hashlib.md5(data).hexdigest()}"')


class CreateTakesFailureForSuccess(SimulatedStore):
    """Believes that it has created what it now and then has not."""

    def create(self, key: str, data: bytes) -> bool:
        lost = self._fs.world.scheduler.random.random() < _LOST
        return True if lost else super().create(key, data)


class AllProcessesSeemEnded(SimulatedStore):
    """Takes the lease of a process of another machine for that of one that has ended here."""

    def __init__(self, world: World, process: Process, root: str) -> None:
        super().__init__(world, process, root)
        self.host = _Blind(world, process)


class _Blind(SimulatedHost):
    """A machine that knows of no living process."""

    def has_ended(self, process: ProcessIdentity) -> bool:
        return True


class UploadIgnoresFailure(SimulatedStore):
    """Goes on where a file of a snapshot was not written, as it now and then is not."""

    def upload(self, key: str, *, hashed: bool = False) -> Upload:
        lost = self._fs.world.scheduler.random.random() < _LOST
        return _Uploading(
            super().upload(key, hashed=hashed), lambda whole: None if lost else whole.commit()
        )


class ManifestBeforeFiles(SimulatedStore):
    """Writes the files of a snapshot after its manifest."""

    _pending: list[Upload]

    def upload(self, key: str, *, hashed: bool = False) -> Upload:
        self._pending = getattr(self, "_pending", [])
        return _Uploading(super().upload(key, hashed=hashed), self._pending.append)

    def create(self, key: str, data: bytes) -> bool:
        created = super().create(key, data)
        for upload in self.__dict__.pop("_pending", []):
            upload.commit()
        return created


class LatestWithoutCondition(SimulatedStore):
    """Writes LATEST.json although another process has swapped it."""

    def swap(self, key: str, data: bytes, expected: Version | None) -> Version | None:
        if key != LATEST_KEY:
            return super().swap(key, data, expected)
        self.put(key, data)
        return Version(data, "")


class _Uploading(Upload):
    """An upload that is committed in another way."""

    def __init__(self, upload: Upload, commit: Callable[[Upload], object]) -> None:
        super().__init__(upload.name, upload._sink, upload._errors, hashed=False)
        self._other, self._commit = upload, commit

    def commit(self) -> None:
        self._commit(self._other)
