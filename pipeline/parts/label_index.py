"""Finds the newest votes about a pair, in whatever shard and version they were given."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.parts.index_files import (
    GROUP_ROWS,
    IndexFile,
    IndexState,
    groups_between,
    hash_words,
    index_folder,
    open_file,
    read_file,
    reading,
)
from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import InputError
from pipeline.runtime.map_ahead import map_ahead
from pipeline.store.object_store import Store
from pipeline.store.stored_records import parse_record

_GROUPS_HELD = 256  # row groups of entries, of some 300 kB each
_FOUND = ("revision", "epoch", "part", "offset")
_THREADS = 8
_PARTS_HELD = 8  # parts, of a few megabytes
Key = TypeVar("Key")
Held = TypeVar("Held")


@dataclass(frozen=True)
class Place:
    """Where the newest votes about a pair are."""

    part: str
    offset: int
    revision: int
    epoch: int


class LabelIndex:
    """One state of a judge's index; look-ups read only what they need, and any thread may ask.

    Attributes:
        number: of the state that was read or written last; a state that follows from this one has
            the next number. 0 where there is none.
    """

    def __init__(self, store: Store, state: IndexState, number: int = 0) -> None:
        """Binds to a state and reads nothing."""
        self.state, self.number = state, number
        self._store = store
        self._lock = threading.Lock()
        self._files = _Recent[str, pq.ParquetFile](_GROUPS_HELD)
        self._groups = _Recent[tuple[str, int], dict[str, Any]](_GROUPS_HELD)
        self._tables = _Recent[str, pa.Table](_PARTS_HELD)

    def place(self, pair_hash: str) -> Place | None:
        """Where the newest votes about a pair are; None if it was never judged.

        Raises:
            InputError: a file of the index is damaged.
            StorageError: the store fails.
        """
        high, low = hash_words(pair_hash)
        with self._lock:
            runs = [file for run in self.state.runs for file in run]
            files = [file for file in runs if file.first <= high <= file.last]
            found = [entry for file in files if (entry := self._entry(file, high, low))]
            if not found:
                return None
            revision, epoch, part, offset = max(found)
            key = self._part_key(part)
            return Place(key, offset, revision, epoch) if key else None

    def find(self, pair_hash: str) -> dict[str, Any] | None:
        """The newest row of labels v2 about a pair; None if it was never judged.

        Raises:
            InputError: the part or a file of the index is damaged.
            StorageError: the store fails.
        """
        if (place := self.place(pair_hash)) is None:
            return None
        with self._lock:
            table = self._tables.get(place.part, lambda: read_part(self._store, place.part))
        row: dict[str, Any] = table.slice(place.offset, 1).to_pylist()[0]
        return row if row["pair_hash"] == pair_hash else None

    def find_many(self, pair_hashes: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The same of many pairs, by hash: each part is read once, several at a time.

        Raises:
            InputError, StorageError: as :meth:`find` raises them.
        """
        by_part: dict[str, list[tuple[str, int]]] = {}
        for pair_hash in pair_hashes:
            if (place := self.place(pair_hash)) is not None:
                by_part.setdefault(place.part, []).append((pair_hash, place.offset))

        def rows(part: str) -> list[tuple[str, dict[str, Any]]]:
            table = read_part(self._store, part)
            places = by_part[part]
            found = table.take(pa.array([offset for _, offset in places], pa.int64())).to_pylist()
            return [(pair, row) for (pair, _), row in zip(places, found, strict=True)]

        pool = self._store.host.pool(_THREADS)
        read = map_ahead(pool, rows, sorted(by_part), 2 * _THREADS)
        return {pair: row for found in read for pair, row in found if row["pair_hash"] == pair}

    def part_keys(self) -> Iterator[tuple[str, str]]:
        """Every part that the index covers: its key, and what it says under ``asking``.

        The key is empty of a part that was removed since: the others keep their numbers.
        """
        for file in self.state.parts:
            table = read_file(self._store, file)
            yield from zip(table["key"].to_pylist(), table["asking"].to_pylist(), strict=True)

    def _entry(self, file: IndexFile, high: int, low: int) -> tuple[int, ...] | None:
        """Revision, epoch, part and offset of a pair in one file."""
        for number in groups_between(self._opened(file), high, high):
            group = self._group(file, number)
            at = int(np.searchsorted(group["high"], np.uint64(high)))
            while at < len(group["high"]) and group["high"][at] == high:
                if group["low"][at] == low:
                    return tuple(int(group[name][at]) for name in _FOUND)
                at += 1
        return None

    def _part_key(self, number: int) -> str:
        for file in self.state.parts:
            if number < file.rows:
                keys = self._group(file, number // GROUP_ROWS)["key"]
                return str(keys[number % GROUP_ROWS])
            number -= file.rows
        raise AssertionError(f"part {number} beyond the index of {self.state.judge_id[:16]}")

    def _opened(self, file: IndexFile) -> pq.ParquetFile:
        with reading(self._store, file):
            return self._files.get(file.key, lambda: open_file(self._store, file))

    def _group(self, file: IndexFile, number: int) -> dict[str, Any]:
        opened = self._opened(file)
        with reading(self._store, file):
            return self._groups.get((file.key, number), lambda: _columns(opened, number))


def open_index(
    store: Store, judge_id: str, note: Callable[[str], None] = lambda text: None
) -> LabelIndex:
    """The newest state of a judge's index; an empty one where there is none.

    Args:
        store: an output store.
        judge_id: the judge.
        note: receives why a stored state cannot be used, if so.

    Raises:
        StorageError: the store fails.
    """
    folder = index_folder(judge_id)
    states = [e.key for e in store.list(folder) if _number(folder, e.key)]
    if not states:
        return LabelIndex(store, IndexState(judge_id))
    number = _number(folder, states[-1])
    try:
        state = parse_record(store.read(states[-1]), store.path(states[-1]), IndexState)
        _check_files(store, state, states[-1])
    except InputError as damage:
        note(f"{damage}; it is made again from the parts")
        state = IndexState(judge_id)
    return LabelIndex(store, state, number)


def _check_files(store: Store, state: IndexState, key: str) -> None:
    sizes = {entry.key: entry.size for entry in store.list(f"{index_folder(state.judge_id)}/files")}
    wrong = [file.key for file in state.files if sizes.get(file.key) != file.bytes]
    if wrong:
        raise InputError(
            f"{store.path(key)}: {len(wrong)} of its {len(state.files)} files are missing or have "
            f"another size, such as {wrong[0]}"
        )


def _number(folder: str, key: str) -> int:
    name = key.removeprefix(f"{folder}/")
    return int(name[:-5]) if name.endswith(".json") and name[:-5].isdigit() else 0


def _columns(file: pq.ParquetFile, number: int) -> dict[str, Any]:
    table = file.read_row_group(number, use_threads=False)
    return {name: table[name].to_numpy() for name in table.column_names}


class _Recent(Generic[Key, Held]):
    """What was used last, at most ``most`` of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Key, Held] = OrderedDict()

    def get(self, key: Key, make: Callable[[], Held]) -> Held:
        if key not in self._held:
            made = make()
            while len(self._held) >= self._most:
                self._held.popitem(last=False)
            self._held[key] = made
        self._held.move_to_end(key)
        return self._held[key]
