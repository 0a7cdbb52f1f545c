"""Labels that earlier versions of a shard have: what did not change is not judged again.

A shard that was rewritten or moved has a new key, and so no parts. Its rows that are still the same
pairs (by hash of prompt, candidates and media) take over the votes that the same judge gave before.
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

_SHARDS_HELD = 2  # a worker's units come shard by shard, and several at once


@dataclass(frozen=True)
class EarlierLabels:
    """The labels of the earlier versions of one shard; their votes stay in Arrow's memory."""

    rows: pa.Table | None
    places: dict[str, int]

    def find(self, pair_hash: str) -> dict[str, Any] | None:
        """The row of labels v1 of a pair; None if no earlier version holds it."""
        place = self.places.get(pair_hash)
        if place is None or self.rows is None:
            return None
        row: dict[str, Any] = self.rows.slice(place, 1).to_pylist()[0]
        return row


NONE = EarlierLabels(None, {})


def labels_of(rows: pa.Table) -> EarlierLabels:
    """Labels to take over, out of rows of labels v1."""
    hashes = rows["pair_hash"].to_pylist()
    return EarlierLabels(rows, {found: place for place, found in enumerate(hashes) if found})


class EarlierVersions:
    """Finds the labels of earlier versions of shards in the output store of one judge."""

    def __init__(self, store: Store, judge_id: str, moved: Mapping[str, str]) -> None:
        """Binds to the store; nothing is read yet. ``moved`` has keys and former keys of shards."""
        self._store, self._judge_id, self._moved = store, judge_id, moved
        self._held: dict[str, EarlierLabels] = {}
        self._lock = threading.Lock()

    def of(self, unit: Unit) -> EarlierLabels:
        """The labels of the earlier versions of a unit's shard; any thread.

        Raises:
            StorageError: the store fails.
        """
        with self._lock:  # units of one shard arrive together: they read once
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
        return labels_of(pa.concat_tables(read_part(self._store, key) for key in keys))
