"""What measuring reads of the input: gold, and the lengths of texts on a sample of row groups."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.shard_columns import ShardColumns, narrow_batches
from pipeline.pairs.shards import list_shards, open_input
from pipeline.runtime.errors import InputError
from pipeline.snapshots.quality.label_counts import floats
from pipeline.stats.bootstrap import Floats
from pipeline.store.object_store import Entry
from schemas.labels import Status
from schemas.manifest import InputShard, Manifest
from schemas.pairs import PAIRS

_KEPT = 32  # shards whose gold is cached: rows of a few shards are counted at a time
_BATCH_ROWS = 1_024
_RESPONSES = ("response_a", "response_b")
_CHANGED = "it was removed or replaced since the snapshot was made"
_UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True)
class Lengths:
    """The lengths of the texts of one row group.

    Attributes:
        start: the group's first row within its shard.
        a, b: of the two responses, in characters; NaN where a response has no text.
    """

    start: int
    a: Floats
    b: Floats


class SnapshotInput:
    """The shards that a snapshot was made of, except those that have changed since.

    Safe to use from many threads.

    Attributes:
        unread: why shards could not be read, by path.
    """

    def __init__(self, manifest: Manifest, mapping: PairMapping) -> None:
        """Lists the input.

        Raises:
            StorageError: it cannot be reached.
        """
        self.unread: dict[str, str] = {}
        self._store, prefix = open_input(manifest.input)
        self._mapping = mapping
        try:
            entries = {entry.key: entry for entry in list_shards(self._store, prefix)}
        except InputError:  # none is left, and the snapshot is measured without them
            entries = {}
        self._shards = {shard.path: shard for shard in manifest.shards if shard.rows}
        self._entries = {
            path: entries[path]
            for path, shard in self._shards.items()
            if path in entries and _same(shard, entries[path])
        }
        for path in self._shards.keys() - self._entries.keys():
            self.unread[path] = _CHANGED
        self._gold: OrderedDict[tuple[str, str], Future[pa.Array | None]] = OrderedDict()
        self._lock = threading.Lock()

    def gold(self, path: str, name: str) -> pa.Array | None:
        """The column ``gold`` or ``gold_scores`` of a shard, whole; None if it has no gold."""
        with self._lock:
            future = self._gold.get((path, name))
            mine = future is None
            if future is None:
                future = self._gold[path, name] = Future()
                while len(self._gold) > _KEPT:
                    self._gold.popitem(last=False)
        if mine:
            try:
                future.set_result(self._read_gold(path, name))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def notes(self) -> list[str]:
        """Which shards could not be read, for people."""
        if not self.unread:
            return []
        path, why = min(self.unread.items())
        return [f"gold and texts of {len(self.unread)} shards are not known, such as {path}: {why}"]

    def lengths(self, groups: int) -> dict[str, Lengths]:
        """Lengths of one row group of each of ``groups`` shards, by path.

        The shards' keys decide which ones, so that the same input gives the same sample.
        """
        labeled = [
            path
            for path, shard in self._shards.items()
            if shard.counts[Status.LABELED] and path in self._entries
        ]
        chosen = sorted(labeled, key=lambda path: self._shards[path].shard_key)[:groups]
        found = {path: self._read_lengths(path) for path in chosen}
        return {path: lengths for path, lengths in found.items() if lengths is not None}

    def _read_gold(self, path: str, name: str) -> pa.Array | None:
        try:
            _, pieces = self._read(path, [name])
        except _UNREADABLE as error:
            self.unread[path] = _first_line(error)
            return None
        chunks = [chunk for table in pieces for chunk in table[name].chunks]
        found = pa.chunked_array(chunks, PAIRS.field(name).type)
        whole = len(found) == self._shards[path].rows
        return found.combine_chunks() if whole and found.null_count < len(found) else None

    def _read_lengths(self, path: str) -> Lengths | None:
        number = int(self._shards[path].shard_key[:8], 16)
        try:
            start, pieces = self._read(path, _RESPONSES, number)
        except _UNREADABLE as error:
            self.unread[path] = _first_line(error)
            return None
        lengths = [
            [floats(pc.utf8_length(pc.struct_field(table[name], "text"))) for name in _RESPONSES]
            for table in pieces
        ]
        return Lengths(start, *np.concatenate(lengths, axis=1)) if lengths else None

    def _read(
        self, path: str, wanted: Sequence[str], group: int | None = None
    ) -> tuple[int, list[pa.Table]]:
        """Columns of pairs v1, batch by batch, and the number of their first row.

        Args:
            path: the shard's.
            wanted: their names; nothing else is read, and no media.
            group: of one row group alone, counted around the shard's groups; or of all of them.
        """
        entry = self._entries.get(path)
        if entry is None:
            return 0, []
        source = self._store.open(entry.key, entry.size)
        try:
            file = pq.ParquetFile(pa.PythonFile(source, mode="r"), page_checksum_verification=True)
            mapping = self._mapping.narrowed(wanted)
            if not mapping.needed(ShardColumns(path, file.schema_arrow).schema):
                return 0, []
            if entry.etag is None and self._store.content_key(entry) != self._shards[path].content:
                self.unread[path] = _CHANGED  # of the same size as before
                return 0, []
            groups = list(range(file.num_row_groups))
            groups = groups if group is None else [group % len(groups)]
            start = sum(file.metadata.row_group(each).num_rows for each in range(groups[0]))
            return start, list(narrow_batches(file, path, mapping, groups, _BATCH_ROWS))
        except OSError as error:
            raise source.failure or error from error


def _same(shard: InputShard, entry: Entry) -> bool:
    return shard.bytes == entry.size and entry.etag in (None, shard.content)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
