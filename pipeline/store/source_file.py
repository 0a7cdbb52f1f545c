"""A stored object as a seekable file that distinguishes a failing store from a corrupt file."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from pipeline.runtime.disposable_process import uncounted
from pipeline.runtime.errors import StorageError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line

# Larger reads go into memory that Arrow uses again: new memory costs the kernel more than a copy.
_SMALL_BYTES = 2**20


class SourceFile(io.RawIOBase):
    """A seekable object that remembers the store's failure, if there was one, until it is taken.

    Parquet reports a bad page and a lost connection both as OSError; the first is a reason for
    quarantine, the second must be raised.
    """

    def __init__(
        self,
        name: str,
        size: int,
        read_range: Callable[[int, int], bytes],
        read_into: Callable[[int, memoryview], int],
    ) -> None:
        """Wraps an object.

        Args:
            name: for messages.
            size: its bytes.
            read_range: returns its bytes ``[start, stop)``.
            read_into: fills memory with its bytes from a start on; returns how many there were.
        """
        super().__init__()
        self._failure: StorageError | None = None
        self.name = name
        self._size, self._position = size, 0
        self._read_range, self._read_into = read_range, read_into

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        """The object's size in bytes."""
        return self._size

    def take_failure(self) -> StorageError | None:
        """The store's failure, which is not kept here any longer."""
        failure, self._failure = self._failure, None
        return failure

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Sorts what Arrow raises while it reads this file.

        Raises:
            StorageError: the store failed.
            pa.ArrowInvalid: the file is damaged; says how.
        """
        try:
            yield
        except UNREADABLE_FILE as error:
            failure = self.take_failure()
            if failure is not None:
                raise failure from error
            raise pa.ArrowInvalid(first_line(error)) from error

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._size, self._position + size)
        if stop <= self._position:
            return b""
        with self._asking():
            data = self._read_range(self._position, stop)
        self._position += len(data)
        return data

    def read_buffer(self, size: int) -> pa.Buffer:
        """As ``read``: Arrow asks for this one where it keeps what it gets."""
        left = max(0, min(size, self._size - self._position))
        if left <= _SMALL_BYTES:
            return pa.py_buffer(self.read(left))
        block = pa.allocate_buffer(left)
        with self._asking():
            read = self._read_into(self._position, memoryview(block).cast("B"))
        self._position += read
        return block.slice(0, read)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around what asks the store: its failure is remembered, its time is not counted."""
        try:
            with uncounted():  # a slow store is no fault of the file
                yield
        except StorageError as error:
            # One that is raised holds the frames that it passes, and with them Arrow's file around
            # this one: kept here, it would close a cycle through C++ that nobody could free.
            self._failure = copy.copy(error)
            raise OSError(str(error)) from error
