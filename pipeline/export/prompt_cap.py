"""At most so many rows of one prompt, whatever the size of the corpus.

Rows of one prompt may be anywhere, so all of them have to be brought together: as three numbers
each, sorted into files by prompt, of which one at a time is in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

_BUCKETS = 64

# A row: the prompt, the draw that decides which rows of a prompt stay, and its number.
RECORD = np.dtype([("prompt", "<u8"), ("draw", "<u8"), ("row", "<i8")])


class PromptCap:
    """Finds the rows beyond the cap; a context manager, as it holds files."""

    def __init__(self, most: int, buckets: int = _BUCKETS) -> None:
        """Lets ``most`` rows of a prompt pass."""
        self._most, self._buckets = most, buckets

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="pairmill-prompts-")
        self._files = [
            (Path(self._folder.name) / str(number)).open("w+b") for number in range(self._buckets)
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files:
            file.close()
        self._folder.cleanup()

    def add(self, records: NDArray[np.void]) -> None:
        """Takes rows, of ``RECORD``."""
        buckets = records["prompt"] % self._buckets
        for number in np.unique(buckets):
            self._files[number].write(records[buckets == number].tobytes())

    def beyond(self) -> Iterator[NDArray[np.int64]]:
        """The numbers of the rows that are too many, bucket by bucket."""
        for file in self._files:
            file.seek(0)
            records = np.frombuffer(file.read(), RECORD)
            # Rows of equal content draw alike: then the first ones stay.
            order = np.lexsort((records["row"], records["draw"], records["prompt"]))
            prompts = records["prompt"][order]
            begins = np.flatnonzero(np.r_[[True] * bool(len(order)), prompts[1:] != prompts[:-1]])
            counts = np.diff(np.r_[begins, len(order)])
            place = np.arange(len(order)) - np.repeat(begins, counts)
            yield records["row"][order][place >= self._most]
