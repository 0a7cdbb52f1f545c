"""At most N rows of one prompt, whatever the size of the corpus.

Rows of one prompt may be anywhere, so all rows are brought together: as four numbers each, sorted
into temporary files by prompt, of which one at a time is in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_BUCKETS = 64

# A row: its prompt, the random number that decides which rows of a prompt stay, its number in the
# corpus, and `export_rules.length_sign` of its better response.
RECORD = np.dtype([("prompt", "<u8"), ("random", "<u8"), ("row", "<i8"), ("sign", "i1")])


class PromptCap(ExitStack):
    """Finds the rows beyond the cap; a context manager, as it holds files."""

    def __init__(self, most: int, buckets: int = _BUCKETS) -> None:
        """Lets ``most`` rows of a prompt pass."""
        super().__init__()
        self._most = most
        self._files: list[BinaryIO] = []
        for _ in range(buckets):
            file = tempfile.TemporaryFile(prefix="pairmill-prompts-")  # noqa: SIM115
            self._files.append(self.enter_context(file))

    def add(self, records: NDArray[np.void]) -> None:
        """Takes rows, of ``RECORD``."""
        buckets = records["prompt"] % len(self._files)
        for number in np.unique(buckets):
            self._files[number].write(records[buckets == number].tobytes())

    def beyond(self) -> Iterator[NDArray[np.void]]:
        """The rows that are too many, bucket by bucket."""
        for file in self._files:
            file.seek(0)
            records = np.frombuffer(file.read(), RECORD)
            # Rows of equal content have the same random number: then the first ones stay.
            records = records[np.lexsort((records["row"], records["random"], records["prompt"]))]
            first = np.searchsorted(records["prompt"], records["prompt"])
            yield records[np.arange(len(records)) - first >= self._most]
