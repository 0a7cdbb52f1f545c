"""Counts of each cluster, such as of every prompt, which may turn up in any batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from pipeline.stats.arrays import Ints, Table

_PENDING = 65_536  # counts that wait before they are added to those of the same cluster


class ClusterSums:
    """Sums of some counts for each cluster.

    In memory are ``width`` + 1 numbers of each cluster.

    Attributes:
        width: how many counts each cluster has.
    """

    def __init__(self, width: int) -> None:
        """No cluster yet."""
        self.width = width
        self._keys, self._sums = np.empty(0, np.int64), np.empty((0, width), np.int64)
        self._waiting: list[tuple[Ints, Ints]] = []
        self._rows = 0

    @classmethod
    def of(cls, keys: Ints, *counts: Table) -> Self:
        """The sums of one batch.

        Args:
            keys: the cluster of each row, a number that is the same in every batch.
            counts: of each row.
        """
        made = cls(len(counts))
        made._put(keys, np.stack(counts, axis=1).astype(np.int64))
        return made

    def add(self, other: ClusterSums) -> None:
        """Adds what another one has counted."""
        self._put(*other._merged())

    def as_record(self) -> dict[str, Any]:
        """The clusters and their counts, as JSON has them."""
        keys, sums = self._merged()
        return {"width": self.width, "keys": keys.tolist(), "sums": sums.tolist()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """What :meth:`as_record` has made."""
        made = cls(record["width"])
        sums = np.array(record["sums"], np.int64).reshape(-1, made.width)
        made._put(np.array(record["keys"], np.int64), sums)
        return made

    @property
    def sums(self) -> Ints:
        """The counts of each cluster, shape (clusters, width); the clusters in no given order."""
        return self._merged()[1]

    def _put(self, keys: Ints, sums: Ints) -> None:
        self._waiting.append((keys, sums))
        self._rows += len(keys)
        if self._rows > max(_PENDING, len(self._keys)):  # so that all merges cost n log n
            self._merged()

    def _merged(self) -> tuple[Ints, Ints]:
        if self._waiting:
            keys, sums = zip((self._keys, self._sums), *self._waiting, strict=True)
            self._keys, places = np.unique(np.concatenate(keys), return_inverse=True)
            merged = np.zeros((len(self._keys), self.width), np.int64)
            np.add.at(merged, places, np.concatenate(sums))
            self._sums, self._waiting, self._rows = merged, [], 0
        return self._keys, self._sums
