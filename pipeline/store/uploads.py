"""Writes an object piece by piece; it becomes visible only when it is complete."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.store import local_files

_PIECE_BYTES = 16 * 2**20  # of a multipart upload: as much of the object is held in memory


class Sink(Protocol):
    """Where the bytes of one object go."""

    def write(self, data: memoryview) -> object:
        """Takes the next bytes."""

    def commit(self) -> None:
        """Makes the object visible, replacing what is there."""

    def abort(self) -> None:
        """Removes what was written."""


class LocalSink:
    """A temporary file that is renamed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary, self._file = local_files.temporary(path)

    def write(self, data: memoryview) -> object:
        return self._file.write(data)

    def commit(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)

    def abort(self) -> None:
        with suppress(OSError):  # a full disk refuses what is still in its buffer
            self._file.close()
        self._temporary.unlink(missing_ok=True)


class S3Sink:
    """A multipart upload, or one PUT where the object is small.

    The pieces of an upload whose process died appear in no listing, and stay until a lifecycle rule
    of the bucket removes them.
    """

    def __init__(self, fs: Any, path: str) -> None:
        self._file = fs.open(path, "wb", block_size=_PIECE_BYTES)

    def write(self, data: memoryview) -> object:
        return self._file.write(data)

    def commit(self) -> None:
        self._file.close()

    def abort(self) -> None:
        self._file.closed = True  # or it commits what it holds when it is collected
        self._file.discard()


class Upload(io.RawIOBase):
    """An object being written, as a file.

    Attributes:
        name: the object's URI, for messages.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        errors: Callable[[], AbstractContextManager[None]],
        *,
        hashed: bool,
    ) -> None:
        """Made by ``Store.upload``; ``errors`` turns the store's errors into StorageError."""
        super().__init__()
        self.name = name
        self._sink, self._errors = sink, errors
        self._hash, self._size = hashlib.sha256() if hashed else None, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        with self._errors():
            self._sink.write(view)
        if self._hash is not None:
            self._hash.update(view)
        self._size += len(view)
        return len(view)

    def tell(self) -> int:
        return self._size

    @property
    def sha256(self) -> str:
        """SHA-256 of what has been written, in hex, if it was asked for."""
        assert self._hash is not None
        return self._hash.hexdigest()

    def write_all(self, pieces: Iterable[bytes]) -> None:
        """Writes all pieces; aborts if one cannot be had or written."""
        try:
            for piece in pieces:
                self.write(piece)
        except BaseException:
            self.abort()
            raise

    def commit(self) -> None:
        """Makes the object visible, replacing what is there.

        Raises:
            StorageError: the store refuses; what was written is removed then.
        """
        try:
            with self._errors():
                self._sink.commit()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Removes what was written, as far as the store can be reached."""
        with suppress(OSError, ClientError, BotoCoreError):
            self._sink.abort()
