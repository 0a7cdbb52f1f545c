"""What of the input labels are filtered by: people's answers and the source of each pair."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import narrow_rows
from pipeline.review.label_columns import NO_OUTCOME, OUTCOMES, Block, LabelColumns, hash_keys
from pipeline.runtime.errors import InputError, StorageError
from pipeline.runtime.printable import one_line
from pipeline.store.object_store import Entry, Store

_MOST_SOURCES = 1_000  # further ones count as one
_OTHER = "(other sources)"


@dataclass(frozen=True)
class OfRows:
    """Gold and source of some rows.

    Attributes:
        gold: a place in ``OUTCOMES``; the last one where there is no gold.
        source: a place in :attr:`InputColumns.sources`.
    """

    gold: NDArray[np.uint8]
    source: NDArray[np.uint16]


class InputColumns:
    """Gold and source of every pair, read shard by shard in the background.

    Until a shard is read, its rows count as without gold and source.

    Attributes:
        sources: their names; the first is that of rows without one.
        unread: why shards could not be read, by path.
    """

    def __init__(
        self,
        labels: LabelColumns,
        store: Store,
        entries: Mapping[str, Entry],
        columns: InputConfig,
        people: Mapping[str, str],
    ) -> None:
        """Binds to an input; reads nothing yet.

        Args:
            labels: whose shards are numbered.
            store: the input root.
            entries: its shards that are as they were labelled, by path.
            columns: how they are read.
            people: answers of a gold set by pair hash, which take the place of the input's.
        """
        self._labels, self._store, self._entries = labels, store, entries
        self._mapping = columns.mapping().narrowed(("gold", "source"))
        self._seconds = columns.read_seconds
        self._known: dict[str, int] = {"": 0}
        self._shards: dict[str, OfRows] = {}
        self.unread: dict[str, str] = {}
        self._of: WeakKeyDictionary[Block, tuple[int, OfRows]] = WeakKeyDictionary()
        self._stopped = threading.Event()
        keys = hash_keys(pa.chunked_array([pa.array(people, pa.string())]))
        order = np.argsort(keys)
        self._people = keys[order], _codes(people.values())[order]

    @property
    def sources(self) -> list[str]:
        """The names of sources, in the order of their numbers."""
        return list(self._known)

    @property
    def progress(self) -> tuple[int, int]:
        """How many shards are read, of how many."""
        return len(self._shards) + len(self.unread), len(self._entries)

    def read_all(self) -> None:
        """Reads all shards; to be run in a thread of its own."""
        for path, entry in self._entries.items():
            if self._stopped.is_set():
                return
            try:
                _, tables = narrow_rows(self._store, entry, self._mapping, self._seconds)
            except (pa.ArrowException, UnicodeDecodeError, InputError, StorageError) as error:
                self.unread[path] = one_line(str(error))[:300]
                continue
            self._shards[path] = self._made(tables)

    def stop(self) -> None:
        """Ends :meth:`read_all` after the shard that it reads."""
        self._stopped.set()

    def of(self, block: Block) -> OfRows:
        """Of the rows of a block, as far as shards are read."""
        read = len(self._shards)
        found = self._of.get(block)
        if found is None or found[0] < read:
            found = self._of[block] = read, self._gathered(block)
        return found[1]

    def _gathered(self, block: Block) -> OfRows:
        gold = np.full(len(block), NO_OUTCOME, np.uint8)
        source = np.zeros(len(block), np.uint16)
        paths = list(self._labels.shards)
        for number in np.unique(block.shard):
            if (known := self._shards.get(paths[number])) is None:
                continue
            mine = np.flatnonzero(block.shard == number)
            rows = block.row[mine]
            inside = rows < len(known.gold)
            gold[mine[inside]] = known.gold[rows[inside]]
            source[mine[inside]] = known.source[rows[inside]]
        keys, said = self._people
        if len(keys):
            place = np.minimum(np.searchsorted(keys, block.key), len(keys) - 1)
            answered = keys[place] == block.key
            gold[answered] = said[place[answered]]
        return OfRows(gold, source)

    def _made(self, tables: list[pa.Table]) -> OfRows:
        gold, source = [], []
        for table in tables:
            gold.append(_codes(table["gold"]))
            coded = pc.fill_null(table["source"], "").combine_chunks().dictionary_encode()
            numbers = [self._number(name) for name in coded.dictionary.to_pylist()]
            source.append(np.array(numbers, np.uint16)[np.asarray(coded.indices)])
        if not gold:
            return OfRows(np.zeros(0, np.uint8), np.zeros(0, np.uint16))
        return OfRows(np.concatenate(gold), np.concatenate(source))

    def _number(self, name: str) -> int:
        if name not in self._known and len(self._known) >= _MOST_SOURCES:
            name = _OTHER
        return self._known.setdefault(name, len(self._known))


def _codes(said: pa.ChunkedArray | Iterable[str]) -> NDArray[np.uint8]:
    """Answers as places in ``OUTCOMES``."""
    if not isinstance(said, pa.ChunkedArray):
        said = pa.chunked_array([pa.array(said, pa.string())])
    found = pc.index_in(said, pa.array(OUTCOMES[:NO_OUTCOME], pa.string()))
    return np.asarray(pc.fill_null(found, NO_OUTCOME).to_numpy()).astype(np.uint8)
