"""What measuring reads of the input: gold; and prompts and text lengths of some row groups.

The keys of prompts are those of their texts, for rows whose labels do not state their cluster.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.pairs.contents import candidate_texts
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import narrow_rows
from pipeline.pairs.prompts import cluster_key
from pipeline.pairs.shards import check_unchanged, list_shards, open_input, unless_changed
from pipeline.runtime.errors import InputError, ShardChangedError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.stats.arrays import Floats, Ints
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store
from schemas.labels import Status
from schemas.manifest import InputShard, Manifest
from schemas.pairs import PAIRS_V2

_KEPT = 32  # shards whose gold is cached: rows of a few shards are counted at a time
_CHANGED = "it was removed or replaced since the snapshot was made"
_PROMPT = ("messages",)


@dataclass(frozen=True)
class Gold:
    """The gold of one shard.

    Attributes:
        values: of each row.
        prompts: the key of each row's prompt; 0 where the row has no gold.
    """

    values: pa.Array
    prompts: Ints

    @classmethod
    def unknown(cls, rows: int) -> Gold:
        """Of a shard that has none, and whose prompts are known by their labels alone."""
        return cls(pa.nulls(rows, pa.string()), np.zeros(rows, np.int64))


@dataclass(frozen=True)
class Sample:
    """One row group.

    Attributes:
        start: its first row within its shard.
        prompts: the key of each row's prompt.
        a, b: lengths of the two responses in characters; NaN where a response has no text.
    """

    start: int
    prompts: Ints
    a: Floats
    b: Floats


class SnapshotInput:
    """The shards that a snapshot was made of, except those that have changed since.

    Safe to use from many threads.

    Attributes:
        unread: why shards could not be read, by path.
    """

    def __init__(self, manifest: Manifest, columns: InputConfig, output: Store) -> None:
        """Lists the input, read as ``columns`` say; ``output`` keeps the hashes of its files.

        Raises:
            StorageError: it cannot be reached.
        """
        self.unread: dict[str, str] = {}
        self._store, prefix = open_input(manifest.input)
        self._mapping, self._seconds = columns.mapping(), columns.read_seconds
        self._contents = ContentKeys(self._store, output)
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
        self._gold: OrderedDict[tuple[str, str], Future[Gold | None]] = OrderedDict()
        self._lock = threading.Lock()

    def gold(self, path: str, name: str) -> Gold | None:
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

    def rows_of(self, path: str) -> int:
        """How many rows a shard of the snapshot has."""
        return self._shards[path].rows

    def notes(self) -> list[str]:
        """Which shards could not be read, for people."""
        if not self.unread:
            return []
        path, why = min(self.unread.items())
        return [f"gold and texts of {len(self.unread)} shards are not known, such as {path}: {why}"]

    def sampled(self, groups: int) -> frozenset[str]:
        """The ``groups`` shards of which a row group each is sampled.

        The shards' keys decide which ones, so that the same input gives the same sample.
        """
        labeled = [
            path
            for path, shard in self._shards.items()
            if shard.counts[Status.LABELED] and path in self._entries
        ]
        return frozenset(sorted(labeled, key=lambda path: self._shards[path].shard_key)[:groups])

    def unchanged(self, path: str) -> bool:
        """Whether a shard is there, with the content that the snapshot was made of."""
        entry = self._entries.get(path)
        return entry is not None and self._contents.of(entry) == self._shards[path].content

    def _read_gold(self, path: str, name: str) -> Gold | None:
        try:
            _, pieces = self._read(path, [name])
            found = pa.chunked_array(
                [chunk for table in pieces for chunk in table[name].chunks],
                PAIRS_V2.field(name).type,
            )
            whole = len(found) == self._shards[path].rows
            if not whole or found.null_count == len(found):
                return None
            values = found.combine_chunks()
            _, pieces = self._read(path, _PROMPT)
        except UNREADABLE_FILE as error:
            self.unread[path] = first_line(error)
            return None
        if path in self.unread:  # by the second reading
            return None
        prompts = _prompt_keys(pieces, np.asarray(pc.is_valid(values), bool))
        if prompts is None:  # the shard has no prompts: they are all the same
            prompts = np.zeros(len(values), np.int64)
        return Gold(values, prompts)

    def sample(self, path: str, *, texts: bool) -> Sample | None:
        """One row group of a shard, which its key decides; ``texts`` are measured if asked for."""
        number = int(self._shards[path].shard_key[:8], 16)
        try:
            start, pieces = self._read(path, (*["candidates"] * texts, *_PROMPT), number)
        except UNREADABLE_FILE as error:
            self.unread[path] = first_line(error)
            return None
        prompts = _prompt_keys(pieces)
        if prompts is None:
            return None
        lengths = np.full((len(prompts), 2), np.nan)
        rows = (row for piece in pieces for row in piece.select(["candidates"]).to_pylist())
        for number, row in enumerate(rows):
            said = candidate_texts(row)
            if len(said) == 2:
                lengths[number] = [np.nan if text is None else len(text) for text in said]
        a, b = lengths.T
        return Sample(start, prompts, a, b)

    def _read(
        self, path: str, wanted: Sequence[str], group: int | None = None
    ) -> tuple[int, list[pa.Table]]:
        """Columns of pairs v2, batch by batch, and the number of their first row.

        Args:
            path: the shard's.
            wanted: their names; nothing else is read, and no media.
            group: of one row group alone, counted around the shard's groups; or of all of them.
        """
        entry = self._entries.get(path)
        if entry is None:
            return 0, []
        mapping = self._mapping.narrowed(wanted)
        try:
            with unless_changed(self._store, entry):
                found = narrow_rows(self._store, entry, mapping, self._seconds, group)
            if found[1]:
                check_unchanged(self._store, entry)
        except ShardChangedError:
            self.unread[path] = _CHANGED
            return 0, []
        local = bool(found[1]) and entry.etag is None
        if local and self._contents.of(entry) != self._shards[path].content:
            self.unread[path] = _CHANGED  # of the same size as before
            return 0, []
        return found


def _prompt_keys(pieces: Sequence[pa.Table], of: NDArray[np.bool_] | None = None) -> Ints | None:
    """The key of each row's prompt, or 0 but for the rows of a mask; None without a prompt."""
    keys: list[int] = []
    for piece in pieces:
        for messages in piece["messages"].to_pylist():
            wanted = of is None or of[len(keys)]
            keys.append(cluster_key(None, messages) if wanted else 0)
    return np.array(keys, np.int64) if keys else None


def _same(shard: InputShard, entry: Entry) -> bool:
    return shard.bytes == entry.size and entry.etag in (None, shard.content)
