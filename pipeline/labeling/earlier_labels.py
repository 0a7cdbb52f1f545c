"""Labels of earlier versions of a shard: rows that did not change reuse them.

A shard that was rewritten or moved has a new key, and so no parts. Its rows that are still the same
pairs (by hash of prompt, candidates and media) reuse the votes that the same judge gave earlier.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.judging.label_parts import committed_range, parts_prefix, read_part, versions_prefix
from pipeline.labeling.units import Unit
from pipeline.store.object_store import Store

_SHARDS_HELD = 2  # units come shard by shard, several at once


@dataclass(frozen=True)
class EarlierLabels:
    """The labels of the earlier versions of one shard; their votes stay in Arrow's memory.

    Attributes:
        rows: rows of labels v1; None without earlier versions.
        positions: the row of each pair, by its hash.
    """

    rows: pa.Table | None
    positions: dict[str, int]

    def find(self, pair_hash: str) -> dict[str, Any] | None:
        """The label of a pair; None if no earlier version has it."""
        position = self.positions.get(pair_hash)
        if position is None or self.rows is None:
            return None
        row: dict[str, Any] = self.rows.slice(position, 1).to_pylist()[0]
        return row


NONE = EarlierLabels(None, {})


def reusable(rows: pa.Table) -> EarlierLabels:
    """Rows of labels v1, to be reused by the hashes of their pairs."""
    hashes = rows["pair_hash"].to_pylist()
    return EarlierLabels(rows, {key: position for position, key in enumerate(hashes) if key})


class EarlierVersions:
    """Finds the labels of earlier versions of shards in the output store of one judge."""

    def __init__(self, store: Store, judge_id: str, moved: Mapping[str, str]) -> None:
        """Binds to the store and reads nothing; ``moved`` maps keys of shards to former keys."""
        self._store, self._judge_id, self._moved = store, judge_id, moved
        self._held: dict[str, EarlierLabels] = {}
        self._lock = threading.Lock()

    def of(self, unit: Unit) -> EarlierLabels:
        """The labels of the earlier versions of a unit's shard; any thread.

        Raises:
            StorageError: the store fails.
        """
        with self._lock:  # units of one shard arrive together: one of them reads
            if unit.shard_key not in self._held:
                while len(self._held) >= _SHARDS_HELD:
                    del self._held[next(iter(self._held))]
                self._held[unit.shard_key] = self._read(unit)
            return self._held[unit.shard_key]

    def _read(self, unit: Unit) -> EarlierLabels:
        own = parts_prefix(self._judge_id, unit.shard_key) + "/"
        folders = [versions_prefix(self._judge_id, unit.shard_key)]
        if former := self._moved.get(unit.shard_key):
            folders.append(parts_prefix(self._judge_id, former))
        keys = [
            entry.key
            for folder in folders
            for entry in self._store.list(folder)
            if committed_range(entry.key) and not entry.key.startswith(own)
        ]
        if not keys:
            return NONE
        return reusable(pa.concat_tables(read_part(self._store, key) for key in keys))
