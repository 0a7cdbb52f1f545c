"""A truth value for every row of a corpus, a bit each: 120 MiB for a billion rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class RowBits:
    """Bits by row number, all false at first."""

    def __init__(self, rows: int) -> None:
        self._bytes = np.zeros(-(-rows // 8), np.uint8)

    def set(self, start: int, values: NDArray[np.bool_]) -> None:
        """Sets the rows from ``start`` on that are true in ``values``."""
        rows = start + np.flatnonzero(values)
        np.bitwise_or.at(self._bytes, rows >> 3, (1 << (rows & 7)).astype(np.uint8))

    def clear(self, rows: NDArray[np.int64]) -> None:
        """Makes rows false."""
        np.bitwise_and.at(self._bytes, rows >> 3, (~(1 << (rows & 7))).astype(np.uint8))

    def get(self, start: int, stop: int) -> NDArray[np.bool_]:
        """The values of rows ``[start, stop)``."""
        first = start >> 3
        bits = np.unpackbits(self._bytes[first : -(-stop // 8)], bitorder="little")
        return bits[start - 8 * first : stop - 8 * first].astype(np.bool_)

    def count(self, also: RowBits | None = None) -> int:
        """How many rows are true, here and in ``also``."""
        both = self._bytes if also is None else self._bytes & also._bytes
        return int(np.bitwise_count(both).sum())
