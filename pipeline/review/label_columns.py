"""What labels are filtered and sorted by: a few numbers a row, of every row of a snapshot or judge.

A row takes some 60 bytes here, its texts none. Rows come in blocks of at least ``_BLOCK_ROWS``,
each read once and kept as long as all of them fit ``memory_bytes``; otherwise they are read again
for every page, and memory stays bounded whatever the size of the corpus.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.parts.part_files import read_part
from pipeline.parts.part_keys import Part, ShardParts, judge_parts_prefix, parts_prefix
from pipeline.runtime.map_ahead import map_ahead
from pipeline.snapshots.browse_index import COLUMNS, has_index, index_rows, read_index
from pipeline.snapshots.table_reader import map_row_groups
from pipeline.stats.arrays import Floats, Ints
from pipeline.store.object_store import Store
from schemas.labels import NOT_ASKED, Reason, Status
from schemas.manifest import Manifest

STATUSES = (*map(str, Status), NOT_ASKED)
REASONS = ("", *map(str, Reason))
OUTCOMES = ("a", "b", "tie", "")  # which candidate a label prefers; none of an undecided row
NO_OUTCOME = OUTCOMES.index("")
ORDERS = ("", "same", "flips")  # whether both orders of a pair, each alone, say the same
_BLOCK_ROWS = 65_536
_THREADS = 4
_BYTES_A_ROW = 90  # measured with ids of 12 characters
_MOST_CRITERIA = 32  # rows with rubrics of their own may have any; further ones are not filtered by


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows; all arrays are of equal length. Blocks are told apart by identity.

    Attributes:
        pair_id: as strings of Arrow.
        key: the first 63 bits of each pair's hash; 0 of a pair that could not be read.
        shard: a number for each shard, by :attr:`LabelColumns.shards`.
        row: within the shard.
        status, reason, outcome, orders: places in ``STATUSES``, ``REASONS``, ``OUTCOMES`` and
            ``ORDERS``.
        judge: who decided, a place in :attr:`LabelColumns.judges`.
        confidence, margin, p_a: NaN where there is none.
        votes: how many.
        criteria: by name, which candidate each prefers, a place in ``OUTCOMES``.
    """

    pair_id: pa.Array
    key: Ints
    shard: NDArray[np.int32]
    row: Ints
    status: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    outcome: NDArray[np.uint8]
    orders: NDArray[np.uint8]
    judge: NDArray[np.uint8]
    confidence: Floats
    margin: Floats
    p_a: Floats
    votes: NDArray[np.int32]
    criteria: Mapping[str, NDArray[np.uint8]]

    def __len__(self) -> int:
        """Its rows."""
        return len(self.row)


Tables = Callable[[], Iterator[pa.Table]]


class LabelColumns:
    """The columns of all labels of one snapshot, or of one judge's parts; any thread may ask.

    Attributes:
        name: of what they are, for people.
        rows: how many there are, or an upper bound where only that is known.
        shards: the numbers of shards, ascending by path.
        judges: the numbers of those who decided, by id; grows while rows are read.
    """

    def __init__(
        self, name: str, shards: Iterable[str], rows: int, tables: Tables, memory_bytes: int
    ) -> None:
        """Binds to a source of label rows; reads nothing yet.

        Args:
            name: of the source.
            shards: the paths of those that may have rows.
            rows: at most how many it has.
            tables: reads them as a browse index has them, table by table.
            memory_bytes: what all blocks may take to be kept.
        """
        self.name, self.rows, self._tables = name, rows, tables
        self.shards = {path: number for number, path in enumerate(sorted(shards))}
        self.judges: dict[str, int] = {}
        self._criteria: list[str] = []
        self._kept: list[Block] | None = [] if rows * _BYTES_A_ROW <= memory_bytes else None
        self._source: Iterator[Block] | None = None
        self._reading = threading.Lock()
        self._whole = False

    def blocks(self) -> Iterator[Block]:
        """All blocks, always in the same order.

        Raises:
            InputError: a file is corrupt.
            StorageError: the store fails.
        """
        if self._kept is None:
            yield from self._read()
            return
        number = 0
        while (block := self._block(number)) is not None:
            yield block
            number += 1

    def _block(self, number: int) -> Block | None:
        """A kept block; reads on where it is the next."""
        assert self._kept is not None
        if number < len(self._kept):
            return self._kept[number]
        with self._reading:
            if number < len(self._kept) or self._whole:
                return self._kept[number] if number < len(self._kept) else None
            self._source = self._source or self._read()
            try:
                block = next(self._source, None)
            except BaseException:
                self._source, self._kept = None, []  # the next call begins again
                raise
            if block is None:
                self._whole, self._source = True, None
            else:
                self._kept.append(block)
            return block

    def _read(self) -> Iterator[Block]:
        waiting: list[pa.Table] = []
        for table in self._tables():
            waiting.append(table)
            if sum(each.num_rows for each in waiting) >= _BLOCK_ROWS:
                yield self._made(pa.concat_tables(waiting))
                waiting = []
        if any(each.num_rows for each in waiting):
            yield self._made(pa.concat_tables(waiting))

    def _made(self, table: pa.Table) -> Block:
        table = table.combine_chunks()
        status = _places(table["status"], STATUSES)
        tie = status == STATUSES.index(Status.TIE)
        outcome = _places(pc.fill_null(table["preference"], ""), OUTCOMES)
        consistent = table["position_consistent"]
        orders = pc.if_else(consistent, 1, 2)
        return Block(
            pair_id=pc.fill_null(table["pair_id"], "").combine_chunks(),
            key=hash_keys(table["pair_hash"]),
            shard=_numbers(table["shard"], self.shards).astype(np.int32),
            row=_numpy(table["row"]).astype(np.int64),
            status=status,
            reason=_places(pc.fill_null(table["reason"], ""), REASONS),
            outcome=np.where(tie, OUTCOMES.index("tie"), outcome).astype(np.uint8),
            orders=_numpy(pc.fill_null(orders, 0)).astype(np.uint8),
            judge=_numbers(table["decided_by"], self.judges).astype(np.uint8),
            confidence=_floats(table["confidence"]),
            margin=_floats(table["margin"]),
            p_a=_floats(table["p_a"]),
            votes=_numpy(pc.fill_null(table["n_votes"], 0)).astype(np.int32),
            criteria=self._by_criterion(table["criteria"].combine_chunks()),
        )

    def _by_criterion(self, criteria: pa.ListArray) -> dict[str, NDArray[np.uint8]]:
        """Which of two candidates each criterion prefers."""
        rows, flat = pc.list_parent_indices(criteria), pc.list_flatten(criteria)
        scores = pc.struct_field(flat, "scores")
        two = pc.fill_null(pc.equal(pc.list_value_length(scores), 2), False)
        both = _floats(pc.list_flatten(scores.filter(two))).reshape(-1, 2)
        a, b = both[:, 0], both[:, 1]
        said = np.select([a > b, b > a, a == b], range(3), NO_OUTCOME)
        names = pc.struct_field(flat, "name").filter(two).dictionary_encode()
        number, row = np.asarray(names.indices), np.asarray(rows.filter(two))
        found = {}
        for place, name in enumerate(names.dictionary.to_pylist()):
            if name not in self._criteria:
                if len(self._criteria) == _MOST_CRITERIA:
                    continue
                self._criteria.append(name)
            found[name] = np.full(len(criteria), NO_OUTCOME, np.uint8)
            found[name][row[number == place]] = said[number == place]
        return found


def snapshot_columns(output: Store, manifest: Manifest, memory_bytes: int) -> LabelColumns:
    """Of a snapshot: labels, ties, abstentions and rows in quarantine.

    They are read from its index; of a snapshot of earlier versions, without one, from its tables.
    """

    def tables() -> Iterator[pa.Table]:
        if has_index(manifest):
            yield from read_index(output, manifest)
            return
        for table in ("labels", "quarantine"):
            yield from map_row_groups(output, manifest, table, COLUMNS, index_rows, _THREADS)

    name = f"snapshot {manifest.snapshot_id}"
    shards = (shard.path for shard in manifest.shards)
    return LabelColumns(name, shards, manifest.rows, tables, memory_bytes)


def judge_columns(
    output: Store, judge_id: str, keys: Mapping[str, str], memory_bytes: int
) -> LabelColumns:
    """Of the parts of a judge.

    Args:
        output: the output root.
        judge_id: the judge.
        keys: the identity of each shard that is wanted, as it is now, by path.
        memory_bytes: what they may take to be kept.
    """
    folders: dict[str, list[str]] = {parts_prefix(judge_id, key): [] for key in keys.values()}
    for entry in output.list(judge_parts_prefix(judge_id)):
        if (of_shard := folders.get(entry.key.rpartition("/")[0])) is not None:
            of_shard.append(entry.key)
    parts = [part for found in folders.values() for part in ShardParts.of(found).parts]

    def tables() -> Iterator[pa.Table]:
        def read(part: Part) -> pa.Table:
            return index_rows(read_part(output, part.key, COLUMNS))

        yield from map_ahead(output.host.pool(_THREADS), read, parts, _THREADS)

    rows = sum(part.stop - part.start for part in parts)
    return LabelColumns(f"parts of judge {judge_id[:12]}", keys, rows, tables, memory_bytes)


def hash_keys(hashes: pa.ChunkedArray) -> Ints:
    """The first 63 bits of hashes in hex; 0 of a null."""
    cut = pc.fill_null(pc.utf8_slice_codeunits(hashes, 0, 16), "0" * 16)
    fixed = cut.cast(pa.binary()).cast(pa.binary(16)).combine_chunks()
    start = 16 * fixed.offset
    letters = np.frombuffer(fixed.buffers()[1], np.uint8)[start : start + 16 * len(fixed)]
    letters = letters.reshape(-1, 16)
    nibbles = np.where(letters > ord("9"), letters - (ord("a") - 10), letters - ord("0"))
    octets = np.ascontiguousarray(nibbles[:, ::2] << 4 | nibbles[:, 1::2])
    return np.asarray(octets.view(">u8").ravel() >> np.uint64(1), np.int64)


def known(value: float) -> float | None:
    """A number of a block; None where there is none."""
    return None if np.isnan(value) else float(value)


def _numpy(values: pa.ChunkedArray) -> NDArray[np.generic]:
    return np.asarray(values.to_numpy())


def _floats(values: pa.ChunkedArray | pa.Array) -> Floats:
    return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _places(values: pa.ChunkedArray, known: Iterable[str]) -> NDArray[np.uint8]:
    """The place of each value among those known."""
    found = pc.index_in(values, pa.array(known, pa.string()))
    return _numpy(found).astype(np.uint8)


def _numbers(values: pa.ChunkedArray, known: dict[str, int]) -> NDArray[np.int64]:
    """A number for each value; new ones become known."""
    coded = pc.fill_null(values, "").combine_chunks().dictionary_encode()
    numbers = [known.setdefault(name, len(known)) for name in coded.dictionary.to_pylist()]
    return np.asarray(np.array(numbers, np.int64)[np.asarray(coded.indices)], np.int64)
